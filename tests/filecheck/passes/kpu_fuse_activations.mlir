// RUN: kpu-opt %s -p kpu-fuse-activations --split-input-file | filecheck %s

// A chain of scalar functions, across a crop.
// CHECK-LABEL: func.func @chain(%x: tensor<1x2x6x8xf32>, %w: tensor<4x2x1x1xf32>, %b: tensor<4xf32>) -> tensor<1x4x5x7xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<leaky_relu, 1.000000e-01>, #ktensor.activation<rsub, 5.000000e-01>]} : (tensor<1x2x6x8xf32>, tensor<4x2x1x1xf32>, tensor<4xf32>) -> tensor<1x4x6x8xf32>
// CHECK-NEXT: %1 = kpu.crop %0 {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x4x6x8xf32>) -> tensor<1x4x5x7xf32>
// CHECK-NEXT: func.return %1 : tensor<1x4x5x7xf32>
func.func @chain(%x: tensor<1x2x6x8xf32>, %w: tensor<4x2x1x1xf32>, %b: tensor<4xf32>) -> tensor<1x4x5x7xf32> {
  %half = ktensor.constant dense<0.5> : tensor<1xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x6x8xf32>, tensor<4x2x1x1xf32>, tensor<4xf32>) -> tensor<1x4x6x8xf32>
  %1 = kpu.crop %0 {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x4x6x8xf32>) -> tensor<1x4x5x7xf32>
  %2 = ktensor.activation<leaky_relu, 0.1> %1 : (tensor<1x4x5x7xf32>) -> tensor<1x4x5x7xf32>
  %3 = ktensor.binary<sub> %half, %2 : (tensor<1xf32>, tensor<1x4x5x7xf32>) -> tensor<1x4x5x7xf32>
  func.return %3 : tensor<1x4x5x7xf32>
}

// -----

// Not where the values are used before the function too.
// CHECK-LABEL: func.func @two_uses(%x: tensor<1x2x6x8xf32>, %w: tensor<4x2x1x1xf32>, %b: tensor<4xf32>) -> (tensor<1x4x6x8xf32>, tensor<1x4x6x8xf32>) {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x6x8xf32>, tensor<4x2x1x1xf32>, tensor<4xf32>) -> tensor<1x4x6x8xf32>
// CHECK-NEXT: %1 = ktensor.activation<relu> %0 : (tensor<1x4x6x8xf32>) -> tensor<1x4x6x8xf32>
// CHECK-NEXT: func.return %0, %1 : tensor<1x4x6x8xf32>, tensor<1x4x6x8xf32>
func.func @two_uses(%x: tensor<1x2x6x8xf32>, %w: tensor<4x2x1x1xf32>, %b: tensor<4xf32>) -> (tensor<1x4x6x8xf32>, tensor<1x4x6x8xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x6x8xf32>, tensor<4x2x1x1xf32>, tensor<4xf32>) -> tensor<1x4x6x8xf32>
  %1 = ktensor.activation<relu> %0 : (tensor<1x4x6x8xf32>) -> tensor<1x4x6x8xf32>
  func.return %0, %1 : tensor<1x4x6x8xf32>, tensor<1x4x6x8xf32>
}
