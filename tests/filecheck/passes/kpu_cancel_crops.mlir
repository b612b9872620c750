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

// -----

// A pad that puts the pixel elsewhere: the convolution runs on the map as it is, and is cropped where the pixel is.
// CHECK-LABEL: @moved
// CHECK: %[[f:.*]] = kpu.conv2d %x
// CHECK-NEXT: %[[g:.*]] = kpu.conv2d %[[f]], %v, %b {{.*}} -> tensor<1x64x7x7xf32>
// CHECK-NEXT: %[[c:.*]] = kpu.crop %[[g]] {crops = array<i64: 2, 2, 4, 4>}
// CHECK-NEXT: func.return %[[c]]
func.func @moved(%x: tensor<1x64x7x7xf32>, %v: tensor<64x64x1x1xf32>, %b: tensor<64xf32>) -> tensor<1x64x1x1xf32> {
  %0 = kpu.conv2d %x, %v, %b : (tensor<1x64x7x7xf32>, tensor<64x64x1x1xf32>, tensor<64xf32>) -> tensor<1x64x7x7xf32>
  %1 = kpu.crop %0 {crops = array<i64: 2, 2, 4, 4>} : (tensor<1x64x7x7xf32>) -> tensor<1x64x1x1xf32>
  %2 = kpu.pad %1 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x64x1x1xf32>) -> tensor<1x64x4x4xf32>
  %3 = kpu.conv2d %2, %v, %b : (tensor<1x64x4x4xf32>, tensor<64x64x1x1xf32>, tensor<64xf32>) -> tensor<1x64x4x4xf32>
  %4 = kpu.crop %3 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x64x4x4xf32>) -> tensor<1x64x1x1xf32>
  func.return %4 : tensor<1x64x1x1xf32>
}

// -----

// The same for partial sums: what joins their channels runs on the whole map too.
// CHECK-LABEL: @sums
// CHECK-NEXT: %[[p:.*]] = kpu.conv2d %x, %w, %b : {{.*}} -> tensor<1x4x7x7xf32>
// CHECK-NEXT: %[[q:.*]] = kpu.conv2d %y, %w, %b : {{.*}} -> tensor<1x4x7x7xf32>
// CHECK-NEXT: %[[j:.*]] = kpu.concat %[[p]], %[[q]] : {{.*}} -> tensor<1x8x7x7xf32>
// CHECK-NEXT: %[[s:.*]] = kpu.conv2d %[[j]], %v, %b : {{.*}} -> tensor<1x4x7x7xf32>
// CHECK-NEXT: %[[c:.*]] = kpu.crop %[[s]] {crops = array<i64: 3, 3, 3, 3>}
// CHECK-NEXT: func.return %[[c]]
func.func @sums(%x: tensor<1x64x7x7xf32>, %y: tensor<1x64x7x7xf32>, %w: tensor<4x64x1x1xf32>, %v: tensor<4x8x1x1xf32>, %b: tensor<4xf32>) -> tensor<1x4x1x1xf32> {
  %0 = kpu.crop %x {crops = array<i64: 3, 3, 3, 3>} : (tensor<1x64x7x7xf32>) -> tensor<1x64x1x1xf32>
  %1 = kpu.crop %y {crops = array<i64: 3, 3, 3, 3>} : (tensor<1x64x7x7xf32>) -> tensor<1x64x1x1xf32>
  %2 = kpu.pad %0 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x64x1x1xf32>) -> tensor<1x64x4x4xf32>
  %3 = kpu.pad %1 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x64x1x1xf32>) -> tensor<1x64x4x4xf32>
  %4 = kpu.conv2d %2, %w, %b : (tensor<1x64x4x4xf32>, tensor<4x64x1x1xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %5 = kpu.conv2d %3, %w, %b : (tensor<1x64x4x4xf32>, tensor<4x64x1x1xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %6 = kpu.concat %4, %5 : (tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>) -> tensor<1x8x4x4xf32>
  %7 = kpu.conv2d %6, %v, %b : (tensor<1x8x4x4xf32>, tensor<4x8x1x1xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %8 = kpu.crop %7 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x4x4x4xf32>) -> tensor<1x4x1x1xf32>
  func.return %8 : tensor<1x4x1x1xf32>
}

// -----

// A row of zeros between others is never seen by a kernel of one row.
// CHECK-LABEL: @row
// CHECK: %[[f:.*]] = kpu.conv2d %x
// CHECK: %[[g:.*]] = kpu.conv2d %[[f]]
// CHECK-NEXT: kpu.crop %[[g]] {crops = array<i64: 0, 0, 3, 0>}
func.func @row(%x: tensor<1x1x4x8xf32>) -> tensor<1x1x1x8xf32> {
  %w = ktensor.constant dense<[[[[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]]]> : tensor<1x1x3x3xf32>
  %b = ktensor.constant dense<0.0> : tensor<1xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x4x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x4x8xf32>
  %1 = kpu.crop %0 {crops = array<i64: 0, 0, 3, 0>} : (tensor<1x1x4x8xf32>) -> tensor<1x1x1x8xf32>
  %2 = kpu.pad %1 {pads = array<i64: 0, 0, 3, 0>} : (tensor<1x1x1x8xf32>) -> tensor<1x1x4x8xf32>
  %3 = kpu.conv2d %2, %w, %b : (tensor<1x1x4x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x4x8xf32>
  %4 = kpu.crop %3 {crops = array<i64: 0, 0, 3, 0>} : (tensor<1x1x4x8xf32>) -> tensor<1x1x1x8xf32>
  func.return %4 : tensor<1x1x1x8xf32>
}

// -----

// A sum of what is not padded likewise stays as it is.
// CHECK-LABEL: @unlike
// CHECK-COUNT-2: kpu.pad
func.func @unlike(%x: tensor<1x4x7x7xf32>, %y: tensor<1x4x7x7xf32>, %v: tensor<4x8x1x1xf32>, %b: tensor<4xf32>) -> tensor<1x4x1x1xf32> {
  %0 = kpu.crop %x {crops = array<i64: 3, 3, 3, 3>} : (tensor<1x4x7x7xf32>) -> tensor<1x4x1x1xf32>
  %1 = kpu.crop %y {crops = array<i64: 2, 3, 4, 3>} : (tensor<1x4x7x7xf32>) -> tensor<1x4x1x1xf32>
  %2 = kpu.pad %0 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x4x1x1xf32>) -> tensor<1x4x4x4xf32>
  %3 = kpu.pad %1 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x4x1x1xf32>) -> tensor<1x4x4x4xf32>
  %6 = kpu.concat %2, %3 : (tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>) -> tensor<1x8x4x4xf32>
  %7 = kpu.conv2d %6, %v, %b : (tensor<1x8x4x4xf32>, tensor<4x8x1x1xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %8 = kpu.crop %7 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x4x4x4xf32>) -> tensor<1x4x1x1xf32>
  func.return %8 : tensor<1x4x1x1xf32>
}

// -----

// Without padding every convolution loses a row and column on each side: all of them at the end.
// CHECK-LABEL: @valid
// CHECK: %[[f:.*]] = kpu.conv2d %x
// CHECK-NEXT: %[[g:.*]] = kpu.conv2d %[[f]]
// CHECK-NEXT: kpu.crop %[[g]] {crops = array<i64: 2, 2, 2, 2>}
func.func @valid(%x: tensor<1x8x20x20xf32>, %w: tensor<8x8x3x3xf32>, %b: tensor<8xf32>) -> tensor<1x8x16x16xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x8x20x20xf32>, tensor<8x8x3x3xf32>, tensor<8xf32>) -> tensor<1x8x20x20xf32>
  %1 = kpu.crop %0 {crops = array<i64: 1, 1, 1, 1>} : (tensor<1x8x20x20xf32>) -> tensor<1x8x18x18xf32>
  %2 = kpu.conv2d %1, %w, %b : (tensor<1x8x18x18xf32>, tensor<8x8x3x3xf32>, tensor<8xf32>) -> tensor<1x8x18x18xf32>
  %3 = kpu.crop %2 {crops = array<i64: 1, 1, 1, 1>} : (tensor<1x8x18x18xf32>) -> tensor<1x8x16x16xf32>
  func.return %3 : tensor<1x8x16x16xf32>
}
