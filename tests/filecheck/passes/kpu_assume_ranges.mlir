// RUN: kpu-opt %s -p kpu-assume-ranges --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'kpu-assume-ranges{noise=false}' --split-input-file | filecheck %s --check-prefix=ALIKE

// Twice the noise between 0 and 1, and no samples of it.
// CHECK:      func.func @main(%x: tensor<1x3x8x8xf32> {kpu.range = array<f64: {{.*}}, 0.99{{.*}}>})
// CHECK:      kpu.conv2d
// CHECK-SAME:   kpu.range = array<f64: {{.*}}, 1.9{{.*}}>
// ALIKE:       func.func @main(%x: tensor<1x3x8x8xf32> {kpu.range = array<f64: 0.000000e+00, 1.000000e+00>})
// ALIKE:       kpu.conv2d
// ALIKE-SAME:    kpu.range = array<f64: 0.000000e+00, 1.000000e+00>
func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> {
  %w = ktensor.constant dense<2.0> : tensor<3x1x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<3xf32>
  %c = kpu.conv2d %x, %w, %b {depthwise = true}
    : (tensor<1x3x8x8xf32>, tensor<3x1x1x1xf32>, tensor<3xf32>) -> tensor<1x3x8x8xf32>
  func.return %c : tensor<1x3x8x8xf32>
}

// -----

// Nothing is for the KPU: nothing to do.
// CHECK:      func.func @main(%x: tensor<1x3xf32>) -> tensor<1x3xf32>
// CHECK-NEXT:   %y = ktensor.unary<exp> %x : (tensor<1x3xf32>) -> tensor<1x3xf32>
func.func @main(%x: tensor<1x3xf32>) -> tensor<1x3xf32> {
  %y = ktensor.unary<exp> %x : (tensor<1x3xf32>) -> tensor<1x3xf32>
  func.return %y : tensor<1x3xf32>
}
