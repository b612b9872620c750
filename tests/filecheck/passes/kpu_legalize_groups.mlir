// RUN: kpu-opt %s -p kpu-legalize-groups --split-input-file | filecheck %s

// Groups that begin at lines are convolutions of their own; here one per group takes least time.
// CHECK-LABEL: func.func @groups(%x: tensor<1x128x14x14xf32>) -> tensor<1x128x14x14xf32> {
// CHECK-NEXT: %0 = kpu.channel_slice %x {begin = 0 : i64, channels = 64 : i64} : (tensor<1x128x14x14xf32>) -> tensor<1x64x14x14xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<1.000000e+00> : tensor<64x64x1x1xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<64xf32>
// CHECK-NEXT: %3 = ktensor.conv2d %0, %1 bias %2 : (tensor<1x64x14x14xf32>, tensor<64x64x1x1xf32>, tensor<64xf32>) -> tensor<1x64x14x14xf32>
// CHECK-NEXT: %4 = kpu.channel_slice %x {begin = 64 : i64, channels = 64 : i64} : (tensor<1x128x14x14xf32>) -> tensor<1x64x14x14xf32>
// CHECK-NEXT: %5 = ktensor.constant dense<1.000000e+00> : tensor<64x64x1x1xf32>
// CHECK-NEXT: %6 = ktensor.constant dense<0.000000e+00> : tensor<64xf32>
// CHECK-NEXT: %7 = ktensor.conv2d %4, %5 bias %6 : (tensor<1x64x14x14xf32>, tensor<64x64x1x1xf32>, tensor<64xf32>) -> tensor<1x64x14x14xf32>
// CHECK-NEXT: %y = kpu.concat %3, %7 : (tensor<1x64x14x14xf32>, tensor<1x64x14x14xf32>) -> tensor<1x128x14x14xf32>
// CHECK-NEXT: func.return %y : tensor<1x128x14x14xf32>
func.func @groups(%x: tensor<1x128x14x14xf32>) -> tensor<1x128x14x14xf32> {
  %w = ktensor.constant dense<1.0> : tensor<128x64x1x1xf32>
  %y = ktensor.conv2d %x, %w {groups = 2 : i64} : (tensor<1x128x14x14xf32>, tensor<128x64x1x1xf32>) -> tensor<1x128x14x14xf32>
  func.return %y : tensor<1x128x14x14xf32>
}

// -----

// Few channels are one convolution, whose weights are 0 between groups.
// CHECK-LABEL: func.func @few(%x: tensor<1x4x8x8xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<{{.*}}> : tensor<2x4x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %y = ktensor.conv2d %x, %0 bias %1 : (tensor<1x4x8x8xf32>, tensor<2x4x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %y : tensor<1x2x8x8xf32>
func.func @few(%x: tensor<1x4x8x8xf32>) -> tensor<1x2x8x8xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %y = ktensor.conv2d %x, %w {groups = 2 : i64} : (tensor<1x4x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32>
  func.return %y : tensor<1x2x8x8xf32>
}

// -----

// Two outputs per channel: two depthwise convolutions, and a reader with its weights reordered.
// CHECK-LABEL: func.func @multiplier(%x: tensor<1x256x8x8xf32>) -> tensor<1x1x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<1.000000e+00> : tensor<256x1x3x3xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<256xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 {pads = array<i64: 1, 1, 1, 1>, groups = 256 : i64} : (tensor<1x256x8x8xf32>, tensor<256x1x3x3xf32>, tensor<256xf32>) -> tensor<1x256x8x8xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<1.000000e+00> : tensor<256x1x3x3xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<0.000000e+00> : tensor<256xf32>
// CHECK-NEXT: %5 = ktensor.conv2d %x, %3 bias %4 {pads = array<i64: 1, 1, 1, 1>, groups = 256 : i64} : (tensor<1x256x8x8xf32>, tensor<256x1x3x3xf32>, tensor<256xf32>) -> tensor<1x256x8x8xf32>
// CHECK-NEXT: %m = kpu.concat %2, %5 : (tensor<1x256x8x8xf32>, tensor<1x256x8x8xf32>) -> tensor<1x512x8x8xf32>
// CHECK-NEXT: %r = ktensor.activation<relu> %m : (tensor<1x512x8x8xf32>) -> tensor<1x512x8x8xf32>
// CHECK-NEXT: %y = ktensor.constant dense<1.000000e+00> : tensor<1x512x1x1xf32>
// CHECK-NEXT: %y_1 = ktensor.conv2d %r, %y : (tensor<1x512x8x8xf32>, tensor<1x512x1x1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %y_1 : tensor<1x1x8x8xf32>
func.func @multiplier(%x: tensor<1x256x8x8xf32>) -> tensor<1x1x8x8xf32> {
  %w = ktensor.constant dense<1.0> : tensor<512x1x3x3xf32>
  %v = ktensor.constant dense<1.0> : tensor<1x512x1x1xf32>
  %m = ktensor.conv2d %x, %w {groups = 256 : i64, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x256x8x8xf32>, tensor<512x1x3x3xf32>) -> tensor<1x512x8x8xf32>
  %r = ktensor.activation<relu> %m : (tensor<1x512x8x8xf32>) -> tensor<1x512x8x8xf32>
  %y = ktensor.conv2d %r, %v : (tensor<1x512x8x8xf32>, tensor<1x512x1x1xf32>) -> tensor<1x1x8x8xf32>
  func.return %y : tensor<1x1x8x8xf32>
}

// -----

// Depthwise ones, weights that the model computes, and several images stay.
// CHECK-LABEL: func.func @others(%x: tensor<1x4x8x8xf32>, %w: tensor<2x2x1x1xf32>, %z: tensor<2x4x8x8xf32>) -> (tensor<1x4x8x8xf32>, tensor<1x2x8x8xf32>, tensor<2x2x8x8xf32>) {
// CHECK-NEXT: %u = ktensor.constant dense<1.000000e+00> : tensor<4x1x1x1xf32>
// CHECK-NEXT: %v = ktensor.constant dense<1.000000e+00> : tensor<2x2x1x1xf32>
// CHECK-NEXT: %a = ktensor.conv2d %x, %u {groups = 4 : i64} : (tensor<1x4x8x8xf32>, tensor<4x1x1x1xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %b = ktensor.conv2d %x, %w {groups = 2 : i64} : (tensor<1x4x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %c = ktensor.conv2d %z, %v {groups = 2 : i64} : (tensor<2x4x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<2x2x8x8xf32>
// CHECK-NEXT: func.return %a, %b, %c : tensor<1x4x8x8xf32>, tensor<1x2x8x8xf32>, tensor<2x2x8x8xf32>
func.func @others(%x: tensor<1x4x8x8xf32>, %w: tensor<2x2x1x1xf32>, %z: tensor<2x4x8x8xf32>) -> (tensor<1x4x8x8xf32>, tensor<1x2x8x8xf32>, tensor<2x2x8x8xf32>) {
  %u = ktensor.constant dense<1.0> : tensor<4x1x1x1xf32>
  %v = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %a = ktensor.conv2d %x, %u {groups = 4 : i64} : (tensor<1x4x8x8xf32>, tensor<4x1x1x1xf32>) -> tensor<1x4x8x8xf32>
  %b = ktensor.conv2d %x, %w {groups = 2 : i64} : (tensor<1x4x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<1x2x8x8xf32>
  %c = ktensor.conv2d %z, %v {groups = 2 : i64} : (tensor<2x4x8x8xf32>, tensor<2x2x1x1xf32>) -> tensor<2x2x8x8xf32>
  func.return %a, %b, %c : tensor<1x4x8x8xf32>, tensor<1x2x8x8xf32>, tensor<2x2x8x8xf32>
}
