// RUN: kpu-opt %s -p ktensor-sink-depth-to-space --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'ktensor-sink-depth-to-space{sink=never}' --split-input-file | filecheck %s --check-prefix=NEVER
// RUN: kpu-opt %s -p 'ktensor-sink-depth-to-space{sink=always weight_bytes=8}' --split-input-file | filecheck %s --check-prefix=LIGHT

// Only the three phases of each row that 3 pixels see have taps.
// CHECK-LABEL: func.func @row(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// CHECK-NEXT: %0 = ktensor.activation<relu> %x : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<{{\[\[}}{{\[\[}}0.000000e+00, 2.000000e+00, 0.000000e+00]], {{\[\[}}1.000000e+00, 3.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 1.000000e+00, 3.000000e+00]], {{\[\[}}0.000000e+00, 2.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 0.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 2.000000e+00, 0.000000e+00]], {{\[\[}}1.000000e+00, 3.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 0.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00]], {{\[\[}}0.000000e+00, 1.000000e+00, 3.000000e+00]], {{\[\[}}0.000000e+00, 2.000000e+00, 0.000000e+00]]]]> : tensor<4x4x1x3xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %3 = ktensor.conv2d %0, %1 bias %2 {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x4x8x8xf32>, tensor<4x4x1x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %4 = ktensor.depth_to_space %3 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: func.return %4 : tensor<1x1x16x16xf32>
// NEVER-LABEL: func.func @row(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// NEVER-NEXT: %0 = ktensor.activation<relu> %x : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
// NEVER-NEXT: %1 = ktensor.depth_to_space %0 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %2 = ktensor.conv2d %1, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %2 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @row(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// LIGHT-NEXT: %0 = ktensor.activation<relu> %x : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
// LIGHT-NEXT: %1 = ktensor.depth_to_space %0 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %2 = ktensor.conv2d %1, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: func.return %2 : tensor<1x1x16x16xf32>
func.func @row(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
  %w = ktensor.constant dense<[[[[1.0, 2.0, 3.0]]]]> : tensor<1x1x1x3xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.activation<relu> %0 : (tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32>
  %2 = ktensor.conv2d %1, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
  func.return %2 : tensor<1x1x16x16xf32>
}

// -----

// Repeated pixels: the taps on one pixel add up.
// CHECK-LABEL: func.func @repeated(%x: tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 5.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 3.000000e+00, 3.000000e+00]]], {{\[\[}}[1.000000e+00, 5.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 3.000000e+00, 3.000000e+00]]]]> : tensor<4x1x1x3xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x8x8xf32>, tensor<4x1x1x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %3 = ktensor.depth_to_space %2 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: func.return %3 : tensor<1x1x16x16xf32>
// NEVER-LABEL: func.func @repeated(%x: tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// NEVER-NEXT: %0 = ktensor.resize %x {size = array<i64: 16, 16>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @repeated(%x: tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// LIGHT-NEXT: %0 = ktensor.resize %x {size = array<i64: 16, 16>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x1x16x16xf32>
func.func @repeated(%x: tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32> {
  %w = ktensor.constant dense<[[[[1.0, 2.0, 3.0]]]]> : tensor<1x1x1x3xf32>
  %0 = ktensor.resize %x {size = array<i64: 16, 16>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
  func.return %1 : tensor<1x1x16x16xf32>
}

// -----

// At stride 2 nothing is left to interleave.
// CHECK-LABEL: func.func @stride(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}2.000000e+00]], {{\[\[}}3.000000e+00]], {{\[\[}}4.000000e+00]]]]> : tensor<1x4x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 : (tensor<1x4x8x8xf32>, tensor<1x4x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %2 : tensor<1x1x8x8xf32>
// NEVER-LABEL: func.func @stride(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x8x8xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00], [3.000000e+00, 4.000000e+00]]]]> : tensor<1x1x2x2xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>, tensor<1x1x2x2xf32>) -> tensor<1x1x8x8xf32>
// NEVER-NEXT: func.return %1 : tensor<1x1x8x8xf32>
// LIGHT-LABEL: func.func @stride(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x8x8xf32> {
// LIGHT-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}2.000000e+00]], {{\[\[}}3.000000e+00]], {{\[\[}}4.000000e+00]]]]> : tensor<1x4x1x1xf32>
// LIGHT-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// LIGHT-NEXT: %2 = ktensor.conv2d %x, %0 bias %1 : (tensor<1x4x8x8xf32>, tensor<1x4x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// LIGHT-NEXT: func.return %2 : tensor<1x1x8x8xf32>
func.func @stride(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x8x8xf32> {
  %w = ktensor.constant dense<[[[[1.0, 2.0], [3.0, 4.0]]]]> : tensor<1x1x2x2xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w {strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>, tensor<1x1x2x2xf32>) -> tensor<1x1x8x8xf32>
  func.return %1 : tensor<1x1x8x8xf32>
}

// -----

// A map beside it is sorted.
// CHECK-LABEL: func.func @skip(%x: tensor<1x4x8x8xf32>, %y: tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32> {
// CHECK-NEXT: %0 = ktensor.space_to_depth %y {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x1x16x16xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %1 = ktensor.concat %x, %0 {axis = 1 : i64} : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x8x8x8xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}2.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]]], {{\[\[}}[0.000000e+00]], {{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}2.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]]], {{\[\[}}[0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}2.000000e+00]], {{\[\[}}0.000000e+00]]], {{\[\[}}[0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}2.000000e+00]]]]> : tensor<4x8x1x1xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %4 = ktensor.conv2d %1, %2 bias %3 : (tensor<1x8x8x8xf32>, tensor<4x8x1x1xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %5 = ktensor.depth_to_space %4 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: func.return %5 : tensor<1x1x16x16xf32>
// NEVER-LABEL: func.func @skip(%x: tensor<1x4x8x8xf32>, %y: tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}2.000000e+00]]]]> : tensor<1x2x1x1xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x16xf32>, tensor<1x1x16x16xf32>) -> tensor<1x2x16x16xf32>
// NEVER-NEXT: %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x16xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %2 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @skip(%x: tensor<1x4x8x8xf32>, %y: tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}2.000000e+00]]]]> : tensor<1x2x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x16xf32>, tensor<1x1x16x16xf32>) -> tensor<1x2x16x16xf32>
// LIGHT-NEXT: %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x16xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: func.return %2 : tensor<1x1x16x16xf32>
func.func @skip(%x: tensor<1x4x8x8xf32>, %y: tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32> {
  %w = ktensor.constant dense<[[[[1.0]], [[2.0]]]]> : tensor<1x2x1x1xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x16xf32>, tensor<1x1x16x16xf32>) -> tensor<1x2x16x16xf32>
  %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x16xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x16xf32>
  func.return %2 : tensor<1x1x16x16xf32>
}

// -----

// Two maps are multiplied before.
// CHECK-LABEL: func.func @maps(%x: tensor<1x4x8x8xf32>, %y: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// CHECK-NEXT: %0 = ktensor.binary<mul> %x, %y : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %1 = ktensor.depth_to_space %0 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// NEVER-LABEL: func.func @maps(%x: tensor<1x4x8x8xf32>, %y: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.depth_to_space %y {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %2 = ktensor.binary<mul> %0, %1 : (tensor<1x1x16x16xf32>, tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %2 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @maps(%x: tensor<1x4x8x8xf32>, %y: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %0 = ktensor.binary<mul> %x, %y : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
// LIGHT-NEXT: %1 = ktensor.depth_to_space %0 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x1x16x16xf32>
func.func @maps(%x: tensor<1x4x8x8xf32>, %y: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.depth_to_space %y {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %2 = ktensor.binary<mul> %0, %1 : (tensor<1x1x16x16xf32>, tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32>
  func.return %2 : tensor<1x1x16x16xf32>
}

// -----

// The CPU's maps are interleaved where they are: the pool's input is needed in order anyway.
// CHECK-LABEL: func.func @needed(%x: tensor<1x4x8x8xf32>) -> (tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>) {
// CHECK-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %1, %2 : tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>
// NEVER-LABEL: func.func @needed(%x: tensor<1x4x8x8xf32>) -> (tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>) {
// NEVER-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>) -> tensor<1x1x8x8xf32>
// NEVER-NEXT: func.return %1, %2 : tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>
// LIGHT-LABEL: func.func @needed(%x: tensor<1x4x8x8xf32>) -> (tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>) {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>) -> tensor<1x1x8x8xf32>
// LIGHT-NEXT: func.return %1, %2 : tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>
func.func @needed(%x: tensor<1x4x8x8xf32>) -> (tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>) {
  %w = ktensor.constant dense<[[[[1.0, 2.0, 3.0]]]]> : tensor<1x1x1x3xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
  %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>) -> tensor<1x1x8x8xf32>
  func.return %1, %2 : tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>
}
