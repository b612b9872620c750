// RUN: kpu-opt %s -p ktensor-fuse-pads --print-debuginfo | filecheck %s

// CHECK: func.func @fused(
// CHECK-NEXT: %w = ktensor.constant
// CHECK-NEXT: ktensor.conv2d %x, %w {strides = array<i64: 2, 2>, pads = array<i64: 1, 3, 0, 0>} : {{.*}} loc("conv")
// CHECK-NEXT: ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 2, 0, 0>, count_include_pad = true}
// CHECK-NEXT: %r = ktensor.activation<relu> %x
// CHECK-NEXT: ktensor.max_pool2d %r {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 2, 0, 0>}
// CHECK-NEXT: func.return
func.func @fused(%x: tensor<1x1x4x4xf32>) -> (tensor<1x1x2x3xf32>, tensor<1x1x3x4xf32>, tensor<1x1x3x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<1x1x3x3xf32>
  %p = ktensor.pad %x {low = array<i64: 0, 0, 1, 2>, high = array<i64: 0, 0, 0, 0>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x5x6xf32>
  %0 = ktensor.conv2d %p, %w {pads = array<i64: 0, 1, 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x1x5x6xf32>, tensor<1x1x3x3xf32>) -> tensor<1x1x2x3xf32> loc("conv")
  %1 = ktensor.average_pool2d %p {kernel_shape = array<i64: 3, 3>} : (tensor<1x1x5x6xf32>) -> tensor<1x1x3x4xf32>
  %r = ktensor.activation<relu> %x : (tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32>
  %q = ktensor.pad %r {low = array<i64: 0, 0, 1, 2>, high = array<i64: 0, 0, 0, 0>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x5x6xf32>
  %2 = ktensor.max_pool2d %q {kernel_shape = array<i64: 3, 3>} : (tensor<1x1x5x6xf32>) -> tensor<1x1x3x4xf32>
  func.return %0, %1, %2 : tensor<1x1x2x3xf32>, tensor<1x1x3x4xf32>, tensor<1x1x3x4xf32>
}

// Zeros could be the largest elements of a window; and ones are not what a convolution pads with.
// CHECK: func.func @stay(
// CHECK: ktensor.max_pool2d %p
// CHECK: ktensor.conv2d %q
func.func @stay(%x: tensor<1x1x4x4xf32>) -> (tensor<1x1x3x4xf32>, tensor<1x1x3x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<1x1x3x3xf32>
  %p = ktensor.pad %x {low = array<i64: 0, 0, 1, 2>, high = array<i64: 0, 0, 0, 0>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x5x6xf32>
  %0 = ktensor.max_pool2d %p {kernel_shape = array<i64: 3, 3>} : (tensor<1x1x5x6xf32>) -> tensor<1x1x3x4xf32>
  %q = ktensor.pad %x {low = array<i64: 0, 0, 1, 2>, high = array<i64: 0, 0, 0, 0>, value = 1.0 : f64} : (tensor<1x1x4x4xf32>) -> tensor<1x1x5x6xf32>
  %1 = ktensor.conv2d %q, %w : (tensor<1x1x5x6xf32>, tensor<1x1x3x3xf32>) -> tensor<1x1x3x4xf32>
  func.return %0, %1 : tensor<1x1x3x4xf32>, tensor<1x1x3x4xf32>
}
