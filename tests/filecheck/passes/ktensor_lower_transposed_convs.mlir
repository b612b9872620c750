// RUN: kpu-opt %s -p ktensor-lower-transposed-convs --split-input-file | filecheck %s

// Kernel and stride 2: each tap is a phase of its own.
// CHECK-LABEL: func.func @phases(%x: tensor<1x1x4x4xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00], [3.000000e+00, 4.000000e+00]], {{\[\[}}5.000000e+00, 6.000000e+00], [7.000000e+00, 8.000000e+00]]]]> : tensor<1x2x2x2xf32>
// CHECK-NEXT: %b = ktensor.constant dense<[5.000000e-01, 1.500000e+00]> : tensor<2xf32>
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]]], {{\[\[}}[2.000000e+00]]], {{\[\[}}[3.000000e+00]]], {{\[\[}}[4.000000e+00]]], {{\[\[}}[5.000000e+00]]], {{\[\[}}[6.000000e+00]]], {{\[\[}}[7.000000e+00]]], {{\[\[}}[8.000000e+00]]]]> : tensor<8x1x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<[5.000000e-01, 5.000000e-01, 5.000000e-01, 5.000000e-01, 1.500000e+00, 1.500000e+00, 1.500000e+00, 1.500000e+00]> : tensor<8xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 : (tensor<1x1x4x4xf32>, tensor<8x1x1x1xf32>, tensor<8xf32>) -> tensor<1x8x4x4xf32>
// CHECK-NEXT: %3 = ktensor.depth_to_space %2 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x8x4x4xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %3 : tensor<1x2x8x8xf32>
func.func @phases(%x: tensor<1x1x4x4xf32>) -> tensor<1x2x8x8xf32> {
  %w = ktensor.constant dense<[[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]]> : tensor<1x2x2x2xf32>
  %b = ktensor.constant dense<[0.5, 1.5]> : tensor<2xf32>
  %0 = ktensor.conv2d_transpose %x, %w bias %b {strides = array<i64: 2, 2>} : (tensor<1x1x4x4xf32>, tensor<1x2x2x2xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  func.return %0 : tensor<1x2x8x8xf32>
}

// -----

// 3x3 at stride 2 needs 2x2 pixels; an odd size is cut.
// CHECK-LABEL: func.func @odd(%x: tensor<1x1x4x4xf32>) -> tensor<1x1x7x8xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00], [4.000000e+00, 5.000000e+00, 6.000000e+00], [7.000000e+00, 8.000000e+00, 9.000000e+00]]]]> : tensor<1x1x3x3xf32>
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}5.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00]]], {{\[\[}}[6.000000e+00, 4.000000e+00], [0.000000e+00, 0.000000e+00]]], {{\[\[}}[8.000000e+00, 0.000000e+00], [2.000000e+00, 0.000000e+00]]], {{\[\[}}[9.000000e+00, 7.000000e+00], [3.000000e+00, 1.000000e+00]]]]> : tensor<4x1x2x2xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 {pads = array<i64: 0, 0, 1, 1>} : (tensor<1x1x4x4xf32>, tensor<4x1x2x2xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
// CHECK-NEXT: %3 = ktensor.depth_to_space %2 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x4x4xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %4 = ktensor.slice %3 {starts = array<i64: 0, 0, 0, 0>, ends = array<i64: 1, 1, 7, 8>, steps = array<i64: 1, 1, 1, 1>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x7x8xf32>
// CHECK-NEXT: func.return %4 : tensor<1x1x7x8xf32>
func.func @odd(%x: tensor<1x1x4x4xf32>) -> tensor<1x1x7x8xf32> {
  %w = ktensor.constant dense<[[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]]> : tensor<1x1x3x3xf32>
  %0 = ktensor.conv2d_transpose %x, %w {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>, output_padding = array<i64: 0, 1>} : (tensor<1x1x4x4xf32>, tensor<1x1x3x3xf32>) -> tensor<1x1x7x8xf32>
  func.return %0 : tensor<1x1x7x8xf32>
}

// -----

// Stride 1: mirrored. Groups stay.
// CHECK-LABEL: func.func @mirrored(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x6xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]], {{\[\[}}[4.000000e+00, 5.000000e+00, 6.000000e+00]]]]> : tensor<2x1x1x3xf32>
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}3.000000e+00, 2.000000e+00, 1.000000e+00]]], {{\[\[}}[6.000000e+00, 5.000000e+00, 4.000000e+00]]]]> : tensor<2x1x1x3xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 {pads = array<i64: 0, 2, 0, 2>, groups = 2 : i64} : (tensor<1x2x4x4xf32>, tensor<2x1x1x3xf32>, tensor<2xf32>) -> tensor<1x2x4x6xf32>
// CHECK-NEXT: func.return %2 : tensor<1x2x4x6xf32>
func.func @mirrored(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x6xf32> {
  %w = ktensor.constant dense<[[[[1.0, 2.0, 3.0]]], [[[4.0, 5.0, 6.0]]]]> : tensor<2x1x1x3xf32>
  %0 = ktensor.conv2d_transpose %x, %w {groups = 2 : i64} : (tensor<1x2x4x4xf32>, tensor<2x1x1x3xf32>) -> tensor<1x2x4x6xf32>
  func.return %0 : tensor<1x2x4x6xf32>
}

// -----

// Strides that differ.
// CHECK-LABEL: func.func @columns(%x: tensor<1x1x4x4xf32>) -> tensor<1x1x4x8xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00]]]]> : tensor<1x1x1x2xf32>
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]]], {{\[\[}}[2.000000e+00]]]]> : tensor<2x1x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 : (tensor<1x1x4x4xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: %3 = ktensor.reshape %2 : (tensor<1x2x4x4xf32>) -> tensor<1x1x2x4x4xf32>
// CHECK-NEXT: %4 = ktensor.transpose %3 {permutation = array<i64: 0, 3, 1, 4, 2>} : (tensor<1x1x2x4x4xf32>) -> tensor<1x4x1x4x2xf32>
// CHECK-NEXT: %5 = ktensor.reshape %4 : (tensor<1x4x1x4x2xf32>) -> tensor<1x1x4x8xf32>
// CHECK-NEXT: func.return %5 : tensor<1x1x4x8xf32>
func.func @columns(%x: tensor<1x1x4x4xf32>) -> tensor<1x1x4x8xf32> {
  %w = ktensor.constant dense<[[[[1.0, 2.0]]]]> : tensor<1x1x1x2xf32>
  %0 = ktensor.conv2d_transpose %x, %w {strides = array<i64: 1, 2>} : (tensor<1x1x4x4xf32>, tensor<1x1x1x2xf32>) -> tensor<1x1x4x8xf32>
  func.return %0 : tensor<1x1x4x8xf32>
}

// -----

// CHECK-LABEL: func.func @computed(%x: tensor<1x1x4x4xf32>, %w: tensor<1x1x2x2xf32>) -> tensor<1x1x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.conv2d_transpose %x, %w {kpu.reason = "the weights are computed by the model; the KPU needs constants", strides = array<i64: 2, 2>} : (tensor<1x1x4x4xf32>, tensor<1x1x2x2xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %0 : tensor<1x1x8x8xf32>
func.func @computed(%x: tensor<1x1x4x4xf32>, %w: tensor<1x1x2x2xf32>) -> tensor<1x1x8x8xf32> {
  %0 = ktensor.conv2d_transpose %x, %w {strides = array<i64: 2, 2>} : (tensor<1x1x4x4xf32>, tensor<1x1x2x2xf32>) -> tensor<1x1x8x8xf32>
  func.return %0 : tensor<1x1x8x8xf32>
}

// -----

// CHECK-LABEL: func.func @batch(%x: tensor<2x1x4x4xf32>) -> tensor<2x1x8x8xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x2x2xf32>
// CHECK-NEXT: %0 = ktensor.conv2d_transpose %x, %w {kpu.reason = "a batch of 2 images; only 1 is supported on the KPU", strides = array<i64: 2, 2>} : (tensor<2x1x4x4xf32>, tensor<1x1x2x2xf32>) -> tensor<2x1x8x8xf32>
// CHECK-NEXT: func.return %0 : tensor<2x1x8x8xf32>
func.func @batch(%x: tensor<2x1x4x4xf32>) -> tensor<2x1x8x8xf32> {
  %w = ktensor.constant dense<1.0> : tensor<1x1x2x2xf32>
  %0 = ktensor.conv2d_transpose %x, %w {strides = array<i64: 2, 2>} : (tensor<2x1x4x4xf32>, tensor<1x1x2x2xf32>) -> tensor<2x1x8x8xf32>
  func.return %0 : tensor<2x1x8x8xf32>
}
