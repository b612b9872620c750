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
// NEVER-NEXT: %1 = ktensor.depth_to_space %0 {kpu.reason = "sinking is switched off (sink=never)", block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %2 = ktensor.conv2d %1, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %2 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @row(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// LIGHT-NEXT: %0 = ktensor.activation<relu> %x : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
// LIGHT-NEXT: %1 = ktensor.depth_to_space %0 {kpu.reason = "with pixels sorted by phase the weights take 144 bytes, allowed are 8", block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
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
// NEVER-NEXT: %0 = ktensor.resize %x {kpu.reason = "sinking is switched off (sink=never)", size = array<i64: 16, 16>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @repeated(%x: tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// LIGHT-NEXT: %0 = ktensor.resize %x {kpu.reason = "with pixels sorted by phase the weights take 36 bytes, allowed are 8", size = array<i64: 16, 16>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x16x16xf32>
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
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "sinking is switched off (sink=never)", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
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
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "sinking is switched off (sink=never)", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x16xf32>, tensor<1x1x16x16xf32>) -> tensor<1x2x16x16xf32>
// NEVER-NEXT: %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x16xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %2 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @skip(%x: tensor<1x4x8x8xf32>, %y: tensor<1x1x16x16xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}2.000000e+00]]]]> : tensor<1x2x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the weights take 32 bytes, allowed are 8", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
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
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "ktensor.binary needs its pixels in order", block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.depth_to_space %y {kpu.reason = "ktensor.binary needs its pixels in order", block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
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

// The pool needs its input in order, so it is there for the convolution too.
// CHECK-LABEL: func.func @needed(%x: tensor<1x4x8x8xf32>) -> (tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>) {
// CHECK-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "ktensor.max_pool2d needs its pixels in order", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %1, %2 : tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>
// NEVER-LABEL: func.func @needed(%x: tensor<1x4x8x8xf32>) -> (tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>) {
// NEVER-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "ktensor.max_pool2d needs its pixels in order", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 0, 1, 0, 1>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x3xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x16x16xf32>) -> tensor<1x1x8x8xf32>
// NEVER-NEXT: func.return %1, %2 : tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>
// LIGHT-LABEL: func.func @needed(%x: tensor<1x4x8x8xf32>) -> (tensor<1x1x16x16xf32>, tensor<1x1x8x8xf32>) {
// LIGHT-NEXT: %w = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00]]]]> : tensor<1x1x1x3xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "ktensor.max_pool2d needs its pixels in order", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
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

// -----

// 5x5 pixels of each phase.
// CHECK-LABEL: func.func @large(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x7x7xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the kernel is 5x5, the KPU has 1x1 and 3x3", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 3, 3, 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x7x7xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// NEVER-LABEL: func.func @large(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x7x7xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the kernel is 5x5, the KPU has 1x1 and 3x3", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 3, 3, 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x7x7xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @large(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x7x7xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the kernel is 5x5, the KPU has 1x1 and 3x3", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 3, 3, 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x7x7xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x1x16x16xf32>
func.func @large(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
  %w = ktensor.constant dense<1.0> : tensor<1x1x7x7xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w {pads = array<i64: 3, 3, 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x7x7xf32>) -> tensor<1x1x16x16xf32>
  func.return %1 : tensor<1x1x16x16xf32>
}

// -----

// Every third pixel is of another phase each time.
// CHECK-LABEL: func.func @third(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x6x6xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "pixels sorted by blocks of 2 are not sorted any more behind strides of 3x3", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w {strides = array<i64: 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x6x6xf32>
// CHECK-NEXT: func.return %1 : tensor<1x1x6x6xf32>
// NEVER-LABEL: func.func @third(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x6x6xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "pixels sorted by blocks of 2 are not sorted any more behind strides of 3x3", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {strides = array<i64: 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x6x6xf32>
// NEVER-NEXT: func.return %1 : tensor<1x1x6x6xf32>
// LIGHT-LABEL: func.func @third(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x6x6xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "pixels sorted by blocks of 2 are not sorted any more behind strides of 3x3", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w {strides = array<i64: 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x6x6xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x1x6x6xf32>
func.func @third(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x6x6xf32> {
  %w = ktensor.constant dense<1.0> : tensor<1x1x1x1xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w {strides = array<i64: 3, 3>} : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x6x6xf32>
  func.return %1 : tensor<1x1x6x6xf32>
}

// -----

// Pixels of one phase are still two apart.
// CHECK-LABEL: func.func @dilated(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x3x3xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the dilations are 2x2, the KPU has 1x1", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 4, 4, 4, 4>, dilations = array<i64: 4, 4>} : (tensor<1x1x16x16xf32>, tensor<1x1x3x3xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// NEVER-LABEL: func.func @dilated(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x3x3xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the dilations are 2x2, the KPU has 1x1", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 4, 4, 4, 4>, dilations = array<i64: 4, 4>} : (tensor<1x1x16x16xf32>, tensor<1x1x3x3xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @dilated(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<1x1x3x3xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the dilations are 2x2, the KPU has 1x1", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 4, 4, 4, 4>, dilations = array<i64: 4, 4>} : (tensor<1x1x16x16xf32>, tensor<1x1x3x3xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x1x16x16xf32>
func.func @dilated(%x: tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32> {
  %w = ktensor.constant dense<1.0> : tensor<1x1x3x3xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w {pads = array<i64: 4, 4, 4, 4>, dilations = array<i64: 4, 4>} : (tensor<1x1x16x16xf32>, tensor<1x1x3x3xf32>) -> tensor<1x1x16x16xf32>
  func.return %1 : tensor<1x1x16x16xf32>
}

// -----

// 1028 channels.
// CHECK-LABEL: func.func @many(%x: tensor<1x4x8x8xf32>) -> tensor<1x257x16x16xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<257x1x1x1xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the output has 1028 channels, the KPU takes 1 to 1024", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<257x1x1x1xf32>) -> tensor<1x257x16x16xf32>
// CHECK-NEXT: func.return %1 : tensor<1x257x16x16xf32>
// NEVER-LABEL: func.func @many(%x: tensor<1x4x8x8xf32>) -> tensor<1x257x16x16xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<257x1x1x1xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the output has 1028 channels, the KPU takes 1 to 1024", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<257x1x1x1xf32>) -> tensor<1x257x16x16xf32>
// NEVER-NEXT: func.return %1 : tensor<1x257x16x16xf32>
// LIGHT-LABEL: func.func @many(%x: tensor<1x4x8x8xf32>) -> tensor<1x257x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<257x1x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the output has 1028 channels, the KPU takes 1 to 1024", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<257x1x1x1xf32>) -> tensor<1x257x16x16xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x257x16x16xf32>
func.func @many(%x: tensor<1x4x8x8xf32>) -> tensor<1x257x16x16xf32> {
  %w = ktensor.constant dense<1.0> : tensor<257x1x1x1xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<257x1x1x1xf32>) -> tensor<1x257x16x16xf32>
  func.return %1 : tensor<1x257x16x16xf32>
}

// -----

// CHECK-LABEL: func.func @computed(%x: tensor<1x4x8x8xf32>, %w: tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32> {
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "the weights are computed by the model; the KPU needs constants", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32>
// CHECK-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// NEVER-LABEL: func.func @computed(%x: tensor<1x4x8x8xf32>, %w: tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32> {
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "the weights are computed by the model; the KPU needs constants", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32>
// NEVER-NEXT: func.return %1 : tensor<1x1x16x16xf32>
// LIGHT-LABEL: func.func @computed(%x: tensor<1x4x8x8xf32>, %w: tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32> {
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "the weights are computed by the model; the KPU needs constants", block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x1x16x16xf32>
func.func @computed(%x: tensor<1x4x8x8xf32>, %w: tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32> {
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x8xf32>) -> tensor<1x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w : (tensor<1x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x16x16xf32>
  func.return %1 : tensor<1x1x16x16xf32>
}

// -----

// CHECK-LABEL: func.func @batch(%x: tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "a batch of 2 images; only 1 is supported on the KPU", block_size = 2 : i64} : (tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<2x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<2x1x16x16xf32>
// CHECK-NEXT: func.return %1 : tensor<2x1x16x16xf32>
// NEVER-LABEL: func.func @batch(%x: tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<1x1x1x1xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "a batch of 2 images; only 1 is supported on the KPU", block_size = 2 : i64} : (tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<2x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<2x1x16x16xf32>
// NEVER-NEXT: func.return %1 : tensor<2x1x16x16xf32>
// LIGHT-LABEL: func.func @batch(%x: tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<1x1x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "a batch of 2 images; only 1 is supported on the KPU", block_size = 2 : i64} : (tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<2x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<2x1x16x16xf32>
// LIGHT-NEXT: func.return %1 : tensor<2x1x16x16xf32>
func.func @batch(%x: tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32> {
  %w = ktensor.constant dense<2.0> : tensor<1x1x1x1xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<2x4x8x8xf32>) -> tensor<2x1x16x16xf32>
  %1 = ktensor.conv2d %0, %w : (tensor<2x1x16x16xf32>, tensor<1x1x1x1xf32>) -> tensor<2x1x16x16xf32>
  func.return %1 : tensor<2x1x16x16xf32>
}

// -----

// The map beside cannot be sorted on the KPU: it is larger than what a layer takes.
// CHECK-LABEL: func.func @wide(%x: tensor<1x4x8x300xf32>, %y: tensor<1x1x16x600xf32>) -> tensor<1x1x16x600xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<1x2x1x1xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "the KPU cannot sort a map beside it by phase", block_size = 2 : i64} : (tensor<1x4x8x300xf32>) -> tensor<1x1x16x600xf32>
// CHECK-NEXT: %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x600xf32>, tensor<1x1x16x600xf32>) -> tensor<1x2x16x600xf32>
// CHECK-NEXT: %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x600xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x600xf32>
// CHECK-NEXT: func.return %2 : tensor<1x1x16x600xf32>
// NEVER-LABEL: func.func @wide(%x: tensor<1x4x8x300xf32>, %y: tensor<1x1x16x600xf32>) -> tensor<1x1x16x600xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<1x2x1x1xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "the KPU cannot sort a map beside it by phase", block_size = 2 : i64} : (tensor<1x4x8x300xf32>) -> tensor<1x1x16x600xf32>
// NEVER-NEXT: %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x600xf32>, tensor<1x1x16x600xf32>) -> tensor<1x2x16x600xf32>
// NEVER-NEXT: %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x600xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x600xf32>
// NEVER-NEXT: func.return %2 : tensor<1x1x16x600xf32>
// LIGHT-LABEL: func.func @wide(%x: tensor<1x4x8x300xf32>, %y: tensor<1x1x16x600xf32>) -> tensor<1x1x16x600xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<1x2x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the weights take 32 bytes, allowed are 8", block_size = 2 : i64} : (tensor<1x4x8x300xf32>) -> tensor<1x1x16x600xf32>
// LIGHT-NEXT: %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x600xf32>, tensor<1x1x16x600xf32>) -> tensor<1x2x16x600xf32>
// LIGHT-NEXT: %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x600xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x600xf32>
// LIGHT-NEXT: func.return %2 : tensor<1x1x16x600xf32>
func.func @wide(%x: tensor<1x4x8x300xf32>, %y: tensor<1x1x16x600xf32>) -> tensor<1x1x16x600xf32> {
  %w = ktensor.constant dense<2.0> : tensor<1x2x1x1xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x4x8x300xf32>) -> tensor<1x1x16x600xf32>
  %1 = ktensor.concat %0, %y {axis = 1 : i64} : (tensor<1x1x16x600xf32>, tensor<1x1x16x600xf32>) -> tensor<1x2x16x600xf32>
  %2 = ktensor.conv2d %1, %w : (tensor<1x2x16x600xf32>, tensor<1x2x1x1xf32>) -> tensor<1x1x16x600xf32>
  func.return %2 : tensor<1x1x16x600xf32>
}

// -----

// Sinking takes longer here than it saves.
// CHECK-LABEL: func.func @slow(%x: tensor<1x256x8x8xf32>) -> tensor<1x4x4x4xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<60x64x3x3xf32>
// CHECK-NEXT: %v = ktensor.constant dense<2.000000e+00> : tensor<4x60x1x1xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the layers behind take 0.22 ms longer", block_size = 2 : i64} : (tensor<1x256x8x8xf32>) -> tensor<1x64x16x16xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x64x16x16xf32>, tensor<60x64x3x3xf32>) -> tensor<1x60x16x16xf32>
// CHECK-NEXT: %2 = ktensor.max_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x60x16x16xf32>) -> tensor<1x60x8x8xf32>
// CHECK-NEXT: %3 = ktensor.conv2d %2, %v {strides = array<i64: 2, 2>} : (tensor<1x60x8x8xf32>, tensor<4x60x1x1xf32>) -> tensor<1x4x4x4xf32>
// CHECK-NEXT: func.return %3 : tensor<1x4x4x4xf32>
// NEVER-LABEL: func.func @slow(%x: tensor<1x256x8x8xf32>) -> tensor<1x4x4x4xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<60x64x3x3xf32>
// NEVER-NEXT: %v = ktensor.constant dense<2.000000e+00> : tensor<4x60x1x1xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "sinking is switched off (sink=never)", block_size = 2 : i64} : (tensor<1x256x8x8xf32>) -> tensor<1x64x16x16xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x64x16x16xf32>, tensor<60x64x3x3xf32>) -> tensor<1x60x16x16xf32>
// NEVER-NEXT: %2 = ktensor.max_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x60x16x16xf32>) -> tensor<1x60x8x8xf32>
// NEVER-NEXT: %3 = ktensor.conv2d %2, %v {strides = array<i64: 2, 2>} : (tensor<1x60x8x8xf32>, tensor<4x60x1x1xf32>) -> tensor<1x4x4x4xf32>
// NEVER-NEXT: func.return %3 : tensor<1x4x4x4xf32>
// LIGHT-LABEL: func.func @slow(%x: tensor<1x256x8x8xf32>) -> tensor<1x4x4x4xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<2.000000e+00> : tensor<60x64x3x3xf32>
// LIGHT-NEXT: %v = ktensor.constant dense<2.000000e+00> : tensor<4x60x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase the weights take 552960 bytes, allowed are 8", block_size = 2 : i64} : (tensor<1x256x8x8xf32>) -> tensor<1x64x16x16xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x64x16x16xf32>, tensor<60x64x3x3xf32>) -> tensor<1x60x16x16xf32>
// LIGHT-NEXT: %2 = ktensor.max_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x60x16x16xf32>) -> tensor<1x60x8x8xf32>
// LIGHT-NEXT: %3 = ktensor.conv2d %2, %v {strides = array<i64: 2, 2>} : (tensor<1x60x8x8xf32>, tensor<4x60x1x1xf32>) -> tensor<1x4x4x4xf32>
// LIGHT-NEXT: func.return %3 : tensor<1x4x4x4xf32>
func.func @slow(%x: tensor<1x256x8x8xf32>) -> tensor<1x4x4x4xf32> {
  %w = ktensor.constant dense<2.0> : tensor<60x64x3x3xf32>
  %v = ktensor.constant dense<2.0> : tensor<4x60x1x1xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x256x8x8xf32>) -> tensor<1x64x16x16xf32>
  %1 = ktensor.conv2d %0, %w {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x64x16x16xf32>, tensor<60x64x3x3xf32>) -> tensor<1x60x16x16xf32>
  %2 = ktensor.max_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x60x16x16xf32>) -> tensor<1x60x8x8xf32>
  %3 = ktensor.conv2d %2, %v {strides = array<i64: 2, 2>} : (tensor<1x60x8x8xf32>, tensor<4x60x1x1xf32>) -> tensor<1x4x4x4xf32>
  func.return %3 : tensor<1x4x4x4xf32>
}

// -----

// CHECK-LABEL: func.func @bytes(%x: tensor<1x512x128x128xf32>) -> tensor<1x160x256x256xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<160x128x1x1xf32>
// CHECK-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase 16 rows of input (1048576 bytes) and output (1310720) take 2359296 bytes together, the KPU RAM has 2097152", block_size = 2 : i64} : (tensor<1x512x128x128xf32>) -> tensor<1x128x256x256xf32>
// CHECK-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x128x256x256xf32>, tensor<160x128x1x1xf32>) -> tensor<1x160x256x256xf32>
// CHECK-NEXT: func.return %1 : tensor<1x160x256x256xf32>
// NEVER-LABEL: func.func @bytes(%x: tensor<1x512x128x128xf32>) -> tensor<1x160x256x256xf32> {
// NEVER-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<160x128x1x1xf32>
// NEVER-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase 16 rows of input (1048576 bytes) and output (1310720) take 2359296 bytes together, the KPU RAM has 2097152", block_size = 2 : i64} : (tensor<1x512x128x128xf32>) -> tensor<1x128x256x256xf32>
// NEVER-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x128x256x256xf32>, tensor<160x128x1x1xf32>) -> tensor<1x160x256x256xf32>
// NEVER-NEXT: func.return %1 : tensor<1x160x256x256xf32>
// LIGHT-LABEL: func.func @bytes(%x: tensor<1x512x128x128xf32>) -> tensor<1x160x256x256xf32> {
// LIGHT-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<160x128x1x1xf32>
// LIGHT-NEXT: %0 = ktensor.depth_to_space %x {kpu.reason = "with pixels sorted by phase 16 rows of input (1048576 bytes) and output (1310720) take 2359296 bytes together, the KPU RAM has 2097152", block_size = 2 : i64} : (tensor<1x512x128x128xf32>) -> tensor<1x128x256x256xf32>
// LIGHT-NEXT: %1 = ktensor.conv2d %0, %w : (tensor<1x128x256x256xf32>, tensor<160x128x1x1xf32>) -> tensor<1x160x256x256xf32>
// LIGHT-NEXT: func.return %1 : tensor<1x160x256x256xf32>
func.func @bytes(%x: tensor<1x512x128x128xf32>) -> tensor<1x160x256x256xf32> {
  %w = ktensor.constant dense<1.0> : tensor<160x128x1x1xf32>
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x512x128x128xf32>) -> tensor<1x128x256x256xf32>
  %1 = ktensor.conv2d %0, %w : (tensor<1x128x256x256xf32>, tensor<160x128x1x1xf32>) -> tensor<1x160x256x256xf32>
  func.return %1 : tensor<1x160x256x256xf32>
}

// -----

// What is left is interleaved by one transpose: all channels of a phase lie together.
// CHECK-LABEL: @phases_first
// CHECK: ktensor.depth_to_space %{{.*}} {block_size = 2 : i64} : (tensor<1x8x8x8xf32>) -> tensor<1x2x16x16xf32>
// NEVER-LABEL: @phases_first
// NEVER: ktensor.depth_to_space %{{.*}} {block_size = 2 : i64} : (tensor<1x8x8x8xf32>) -> tensor<1x2x16x16xf32>
// LIGHT-LABEL: @phases_first
// LIGHT: ktensor.depth_to_space %{{.*}} {block_size = 2 : i64} : (tensor<1x8x8x8xf32>) -> tensor<1x2x16x16xf32>
func.func @phases_first(%x: tensor<1x4x8x8xf32>) -> tensor<1x2x16x16xf32> {
  %w = ktensor.constant dense<1.0> : tensor<8x4x1x1xf32>
  %0 = ktensor.conv2d %x, %w : (tensor<1x4x8x8xf32>, tensor<8x4x1x1xf32>) -> tensor<1x8x8x8xf32>
  %1 = ktensor.depth_to_space %0 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x8x8x8xf32>) -> tensor<1x2x16x16xf32>
  func.return %1 : tensor<1x2x16x16xf32>
}
