// RUN: kpu-opt %s -p 'kpu-split-diagonals{channels=1}' --split-input-file | filecheck %s

// Every output channel is made of its own input channel: of large maps few channels in a layer are the fastest.
// CHECK-LABEL: @diagonal
// CHECK: kpu.channel_slice %x {begin = 0 : i64, channels = 1 : i64}
// CHECK: kpu.conv2d {{.*}}kpu.moves{{.*}}pool = #kpu.pool<max_2_s2>{{.*}} -> tensor<1x1x64x128x!ktensor.quantized
// CHECK: kpu.channel_slice %x {begin = 1 : i64, channels = 1 : i64}
// CHECK: kpu.concat
// CHECK-SAME: -> tensor<1x2x64x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
func.func @diagonal(%x: tensor<1x2x128x256x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x2x64x128x!ktensor.quantized<ui8, 1.0, 0>> {
  %w = ktensor.constant dense<[[[[1.0]], [[0.0]]], [[[0.0]], [[1.0]]]]> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %y = kpu.conv2d %x, %w, %b {kpu.moves, pool = #kpu.pool<max_2_s2>} : (tensor<1x2x128x256x!ktensor.quantized<ui8, 1.0, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x64x128x!ktensor.quantized<ui8, 1.0, 0>>
  func.return %y : tensor<1x2x64x128x!ktensor.quantized<ui8, 1.0, 0>>
}

// -----

// Weights beside the diagonal: one layer.
// CHECK-LABEL: @whole
// CHECK-NOT: kpu.channel_slice
// CHECK: kpu.conv2d %x
// CHECK-NOT: kpu.channel_slice
func.func @whole(%x: tensor<1x2x128x256x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x2x64x128x!ktensor.quantized<ui8, 1.0, 0>> {
  %w = ktensor.constant dense<[[[[1.0]], [[0.5]]], [[[0.0]], [[1.0]]]]> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>} : (tensor<1x2x128x256x!ktensor.quantized<ui8, 1.0, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x64x128x!ktensor.quantized<ui8, 1.0, 0>>
  func.return %0 : tensor<1x2x64x128x!ktensor.quantized<ui8, 1.0, 0>>
}
