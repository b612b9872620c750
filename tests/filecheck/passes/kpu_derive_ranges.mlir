// RUN: kpu-opt %s -p kpu-derive-ranges --split-input-file | filecheck %s

// The input is rounded as it enters, the second layer's result as it leaves; between them there is arithmetic only.
// CHECK:      func.func @main(%x: tensor<1x2x4x4xf32> {kpu.lattice = !ktensor.quantized<ui8, 5.000000e-01, 128>})
// CHECK:      %0 = kpu.conv2d %x, %w, %b {kpu.range = array<f64: -1.270000e+02, 1.280000e+02>}
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b {kpu.range = array<f64: -1.000000e+00, 5.375000e+00>, activation = [#ktensor.activation<relu>, #ktensor.activation<fake_quantize, 2.500000e-02, 4.000000e+01>]}
func.func @main(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<1.0> : tensor<2xf32>
  %q = ktensor.activation<fake_quantize, 0.5, 128.0> %x : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %0 = kpu.conv2d %q, %w, %b : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %1 = kpu.conv2d %0, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %2 = ktensor.activation<fake_quantize, 0.025, 40.0> %1 : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  func.return %2 : tensor<1x2x4x4xf32>
}

// -----

// What a dataset has shown is kept, and nothing is known of what is computed from an input that is not rounded.
// CHECK:      func.func @main(%x: tensor<1x2x4x4xf32>)
// CHECK:      %0 = kpu.conv2d %x, %w, %b : (
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b {kpu.range = array<f64: 1.000000e+00, 2.000000e+00>, activation = [#ktensor.activation<fake_quantize, 5.000000e-01, 0.000000e+00>]}
func.func @main(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<1.0> : tensor<2xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %1 = kpu.conv2d %0, %w, %b {kpu.range = array<f64: 1.0, 2.0>, activation = [#ktensor.activation<fake_quantize, 0.5, 0.0>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  func.return %1 : tensor<1x2x4x4xf32>
}

// -----

// A float model is left alone.
// CHECK:      %0 = kpu.conv2d %x, %w, %b : (
func.func @main(%x: tensor<1x2x4x4xf32> {kpu.range = array<f64: 0.0, 1.0>}) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<1.0> : tensor<2xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  func.return %0 : tensor<1x2x4x4xf32>
}
