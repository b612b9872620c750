// RUN: kpu-opt %s -p kpu-cancel-crops --split-input-file | filecheck %s

// CHECK-LABEL: func.func @pointwise(%x: tensor<1x2x4x4xf32>, %w: tensor<3x2x1x1xf32>, %b: tensor<3xf32>) -> tensor<1x3x1x1xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<3x2x1x1xf32>, tensor<3xf32>) -> tensor<1x3x4x4xf32>
// CHECK-NEXT: %1 = kpu.crop %0 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x3x4x4xf32>) -> tensor<1x3x1x1xf32>
// CHECK-NEXT: func.return %1 : tensor<1x3x1x1xf32>
func.func @pointwise(%x: tensor<1x2x4x4xf32>, %w: tensor<3x2x1x1xf32>, %b: tensor<3xf32>) -> tensor<1x3x1x1xf32> {
  %0 = kpu.crop %x {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>
  %1 = kpu.pad %0 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x2x1x1xf32>) -> tensor<1x2x4x4xf32>
  %2 = kpu.conv2d %1, %w, %b : (tensor<1x2x4x4xf32>, tensor<3x2x1x1xf32>, tensor<3xf32>) -> tensor<1x3x4x4xf32>
  %3 = kpu.crop %2 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x3x4x4xf32>) -> tensor<1x3x1x1xf32>
  func.return %3 : tensor<1x3x1x1xf32>
}

// -----

// A 3x3 convolution needs the zeros.
// CHECK-LABEL: func.func @neighbours(%x: tensor<1x2x4x4xf32>, %w: tensor<3x2x3x3xf32>, %b: tensor<3xf32>) -> tensor<1x3x1x1xf32> {
// CHECK-NEXT: %0 = kpu.crop %x {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>
// CHECK-NEXT: %1 = kpu.pad %0 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x2x1x1xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: %2 = kpu.conv2d %1, %w, %b : (tensor<1x2x4x4xf32>, tensor<3x2x3x3xf32>, tensor<3xf32>) -> tensor<1x3x4x4xf32>
// CHECK-NEXT: %3 = kpu.crop %2 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x3x4x4xf32>) -> tensor<1x3x1x1xf32>
// CHECK-NEXT: func.return %3 : tensor<1x3x1x1xf32>
func.func @neighbours(%x: tensor<1x2x4x4xf32>, %w: tensor<3x2x3x3xf32>, %b: tensor<3xf32>) -> tensor<1x3x1x1xf32> {
  %0 = kpu.crop %x {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>
  %1 = kpu.pad %0 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x2x1x1xf32>) -> tensor<1x2x4x4xf32>
  %2 = kpu.conv2d %1, %w, %b : (tensor<1x2x4x4xf32>, tensor<3x2x3x3xf32>, tensor<3xf32>) -> tensor<1x3x4x4xf32>
  %3 = kpu.crop %2 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x3x4x4xf32>) -> tensor<1x3x1x1xf32>
  func.return %3 : tensor<1x3x1x1xf32>
}
