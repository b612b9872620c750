// RUN: kpu-opt %s -p kpu-sink-concats --split-input-file | filecheck %s

// A function of a concatenation becomes one of each part; a slice that is one of the parts is that part.
// CHECK-LABEL: @activation
// CHECK: %g = kpu.conv2d
// CHECK-NEXT: %[[b:.*]] = ktensor.activation<relu> %g
// CHECK-NOT: kpu.c
// CHECK: func.return %[[b]]
func.func @activation(%x: tensor<1x4x8x8xf32>, %w: tensor<8x4x1x1xf32>, %b: tensor<8xf32>) -> tensor<1x8x8x8xf32> {
  %f = kpu.conv2d %x, %w, %b : (tensor<1x4x8x8xf32>, tensor<8x4x1x1xf32>, tensor<8xf32>) -> tensor<1x8x8x8xf32>
  %g = kpu.conv2d %x, %w, %b : (tensor<1x4x8x8xf32>, tensor<8x4x1x1xf32>, tensor<8xf32>) -> tensor<1x8x8x8xf32>
  %c = kpu.concat %f, %g : (tensor<1x8x8x8xf32>, tensor<1x8x8x8xf32>) -> tensor<1x16x8x8xf32>
  %y = ktensor.activation<relu> %c : (tensor<1x16x8x8xf32>) -> tensor<1x16x8x8xf32>
  %s = kpu.channel_slice %y {begin = 8 : i64, channels = 8 : i64} : (tensor<1x16x8x8xf32>) -> tensor<1x8x8x8xf32>
  func.return %s : tensor<1x8x8x8xf32>
}

// -----

// What is picked of blocks of channels is picked of the images that they are.
// CHECK-LABEL: @images
// CHECK: %[[p:.*]] = kpu.strided_slice %f {{.*}} -> tensor<2x4x4x4xf32>
// CHECK-NEXT: kpu.images %[[p]] {count = 1 : i64} : (tensor<2x4x4x4xf32>) -> tensor<1x8x4x4xf32>
func.func @images(%x: tensor<2x8x8x8xf32>, %w: tensor<4x8x1x1xf32>, %b: tensor<4xf32>) -> tensor<1x8x4x4xf32> {
  %f = kpu.conv2d %x, %w, %b : (tensor<2x8x8x8xf32>, tensor<4x8x1x1xf32>, tensor<4xf32>) -> tensor<2x4x8x8xf32>
  %i = kpu.images %f {count = 1 : i64} : (tensor<2x4x8x8xf32>) -> tensor<1x8x8x8xf32>
  %y = kpu.strided_slice %i {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x8x8x8xf32>) -> tensor<1x8x4x4xf32>
  func.return %y : tensor<1x8x4x4xf32>
}
