// RUN: kpu-opt %s -p kpu-legalize-strides,kpu-split-depthwise --split-input-file | filecheck %s

// Input and result take 2359296 bytes; the input, 4 channels of the result and all that is picked take 1867776.
// CHECK-LABEL: @large
// CHECK: %[[s:.*]] = kpu.channel_slice %x {begin = 0 : i64, channels = 4 : i64}
// CHECK: %[[d:.*]] = kpu.conv2d %[[s]], %{{.*}}, %{{.*}} {depthwise = true, activation = [#ktensor.activation<relu>]} : (tensor<1x4x256x352xf32>
// CHECK: %[[p:.*]] = kpu.conv2d %[[d]], %{{.*}}, %{{.*}} {kpu.moves, pool = #kpu.pool<left_top_2_s2>} : (tensor<1x4x256x352xf32>
// CHECK: kpu.channel_slice %x {begin = 4 : i64, channels = 4 : i64}
// CHECK: kpu.channel_slice %x {begin = 8 : i64, channels = 4 : i64}
// CHECK: kpu.concat %[[p]], %{{.*}}, %{{.*}} -> tensor<1x12x128x176xf32>
func.func @large(%x: tensor<1x12x256x352xf32>) -> tensor<1x12x128x176xf32> {
  %w = ktensor.constant dense<0.5> : tensor<12x1x3x3xf32>
  %b = ktensor.constant dense<0.25> : tensor<12xf32>
  %d = kpu.conv2d %x, %w, %b {depthwise = true, activation = [#ktensor.activation<relu>]} : (tensor<1x12x256x352xf32>, tensor<12x1x3x3xf32>, tensor<12xf32>) -> tensor<1x12x256x352xf32>
  %y = kpu.strided_slice %d {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x12x256x352xf32>) -> tensor<1x12x128x176xf32>
  func.return %y : tensor<1x12x128x176xf32>
}

// -----

// What fits together stays together.
// CHECK-LABEL: @small
// CHECK-NOT: kpu.channel_slice
func.func @small(%x: tensor<1x8x64x64xf32>) -> tensor<1x8x32x32xf32> {
  %w = ktensor.constant dense<0.5> : tensor<8x1x3x3xf32>
  %b = ktensor.constant dense<0.25> : tensor<8xf32>
  %d = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x8x64x64xf32>, tensor<8x1x3x3xf32>, tensor<8xf32>) -> tensor<1x8x64x64xf32>
  %y = kpu.strided_slice %d {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x8x64x64xf32>) -> tensor<1x8x32x32xf32>
  func.return %y : tensor<1x8x32x32xf32>
}

// -----

// Nothing helps where the input and what is picked of it fill KPU RAM.
// CHECK-LABEL: @too_large
// CHECK-NOT: kpu.channel_slice
func.func @too_large(%x: tensor<1x16x256x384xf32>) -> tensor<1x16x128x192xf32> {
  %w = ktensor.constant dense<0.5> : tensor<16x1x3x3xf32>
  %b = ktensor.constant dense<0.25> : tensor<16xf32>
  %d = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x16x256x384xf32>, tensor<16x1x3x3xf32>, tensor<16xf32>) -> tensor<1x16x256x384xf32>
  %y = kpu.strided_slice %d {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x16x256x384xf32>) -> tensor<1x16x128x192xf32>
  func.return %y : tensor<1x16x128x192xf32>
}
