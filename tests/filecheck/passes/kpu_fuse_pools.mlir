// RUN: kpu-opt %s -p kpu-fuse-pools --split-input-file | filecheck %s

// CHECK-LABEL: func.func @max(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>} : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %0 : tensor<1x2x4x4xf32>
func.func @max(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x4x4xf32>
  func.return %1 : tensor<1x2x4x4xf32>
}

// -----

// CHECK-LABEL: func.func @mean_at_stride_1(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<mean_2_s1>} : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %0 : tensor<1x2x8x8xf32>
func.func @mean_at_stride_1(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x8x8xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 2, 2>, pads = array<i64: 0, 0, 1, 1>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  func.return %1 : tensor<1x2x8x8xf32>
}

// -----

// A 3x3 window, and a depthwise producer, stay; the reason is recorded.
// CHECK-LABEL: func.func @others(%x: tensor<1x2x8x8xf32>, %w: tensor<2x1x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x2x6x6xf32>, tensor<1x2x4x4xf32>) {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x2x8x8xf32>, tensor<2x1x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %1 = ktensor.max_pool2d %0 {kpu.reason = "a window of 3x3 with strides 1x1 has no pool code", kernel_shape = array<i64: 3, 3>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x6x6xf32>
// CHECK-NEXT: %2 = ktensor.max_pool2d %0 {kpu.reason = "a depthwise layer cannot pool, this one has max_2_s2", kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %1, %2 : tensor<1x2x6x6xf32>, tensor<1x2x4x4xf32>
func.func @others(%x: tensor<1x2x8x8xf32>, %w: tensor<2x1x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x2x6x6xf32>, tensor<1x2x4x4xf32>) {
  %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x2x8x8xf32>, tensor<2x1x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 3, 3>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x6x6xf32>
  %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x4x4xf32>
  func.return %1, %2 : tensor<1x2x6x6xf32>, tensor<1x2x4x4xf32>
}
