// RUN: kpu-opt %s -p kpu-legalize-strides --split-input-file | filecheck %s

// Even rows and columns: the convolution picks.
// CHECK-LABEL: func.func @even(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<left_top_2_s2>} : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %0 : tensor<1x2x4x4xf32>
func.func @even(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = kpu.strided_slice %0 {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x4x4xf32>
  func.return %1 : tensor<1x2x4x4xf32>
}

// -----

// An odd size is padded, or its last row would be lost.
// CHECK-LABEL: func.func @odd_size(%x: tensor<1x2x9x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x5x4xf32> {
// CHECK-NEXT: %0 = kpu.pad %x {pads = array<i64: 0, 0, 1, 0>} : (tensor<1x2x9x8xf32>) -> tensor<1x2x10x8xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b {pool = #kpu.pool<right_top_2_s2>} : (tensor<1x2x10x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x5x4xf32>
// CHECK-NEXT: func.return %1 : tensor<1x2x5x4xf32>
func.func @odd_size(%x: tensor<1x2x9x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x5x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x9x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x9x8xf32>
  %1 = kpu.strided_slice %0 {begin = array<i64: 0, 1>, strides = array<i64: 2, 2>} : (tensor<1x2x9x8xf32>) -> tensor<1x2x5x4xf32>
  func.return %1 : tensor<1x2x5x4xf32>
}

// -----

// Odd rows are shifted up first, by a layer that only moves pixels.
// CHECK-LABEL: func.func @odd_begin(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<{{\[\[}}{{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 1.000000e+00]]], {{\[\[}}[0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 1.000000e+00]]]]> : tensor<2x1x3x3xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {kpu.moves, depthwise = true} : (tensor<1x2x8x8xf32>, tensor<2x1x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]]], {{\[\[}}[0.000000e+00]], {{\[\[}}1.000000e+00]]]]> : tensor<2x2x1x1xf32>
// CHECK-NEXT: %5 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %6 = kpu.conv2d %3, %4, %5 {kpu.moves, pool = #kpu.pool<left_top_2_s2>} : (tensor<1x2x8x8xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %6 : tensor<1x2x4x4xf32>
func.func @odd_begin(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = kpu.strided_slice %0 {begin = array<i64: 1, 1>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x4x4xf32>
  func.return %1 : tensor<1x2x4x4xf32>
}

// -----

// A depthwise layer cannot pick, the pointwise one behind it can.
// CHECK-LABEL: func.func @depthwise(%x: tensor<1x2x8x8xf32>, %w: tensor<2x1x3x3xf32>, %b: tensor<2xf32>, %v: tensor<2x2x1x1xf32>) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x2x8x8xf32>, tensor<2x1x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %v, %b {activation = [#ktensor.activation<relu>], pool = #kpu.pool<left_top_2_s2>} : (tensor<1x2x8x8xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %1 : tensor<1x2x4x4xf32>
func.func @depthwise(%x: tensor<1x2x8x8xf32>, %w: tensor<2x1x3x3xf32>, %b: tensor<2xf32>, %v: tensor<2x2x1x1xf32>) -> tensor<1x2x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x2x8x8xf32>, tensor<2x1x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = kpu.strided_slice %0 {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x4x4xf32>
  %2 = kpu.conv2d %1, %v, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  func.return %2 : tensor<1x2x4x4xf32>
}

// -----

// A result below 4x4 stays a slice.
// CHECK-LABEL: func.func @too_small(%x: tensor<1x2x6x6xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x3x3xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x6x6xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x6x6xf32>
// CHECK-NEXT: %1 = kpu.strided_slice %0 {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x2x6x6xf32>) -> tensor<1x2x3x3xf32>
// CHECK-NEXT: func.return %1 : tensor<1x2x3x3xf32>
func.func @too_small(%x: tensor<1x2x6x6xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x3x3xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x6x6xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x6x6xf32>
  %1 = kpu.strided_slice %0 {begin = array<i64: 0, 0>, strides = array<i64: 2, 2>} : (tensor<1x2x6x6xf32>) -> tensor<1x2x3x3xf32>
  func.return %1 : tensor<1x2x3x3xf32>
}

// -----

// A map too large to be stored before picking: a row of zeros on top brings odd rows to even ones.
// CHECK-LABEL: func.func @too_large_to_shift(%x: tensor<1x2x240x320xf32>, %w: tensor<16x2x3x3xf32>, %b: tensor<16xf32>) -> tensor<1x16x120x160xf32> {
// CHECK-NEXT: %0 = kpu.pad %x {pads = array<i64: 1, 0, 1, 0>} : (tensor<1x2x240x320xf32>) -> tensor<1x2x242x320xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b {pool = #kpu.pool<right_top_2_s2>} : (tensor<1x2x242x320xf32>, tensor<16x2x3x3xf32>, tensor<16xf32>) -> tensor<1x16x121x160xf32>
// CHECK-NEXT: %2 = kpu.crop %1 {crops = array<i64: 1, 0, 0, 0>} : (tensor<1x16x121x160xf32>) -> tensor<1x16x120x160xf32>
// CHECK-NEXT: func.return %2 : tensor<1x16x120x160xf32>
func.func @too_large_to_shift(%x: tensor<1x2x240x320xf32>, %w: tensor<16x2x3x3xf32>, %b: tensor<16xf32>) -> tensor<1x16x120x160xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x240x320xf32>, tensor<16x2x3x3xf32>, tensor<16xf32>) -> tensor<1x16x240x320xf32>
  %1 = kpu.strided_slice %0 {begin = array<i64: 1, 1>, strides = array<i64: 2, 2>} : (tensor<1x16x240x320xf32>) -> tensor<1x16x120x160xf32>
  func.return %1 : tensor<1x16x120x160xf32>
}
