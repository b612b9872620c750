// RUN: kpu-opt %s -p kpu-sink-crops --split-input-file | filecheck %s

// CHECK-LABEL: @sum
// CHECK: %[[f:.*]] = kpu.conv2d %x
// CHECK-NEXT: %[[g:.*]] = kpu.conv2d %y
// CHECK-NEXT: %[[s:.*]] = ktensor.binary<add> %[[f]], %[[g]] : {{.*}} -> tensor<1x16x4x64xf32>
// CHECK-NEXT: %[[r:.*]] = ktensor.activation<relu> %[[s]]
// CHECK-NEXT: %[[c:.*]] = kpu.crop %[[r]] {crops = array<i64: 0, 0, 3, 0>}
// CHECK-NEXT: func.return %[[c]]
func.func @sum(%x: tensor<1x16x4x64xf32>, %y: tensor<1x16x4x64xf32>, %w: tensor<16x16x1x1xf32>, %b: tensor<16xf32>) -> tensor<1x16x1x64xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x16x4x64xf32>, tensor<16x16x1x1xf32>, tensor<16xf32>) -> tensor<1x16x4x64xf32>
  %1 = kpu.conv2d %y, %w, %b : (tensor<1x16x4x64xf32>, tensor<16x16x1x1xf32>, tensor<16xf32>) -> tensor<1x16x4x64xf32>
  %2 = kpu.crop %0 {crops = array<i64: 0, 0, 3, 0>} : (tensor<1x16x4x64xf32>) -> tensor<1x16x1x64xf32>
  %3 = kpu.crop %1 {crops = array<i64: 0, 0, 3, 0>} : (tensor<1x16x4x64xf32>) -> tensor<1x16x1x64xf32>
  %4 = ktensor.binary<add> %2, %3 : (tensor<1x16x1x64xf32>, tensor<1x16x1x64xf32>) -> tensor<1x16x1x64xf32>
  %5 = ktensor.activation<relu> %4 : (tensor<1x16x1x64xf32>) -> tensor<1x16x1x64xf32>
  func.return %5 : tensor<1x16x1x64xf32>
}

// -----

// What is not cropped is padded, where it has to be anyway.
// CHECK-LABEL: @one_side
// CHECK: %[[f:.*]] = kpu.conv2d %x
// CHECK-NEXT: %[[p:.*]] = kpu.pad %y {pads = array<i64: 0, 0, 3, 0>}
// CHECK-NEXT: %[[s:.*]] = ktensor.binary<add> %[[f]], %[[p]]
// CHECK-NEXT: %[[c:.*]] = kpu.crop %[[s]] {crops = array<i64: 0, 0, 3, 0>}
func.func @one_side(%x: tensor<1x16x4x64xf32>, %y: tensor<1x16x1x64xf32>, %w: tensor<16x16x1x1xf32>, %b: tensor<16xf32>) -> tensor<1x16x1x64xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x16x4x64xf32>, tensor<16x16x1x1xf32>, tensor<16xf32>) -> tensor<1x16x4x64xf32>
  %1 = kpu.crop %0 {crops = array<i64: 0, 0, 3, 0>} : (tensor<1x16x4x64xf32>) -> tensor<1x16x1x64xf32>
  %2 = ktensor.binary<add> %1, %y : (tensor<1x16x1x64xf32>, tensor<1x16x1x64xf32>) -> tensor<1x16x1x64xf32>
  func.return %2 : tensor<1x16x1x64xf32>
}

// -----

// Only what both have too much is cropped behind.
// CHECK-LABEL: @concat
// CHECK: %[[f:.*]] = kpu.conv2d %x
// CHECK-NEXT: %[[g:.*]] = kpu.conv2d %y
// CHECK-NEXT: %[[c:.*]] = kpu.crop %[[g]] {crops = array<i64: 1, 1, 1, 1>} : {{.*}} -> tensor<1x16x18x18xf32>
// CHECK-NEXT: %[[j:.*]] = ktensor.concat %[[f]], %[[c]] {axis = 1 : i64}
// CHECK-NEXT: kpu.crop %[[j]] {crops = array<i64: 1, 1, 1, 1>}
func.func @concat(%x: tensor<1x16x18x18xf32>, %y: tensor<1x16x20x20xf32>, %w: tensor<16x16x1x1xf32>, %b: tensor<16xf32>) -> tensor<1x32x16x16xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x16x18x18xf32>, tensor<16x16x1x1xf32>, tensor<16xf32>) -> tensor<1x16x18x18xf32>
  %1 = kpu.conv2d %y, %w, %b : (tensor<1x16x20x20xf32>, tensor<16x16x1x1xf32>, tensor<16xf32>) -> tensor<1x16x20x20xf32>
  %2 = kpu.crop %0 {crops = array<i64: 1, 1, 1, 1>} : (tensor<1x16x18x18xf32>) -> tensor<1x16x16x16xf32>
  %3 = ktensor.slice %1 {starts = array<i64: 0, 0, 2, 2>, ends = array<i64: 1, 16, 18, 18>, steps = array<i64: 1, 1, 1, 1>} : (tensor<1x16x20x20xf32>) -> tensor<1x16x16x16xf32>
  %4 = ktensor.concat %2, %3 {axis = 1 : i64} : (tensor<1x16x16x16xf32>, tensor<1x16x16x16xf32>) -> tensor<1x32x16x16xf32>
  func.return %4 : tensor<1x32x16x16xf32>
}

// -----

// A sum of so few pixels takes less time on the CPU.
// CHECK-LABEL: @few
// CHECK: kpu.conv2d
// CHECK-NEXT: kpu.crop
// CHECK-NEXT: ktensor.binary<add>
func.func @few(%x: tensor<1x2x4x8xf32>, %y: tensor<1x2x1x8xf32>, %w: tensor<2x2x1x1xf32>, %b: tensor<2xf32>) -> tensor<1x2x1x8xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x8xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x8xf32>
  %1 = kpu.crop %0 {crops = array<i64: 0, 0, 3, 0>} : (tensor<1x2x4x8xf32>) -> tensor<1x2x1x8xf32>
  %2 = ktensor.binary<add> %1, %y : (tensor<1x2x1x8xf32>, tensor<1x2x1x8xf32>) -> tensor<1x2x1x8xf32>
  func.return %2 : tensor<1x2x1x8xf32>
}
