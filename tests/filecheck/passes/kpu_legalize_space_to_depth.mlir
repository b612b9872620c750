// RUN: kpu-opt %s -p kpu-legalize-space-to-depth --split-input-file | filecheck %s

// CHECK-LABEL: func.func @one_layer(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x1x1xf32>, %b: tensor<1xf32>) -> tensor<1x4x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<{{\[\[}}{{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 1.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 1.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 1.000000e+00, 0.000000e+00]]], {{\[\[}}[0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 1.000000e+00]]]]> : tensor<4x1x3x3xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {kpu.moves, pool = #kpu.pool<left_top_2_s2>} : (tensor<1x1x8x8xf32>, tensor<4x1x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
// CHECK-NEXT: func.return %3 : tensor<1x4x4x4xf32>
func.func @one_layer(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x1x1xf32>, %b: tensor<1xf32>) -> tensor<1x4x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = ktensor.space_to_depth %0 {block_size = 2 : i64} : (tensor<1x1x8x8xf32>) -> tensor<1x4x4x4xf32>
  func.return %1 : tensor<1x4x4x4xf32>
}

// -----

// Slices of channels are cheaper; their results lie one behind the other.
// CHECK-LABEL: func.func @slices(%x: tensor<1x8x64x128xf32>, %w: tensor<8x8x1x1xf32>, %b: tensor<8xf32>) -> tensor<1x32x32x64xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x8x64x128xf32>, tensor<8x8x1x1xf32>, tensor<8xf32>) -> tensor<1x8x64x128xf32>
// CHECK-NEXT: %1 = kpu.channel_slice %0 {begin = 0 : i64, channels = 4 : i64} : (tensor<1x8x64x128xf32>) -> tensor<1x4x64x128xf32>
// CHECK-NEXT: %2 = kpu.channel_slice %0 {begin = 4 : i64, channels = 4 : i64} : (tensor<1x8x64x128xf32>) -> tensor<1x4x64x128xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<{{.*}}> : tensor<16x4x3x3xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<0.000000e+00> : tensor<16xf32>
// CHECK-NEXT: %5 = kpu.conv2d %1, %3, %4 {kpu.moves, pool = #kpu.pool<left_top_2_s2>} : (tensor<1x4x64x128xf32>, tensor<16x4x3x3xf32>, tensor<16xf32>) -> tensor<1x16x32x64xf32>
// CHECK-NEXT: %6 = ktensor.constant dense<{{.*}}> : tensor<16x4x3x3xf32>
// CHECK-NEXT: %7 = ktensor.constant dense<0.000000e+00> : tensor<16xf32>
// CHECK-NEXT: %8 = kpu.conv2d %2, %6, %7 {kpu.moves, pool = #kpu.pool<left_top_2_s2>} : (tensor<1x4x64x128xf32>, tensor<16x4x3x3xf32>, tensor<16xf32>) -> tensor<1x16x32x64xf32>
// CHECK-NEXT: %9 = kpu.concat %5, %8 : (tensor<1x16x32x64xf32>, tensor<1x16x32x64xf32>) -> tensor<1x32x32x64xf32>
// CHECK-NEXT: func.return %9 : tensor<1x32x32x64xf32>
func.func @slices(%x: tensor<1x8x64x128xf32>, %w: tensor<8x8x1x1xf32>, %b: tensor<8xf32>) -> tensor<1x32x32x64xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x8x64x128xf32>, tensor<8x8x1x1xf32>, tensor<8xf32>) -> tensor<1x8x64x128xf32>
  %1 = ktensor.space_to_depth %0 {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x8x64x128xf32>) -> tensor<1x32x32x64xf32>
  func.return %1 : tensor<1x32x32x64xf32>
}

// -----

// What the CPU has it sorts itself.
// CHECK-LABEL: func.func @image(%x: tensor<1x1x8x8xf32>) -> tensor<1x4x4x4xf32> {
// CHECK-NEXT: %0 = ktensor.space_to_depth %x {block_size = 2 : i64} : (tensor<1x1x8x8xf32>) -> tensor<1x4x4x4xf32>
// CHECK-NEXT: func.return %0 : tensor<1x4x4x4xf32>
func.func @image(%x: tensor<1x1x8x8xf32>) -> tensor<1x4x4x4xf32> {
  %0 = ktensor.space_to_depth %x {block_size = 2 : i64} : (tensor<1x1x8x8xf32>) -> tensor<1x4x4x4xf32>
  func.return %0 : tensor<1x4x4x4xf32>
}

// -----

// CHECK-LABEL: func.func @blocks(%x: tensor<1x1x12x12xf32>, %w: tensor<1x1x1x1xf32>, %b: tensor<1xf32>) -> tensor<1x9x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x12x12xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x12x12xf32>
// CHECK-NEXT: %1 = ktensor.space_to_depth %0 {kpu.reason = "blocks of 3x3; the KPU picks one pixel of 2x2", block_size = 3 : i64} : (tensor<1x1x12x12xf32>) -> tensor<1x9x4x4xf32>
// CHECK-NEXT: func.return %1 : tensor<1x9x4x4xf32>
func.func @blocks(%x: tensor<1x1x12x12xf32>, %w: tensor<1x1x1x1xf32>, %b: tensor<1xf32>) -> tensor<1x9x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x12x12xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x12x12xf32>
  %1 = ktensor.space_to_depth %0 {block_size = 3 : i64} : (tensor<1x1x12x12xf32>) -> tensor<1x9x4x4xf32>
  func.return %1 : tensor<1x9x4x4xf32>
}

// -----

// CHECK-LABEL: func.func @small(%x: tensor<1x1x6x6xf32>, %w: tensor<1x1x1x1xf32>, %b: tensor<1xf32>) -> tensor<1x4x3x3xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x6x6xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x6x6xf32>
// CHECK-NEXT: %1 = ktensor.space_to_depth %0 {kpu.reason = "the output is 3x3, the KPU gives at least 4x4", block_size = 2 : i64} : (tensor<1x1x6x6xf32>) -> tensor<1x4x3x3xf32>
// CHECK-NEXT: func.return %1 : tensor<1x4x3x3xf32>
func.func @small(%x: tensor<1x1x6x6xf32>, %w: tensor<1x1x1x1xf32>, %b: tensor<1xf32>) -> tensor<1x4x3x3xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x6x6xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x6x6xf32>
  %1 = ktensor.space_to_depth %0 {block_size = 2 : i64} : (tensor<1x1x6x6xf32>) -> tensor<1x4x3x3xf32>
  func.return %1 : tensor<1x4x3x3xf32>
}

// -----

// Phase by phase: slices of one channel would not begin at a line in the result, 257 have no other divisor.
// CHECK-LABEL: func.func @odd_channels(%x: tensor<1x257x64x64xf32>, %w: tensor<257x257x1x1xf32>, %b: tensor<257xf32>) -> tensor<1x1028x32x32xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x257x64x64xf32>, tensor<257x257x1x1xf32>, tensor<257xf32>) -> tensor<1x257x64x64xf32>
// CHECK-NEXT: %1 = ktensor.space_to_depth %0 {kpu.reason = "the output has 1028 channels, the KPU takes 1 to 1024", block_size = 2 : i64} : (tensor<1x257x64x64xf32>) -> tensor<1x1028x32x32xf32>
// CHECK-NEXT: func.return %1 : tensor<1x1028x32x32xf32>
func.func @odd_channels(%x: tensor<1x257x64x64xf32>, %w: tensor<257x257x1x1xf32>, %b: tensor<257xf32>) -> tensor<1x1028x32x32xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x257x64x64xf32>, tensor<257x257x1x1xf32>, tensor<257xf32>) -> tensor<1x257x64x64xf32>
  %1 = ktensor.space_to_depth %0 {block_size = 2 : i64} : (tensor<1x257x64x64xf32>) -> tensor<1x1028x32x32xf32>
  func.return %1 : tensor<1x1028x32x32xf32>
}
