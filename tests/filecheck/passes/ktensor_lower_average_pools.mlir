// RUN: kpu-opt %s -p ktensor-lower-average-pools --split-input-file | filecheck %s

// Behind a convolution.
// CHECK-LABEL: func.func @mean(%x: tensor<1x2x8x8xf32>, %k: tensor<2x2x1x1xf32>) -> tensor<1x2x3x3xf32> {
// CHECK-NEXT: %0 = ktensor.conv2d %x, %k : (tensor<1x2x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.111111112> : tensor<2x1x3x3xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %0, %1 {strides = array<i64: 2, 2>, groups = 2 : i64} : (tensor<1x2x8x8xf32>, tensor<2x1x3x3xf32>) -> tensor<1x2x3x3xf32>
// CHECK-NEXT: func.return %2 : tensor<1x2x3x3xf32>
func.func @mean(%x: tensor<1x2x8x8xf32>, %k: tensor<2x2x1x1xf32>) -> tensor<1x2x3x3xf32> {
  %0 = ktensor.conv2d %x, %k : (tensor<1x2x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32>
  %1 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 3, 3>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x3x3xf32>
  func.return %1 : tensor<1x2x3x3xf32>
}

// -----

// In front of one, with padding that counts.
// CHECK-LABEL: func.func @counted(%x: tensor<1x2x8x8xf32>, %k: tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<0.111111112> : tensor<2x1x3x3xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %x, %0 {pads = array<i64: 1, 1, 1, 1>, groups = 2 : i64} : (tensor<1x2x8x8xf32>, tensor<2x1x3x3xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %1, %k : (tensor<1x2x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %2 : tensor<1x2x8x8xf32>
func.func @counted(%x: tensor<1x2x8x8xf32>, %k: tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32> {
  %0 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>, count_include_pad = true} : (tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  %1 = ktensor.conv2d %0, %k : (tensor<1x2x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32>
  func.return %1 : tensor<1x2x8x8xf32>
}

// -----

// With a pool code, too large, over the whole map, with padding that does not count, and far from convolutions.
// CHECK-LABEL: func.func @others(%x: tensor<1x2x4x4xf32>, %k: tensor<2x2x1x1xf32>) -> (tensor<1x2x2x2xf32>, tensor<1x2x1x1xf32>, tensor<1x2x1x1xf32>, tensor<1x2x4x4xf32>, tensor<1x2x2x2xf32>) {
// CHECK-NEXT: %0 = ktensor.conv2d %x, %k : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: %1 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x2x2xf32>
// CHECK-NEXT: %2 = ktensor.average_pool2d %1 {kernel_shape = array<i64: 2, 2>} : (tensor<1x2x2x2xf32>) -> tensor<1x2x1x1xf32>
// CHECK-NEXT: %3 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 4, 4>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>
// CHECK-NEXT: %4 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: %5 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x2x2xf32>
// CHECK-NEXT: func.return %1, %2, %3, %4, %5 : tensor<1x2x2x2xf32>, tensor<1x2x1x1xf32>, tensor<1x2x1x1xf32>, tensor<1x2x4x4xf32>, tensor<1x2x2x2xf32>
func.func @others(%x: tensor<1x2x4x4xf32>, %k: tensor<2x2x1x1xf32>) -> (tensor<1x2x2x2xf32>, tensor<1x2x1x1xf32>, tensor<1x2x1x1xf32>, tensor<1x2x4x4xf32>, tensor<1x2x2x2xf32>) {
  %0 = ktensor.conv2d %x, %k : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x4x4xf32>
  %1 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x2x2xf32>
  %2 = ktensor.average_pool2d %1 {kernel_shape = array<i64: 2, 2>} : (tensor<1x2x2x2xf32>) -> tensor<1x2x1x1xf32>
  %3 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 4, 4>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>
  %4 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %5 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x2x2xf32>
  func.return %1, %2, %3, %4, %5 : tensor<1x2x2x2xf32>, tensor<1x2x1x1xf32>, tensor<1x2x1x1xf32>, tensor<1x2x4x4xf32>, tensor<1x2x2x2xf32>
}
