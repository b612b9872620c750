// RUN: kpu-opt %s -p cse | filecheck %s

// Equal layers are computed once, layers that differ in their pool are not the same.
// CHECK-LABEL: @twice
// CHECK-COUNT-2: kpu.conv2d
// CHECK-NEXT: func.return %0, %0, %1
func.func @twice(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>)
    -> (tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>) {
  %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %1 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %2 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<mean_2_s2>} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  func.return %0, %1, %2 : tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>
}
