// RUN: kpu-opt %s -p kpu-legalize-concats --split-input-file | filecheck %s

// 1 and 2 channels of maps 20 wide, 2 to a line: the weight of the channel between them is 0.
// CHECK-LABEL: func.func @fill(%x: tensor<1x1x8x20xf32>, %p: tensor<1x1x1x1xf32>, %q: tensor<1xf32>, %r: tensor<2x1x1x1xf32>, %s: tensor<2xf32>) -> tensor<1x1x8x20xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %p, %q : (tensor<1x1x8x20xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x20xf32>
// CHECK-NEXT: %1 = kpu.conv2d %x, %r, %s : (tensor<1x1x8x20xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x20xf32>
// CHECK-NEXT: %2 = kpu.concat %0, %1 : (tensor<1x1x8x20xf32>, tensor<1x2x8x20xf32>) -> tensor<1x4x8x20xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}2.000000e+00]], {{\[\[}}3.000000e+00]]]]> : tensor<1x4x1x1xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<5.000000e-01> : tensor<1xf32>
// CHECK-NEXT: %5 = kpu.conv2d %2, %3, %4 {activation = [#ktensor.activation<relu>]} : (tensor<1x4x8x20xf32>, tensor<1x4x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x20xf32>
// CHECK-NEXT: func.return %5 : tensor<1x1x8x20xf32>
func.func @fill(%x: tensor<1x1x8x20xf32>, %p: tensor<1x1x1x1xf32>, %q: tensor<1xf32>, %r: tensor<2x1x1x1xf32>, %s: tensor<2xf32>) -> tensor<1x1x8x20xf32> {
  %w = ktensor.constant dense<[[[[1.0]], [[2.0]], [[3.0]]]]> : tensor<1x3x1x1xf32>
  %b = ktensor.constant dense<0.5> : tensor<1xf32>
  %0 = kpu.conv2d %x, %p, %q : (tensor<1x1x8x20xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x20xf32>
  %1 = kpu.conv2d %x, %r, %s : (tensor<1x1x8x20xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x20xf32>
  %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x1x8x20xf32>, tensor<1x2x8x20xf32>) -> tensor<1x3x8x20xf32>
  %3 = kpu.conv2d %2, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x3x8x20xf32>, tensor<1x3x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x20xf32>
  func.return %3 : tensor<1x1x8x20xf32>
}

// -----

// A shuffle and a slice are the order of the weights.
// CHECK-LABEL: func.func @shuffle(%x: tensor<1x4x8x40xf32>, %p: tensor<4x4x1x1xf32>, %q: tensor<4xf32>) -> tensor<1x1x8x40xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %p, %q : (tensor<1x4x8x40xf32>, tensor<4x4x1x1xf32>, tensor<4xf32>) -> tensor<1x4x8x40xf32>
// CHECK-NEXT: %1 = kpu.channel_slice %0 {begin = 1 : i64, channels = 3 : i64} : (tensor<1x4x8x40xf32>) -> tensor<1x3x8x40xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<{{\[\[}}{{\[\[}}2.000000e+00]], {{\[\[}}1.000000e+00]], {{\[\[}}3.000000e+00]]]]> : tensor<1x3x1x1xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<5.000000e-01> : tensor<1xf32>
// CHECK-NEXT: %4 = kpu.conv2d %1, %2, %3 : (tensor<1x3x8x40xf32>, tensor<1x3x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x40xf32>
// CHECK-NEXT: func.return %4 : tensor<1x1x8x40xf32>
func.func @shuffle(%x: tensor<1x4x8x40xf32>, %p: tensor<4x4x1x1xf32>, %q: tensor<4xf32>) -> tensor<1x1x8x40xf32> {
  %w = ktensor.constant dense<[[[[1.0]], [[2.0]], [[3.0]]]]> : tensor<1x3x1x1xf32>
  %b = ktensor.constant dense<0.5> : tensor<1xf32>
  %0 = kpu.conv2d %x, %p, %q : (tensor<1x4x8x40xf32>, tensor<4x4x1x1xf32>, tensor<4xf32>) -> tensor<1x4x8x40xf32>
  %1 = ktensor.reshape %0 : (tensor<1x4x8x40xf32>) -> tensor<1x2x2x8x40xf32>
  %2 = ktensor.transpose %1 {permutation = array<i64: 0, 2, 1, 3, 4>} : (tensor<1x2x2x8x40xf32>) -> tensor<1x2x2x8x40xf32>
  %3 = ktensor.reshape %2 : (tensor<1x2x2x8x40xf32>) -> tensor<1x4x8x40xf32>
  %4 = ktensor.slice %3 {starts = array<i64: 0, 1, 0, 0>, ends = array<i64: 1, 4, 8, 40>, steps = array<i64: 1, 1, 1, 1>} : (tensor<1x4x8x40xf32>) -> tensor<1x3x8x40xf32>
  %5 = kpu.conv2d %4, %w, %b : (tensor<1x3x8x40xf32>, tensor<1x3x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x40xf32>
  func.return %5 : tensor<1x1x8x40xf32>
}

// -----

// A depthwise convolution keeps the order; its reader looks it up.
// CHECK-LABEL: func.func @depthwise(%x: tensor<1x1x8x8xf32>, %p: tensor<1x1x3x3xf32>, %q: tensor<1xf32>) -> tensor<1x1x8x8xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %p, %q : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %p, %q : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %2 = kpu.concat %0, %1 : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x5x8x8xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]]], {{\[\[}}[0.000000e+00]]], {{\[\[}}[0.000000e+00]]], {{\[\[}}[0.000000e+00]]], {{\[\[}}[2.000000e+00]]]]> : tensor<5x1x1x1xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<[5.000000e-01, 0.000000e+00, 0.000000e+00, 0.000000e+00, 2.500000e-01]> : tensor<5xf32>
// CHECK-NEXT: %5 = kpu.conv2d %2, %3, %4 {depthwise = true} : (tensor<1x5x8x8xf32>, tensor<5x1x1x1xf32>, tensor<5xf32>) -> tensor<1x5x8x8xf32>
// CHECK-NEXT: %6 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}2.000000e+00]]]]> : tensor<1x5x1x1xf32>
// CHECK-NEXT: %7 = ktensor.constant dense<5.000000e-01> : tensor<1xf32>
// CHECK-NEXT: %8 = kpu.conv2d %5, %6, %7 : (tensor<1x5x8x8xf32>, tensor<1x5x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %8 : tensor<1x1x8x8xf32>
func.func @depthwise(%x: tensor<1x1x8x8xf32>, %p: tensor<1x1x3x3xf32>, %q: tensor<1xf32>) -> tensor<1x1x8x8xf32> {
  %d = ktensor.constant dense<[[[[1.0]]], [[[2.0]]]]> : tensor<2x1x1x1xf32>
  %e = ktensor.constant dense<[0.5, 0.25]> : tensor<2xf32>
  %w = ktensor.constant dense<[[[[1.0]], [[2.0]]]]> : tensor<1x2x1x1xf32>
  %b = ktensor.constant dense<0.5> : tensor<1xf32>
  %0 = kpu.conv2d %x, %p, %q : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = kpu.conv2d %0, %p, %q : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x2x8x8xf32>
  %3 = kpu.conv2d %2, %d, %e {depthwise = true} : (tensor<1x2x8x8xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %4 = kpu.conv2d %3, %w, %b : (tensor<1x2x8x8xf32>, tensor<1x2x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  func.return %4 : tensor<1x1x8x8xf32>
}

// -----

// A pool goes through the concat to the convolutions that it can be part of.
// CHECK-LABEL: func.func @pool(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: %3 = ktensor.max_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: %4 = ktensor.concat %2, %3 {axis = 1 : i64} : (tensor<1x1x4x4xf32>, tensor<1x1x4x4xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %4 : tensor<1x2x4x4xf32>
func.func @pool(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x2x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x2x8x8xf32>
  %3 = ktensor.max_pool2d %2 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>) -> tensor<1x2x4x4xf32>
  func.return %3 : tensor<1x2x4x4xf32>
}

// -----

// Anything else reads the maps side by side, or what a layer selects.
// CHECK-LABEL: func.func @selected(%x: tensor<1x2x8x40xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x4x9x40xf32>, tensor<1x2x9x40xf32>) {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %2 = kpu.concat %0, %1 : (tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>) -> tensor<1x4x8x40xf32>
// CHECK-NEXT: %3 = kpu.pad %2 {pads = array<i64: 0, 0, 1, 0>} : (tensor<1x4x8x40xf32>) -> tensor<1x4x9x40xf32>
// CHECK-NEXT: %4 = kpu.channel_slice %0 {begin = 0 : i64, channels = 1 : i64} : (tensor<1x2x8x40xf32>) -> tensor<1x1x8x40xf32>
// CHECK-NEXT: %5 = kpu.channel_slice %1 {begin = 0 : i64, channels = 1 : i64} : (tensor<1x2x8x40xf32>) -> tensor<1x1x8x40xf32>
// CHECK-NEXT: %6 = kpu.concat %4, %5 : (tensor<1x1x8x40xf32>, tensor<1x1x8x40xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %7 = kpu.pad %6 {pads = array<i64: 0, 0, 1, 0>} : (tensor<1x2x8x40xf32>) -> tensor<1x2x9x40xf32>
// CHECK-NEXT: func.return %3, %7 : tensor<1x4x9x40xf32>, tensor<1x2x9x40xf32>
func.func @selected(%x: tensor<1x2x8x40xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x4x9x40xf32>, tensor<1x2x9x40xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  %1 = kpu.conv2d %0, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>) -> tensor<1x4x8x40xf32>
  %3 = kpu.pad %2 {pads = array<i64: 0, 0, 1, 0>} : (tensor<1x4x8x40xf32>) -> tensor<1x4x9x40xf32>
  %4 = ktensor.slice %2 {starts = array<i64: 0, 0, 0, 0>, ends = array<i64: 1, 4, 8, 40>, steps = array<i64: 1, 2, 1, 1>} : (tensor<1x4x8x40xf32>) -> tensor<1x2x8x40xf32>
  %5 = kpu.pad %4 {pads = array<i64: 0, 0, 1, 0>} : (tensor<1x2x8x40xf32>) -> tensor<1x2x9x40xf32>
  func.return %3, %5 : tensor<1x4x9x40xf32>, tensor<1x2x9x40xf32>
}

// -----

// More channels than a layer reads: the CPU joins them and says why.
// CHECK-LABEL: func.func @too_many(%x: tensor<1x2x4x4xf32>, %w: tensor<1000x2x1x1xf32>, %b: tensor<1000xf32>) -> tensor<1x1x4x4xf32> {
// CHECK-NEXT: %v = ktensor.constant dense<5.000000e-01> : tensor<1x1000x1x1xf32>
// CHECK-NEXT: %c = ktensor.constant dense<5.000000e-01> : tensor<1xf32>
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<1000x2x1x1xf32>, tensor<1000xf32>) -> tensor<1x1000x4x4xf32>
// CHECK-NEXT: %1 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x2x4x4xf32>, tensor<1000x2x1x1xf32>, tensor<1000xf32>) -> tensor<1x1000x4x4xf32>
// CHECK-NEXT: %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x1000x4x4xf32>, tensor<1x1000x4x4xf32>) -> tensor<1x2000x4x4xf32>
// CHECK-NEXT: %3 = ktensor.slice %2 {kpu.reason = "the channels come from maps of more than 1024 channels together", starts = array<i64: 0, 0, 0, 0>, ends = array<i64: 1, 2000, 4, 4>, steps = array<i64: 1, 2, 1, 1>} : (tensor<1x2000x4x4xf32>) -> tensor<1x1000x4x4xf32>
// CHECK-NEXT: %4 = kpu.conv2d %3, %v, %c : (tensor<1x1000x4x4xf32>, tensor<1x1000x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: func.return %4 : tensor<1x1x4x4xf32>
func.func @too_many(%x: tensor<1x2x4x4xf32>, %w: tensor<1000x2x1x1xf32>, %b: tensor<1000xf32>) -> tensor<1x1x4x4xf32> {
  %v = ktensor.constant dense<0.5> : tensor<1x1000x1x1xf32>
  %c = ktensor.constant dense<0.5> : tensor<1xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<1000x2x1x1xf32>, tensor<1000xf32>) -> tensor<1x1000x4x4xf32>
  %1 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x2x4x4xf32>, tensor<1000x2x1x1xf32>, tensor<1000xf32>) -> tensor<1x1000x4x4xf32>
  %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x1000x4x4xf32>, tensor<1x1000x4x4xf32>) -> tensor<1x2000x4x4xf32>
  %3 = ktensor.slice %2 {starts = array<i64: 0, 0, 0, 0>, ends = array<i64: 1, 2000, 4, 4>, steps = array<i64: 1, 2, 1, 1>} : (tensor<1x2000x4x4xf32>) -> tensor<1x1000x4x4xf32>
  %4 = kpu.conv2d %3, %v, %c : (tensor<1x1000x4x4xf32>, tensor<1x1000x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x4xf32>
  func.return %4 : tensor<1x1x4x4xf32>
}

// -----

// What only the CPU reads stays.
// CHECK-LABEL: func.func @cpu(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %2 : tensor<1x2x8x8xf32>
func.func @cpu(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x2x8x8xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = kpu.conv2d %0, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x2x8x8xf32>
  func.return %2 : tensor<1x2x8x8xf32>
}
