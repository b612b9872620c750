// RUN: kpu-opt %s -p ktensor-fuse-depth-and-space --print-debuginfo | filecheck %s

// YOLOv5 takes the pixels column by column: slices of channels bring them into that order.
// CHECK: func.func @focus(
// CHECK-NEXT: %0 = ktensor.space_to_depth %x {block_size = 2 : i64} : (tensor<1x3x4x6xf32>) -> tensor<1x12x2x3xf32> loc("focus")
// CHECK-NEXT: %1 = ktensor.slice %0 {starts = array<i64: 0, 0, 0, 0>, ends = array<i64: 1, 3, 2, 3>{{.*}}}
// CHECK-NEXT: %2 = ktensor.slice %0 {starts = array<i64: 0, 6, 0, 0>, ends = array<i64: 1, 9, 2, 3>{{.*}}}
// CHECK-NEXT: %3 = ktensor.slice %0 {starts = array<i64: 0, 3, 0, 0>, ends = array<i64: 1, 6, 2, 3>{{.*}}}
// CHECK-NEXT: %4 = ktensor.slice %0 {starts = array<i64: 0, 9, 0, 0>, ends = array<i64: 1, 12, 2, 3>{{.*}}}
// CHECK-NEXT: %y = ktensor.concat %1, %2, %3, %4 {axis = 1 : i64}
// CHECK-NEXT: func.return %y
func.func @focus(%x: tensor<1x3x4x6xf32>) -> tensor<1x12x2x3xf32> {
  %a = ktensor.slice %x {starts = array<i64: 0, 0, 0, 0>, ends = array<i64: 1, 3, 4, 6>, steps = array<i64: 1, 1, 2, 2>} : (tensor<1x3x4x6xf32>) -> tensor<1x3x2x3xf32>
  %b = ktensor.slice %x {starts = array<i64: 0, 0, 1, 0>, ends = array<i64: 1, 3, 4, 6>, steps = array<i64: 1, 1, 2, 2>} : (tensor<1x3x4x6xf32>) -> tensor<1x3x2x3xf32>
  %c = ktensor.slice %x {starts = array<i64: 0, 0, 0, 1>, ends = array<i64: 1, 3, 4, 6>, steps = array<i64: 1, 1, 2, 2>} : (tensor<1x3x4x6xf32>) -> tensor<1x3x2x3xf32>
  %d = ktensor.slice %x {starts = array<i64: 0, 0, 1, 1>, ends = array<i64: 1, 3, 4, 6>, steps = array<i64: 1, 1, 2, 2>} : (tensor<1x3x4x6xf32>) -> tensor<1x3x2x3xf32>
  %y = ktensor.concat %a, %b, %c, %d {axis = 1 : i64} : (tensor<1x3x2x3xf32>, tensor<1x3x2x3xf32>, tensor<1x3x2x3xf32>, tensor<1x3x2x3xf32>) -> tensor<1x12x2x3xf32> loc("focus")
  func.return %y : tensor<1x12x2x3xf32>
}

// CHECK: func.func @shuffle(
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x8x2x3xf32>) -> tensor<1x2x4x6xf32>
// CHECK-NEXT: func.return %0
func.func @shuffle(%x: tensor<1x8x2x3xf32>) -> tensor<1x2x4x6xf32> {
  %0 = ktensor.reshape %x : (tensor<1x8x2x3xf32>) -> tensor<1x2x2x2x2x3xf32>
  %1 = ktensor.transpose %0 {permutation = array<i64: 0, 1, 4, 2, 5, 3>} : (tensor<1x2x2x2x2x3xf32>) -> tensor<1x2x2x2x3x2xf32>
  %2 = ktensor.reshape %1 : (tensor<1x2x2x2x3x2xf32>) -> tensor<1x2x4x6xf32>
  func.return %2 : tensor<1x2x4x6xf32>
}
