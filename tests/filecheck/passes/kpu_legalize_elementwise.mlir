// RUN: kpu-opt %s -p kpu-legalize-elementwise --split-input-file | filecheck %s

// A scale and shift of each channel, then functions: one layer of one tap for each channel.
// CHECK-LABEL: func.func @chain(%x: tensor<1x2x8x40xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>) {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<{{\[\[}}{{\[\[}}2.000000e+00]]], {{\[\[}}[3.000000e+00]]]]> : tensor<2x1x1x1xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<[-5.000000e-01, -2.500000e-01]> : tensor<2xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {depthwise = true, activation = [#ktensor.activation<sigmoid>, #ktensor.activation<square>]} : (tensor<1x2x8x40xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %4 = kpu.conv2d %3, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: func.return %4, %0 : tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>
func.func @chain(%x: tensor<1x2x8x40xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>) {
  %scale = ktensor.constant dense<[[[2.0]], [[3.0]]]> : tensor<2x1x1xf32>
  %shift = ktensor.constant dense<[[[0.5]], [[0.25]]]> : tensor<2x1x1xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  %1 = ktensor.binary<mul> %0, %scale : (tensor<1x2x8x40xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x40xf32>
  %2 = ktensor.binary<sub> %1, %shift : (tensor<1x2x8x40xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x40xf32>
  %3 = ktensor.activation<sigmoid> %2 : (tensor<1x2x8x40xf32>) -> tensor<1x2x8x40xf32>
  %4 = ktensor.unary<square> %3 : (tensor<1x2x8x40xf32>) -> tensor<1x2x8x40xf32>
  %5 = kpu.conv2d %4, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  func.return %5, %0 : tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>
}

// -----

// Next to a linear convolution a scale and shift are in its weights.
// CHECK-LABEL: func.func @folded(%x: tensor<1x2x8x40xf32>) -> tensor<1x2x8x40xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}4.000000e+00]], {{\[\[}}1.200000e+01]]], {{\[\[}}[1.800000e+01]], {{\[\[}}3.600000e+01]]]]> : tensor<2x2x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<[4.000000e+00, 4.500000e+00]> : tensor<2xf32>
// CHECK-NEXT: %2 = kpu.conv2d %x, %0, %1 : (tensor<1x2x8x40xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: func.return %2 : tensor<1x2x8x40xf32>
func.func @folded(%x: tensor<1x2x8x40xf32>) -> tensor<1x2x8x40xf32> {
  %w = ktensor.constant dense<[[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]]> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<[1.0, -1.0]> : tensor<2xf32>
  %scale = ktensor.constant dense<[[[2.0]], [[3.0]]]> : tensor<2x1x1xf32>
  %shift = ktensor.constant dense<[[[0.5]], [[0.25]]]> : tensor<2x1x1xf32>
  %0 = ktensor.binary<mul> %x, %scale : (tensor<1x2x8x40xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x40xf32>
  %1 = ktensor.binary<add> %0, %shift : (tensor<1x2x8x40xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x40xf32>
  %2 = kpu.conv2d %1, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  %3 = ktensor.binary<mul> %2, %scale : (tensor<1x2x8x40xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x40xf32>
  func.return %3 : tensor<1x2x8x40xf32>
}

// -----

// A function behind a concat of convolutions is in them.
// CHECK-LABEL: func.func @concat(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x4x8x8xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %1 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<abs>, #ktensor.activation<relu>]} : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: func.return %2 : tensor<1x4x8x8xf32>
func.func @concat(%x: tensor<1x2x8x8xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x4x8x8xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<abs>]} : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %2 = ktensor.concat %0, %1 {axis = 1 : i64} : (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) -> tensor<1x4x8x8xf32>
  %3 = ktensor.activation<relu> %2 : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  func.return %3 : tensor<1x4x8x8xf32>
}

// -----

// More channels than a layer takes: several layers next to each other.
// CHECK-LABEL: func.func @wide(%x: tensor<1x2048x4x4xf32>, %w: tensor<1024x1x1x1xf32>, %b: tensor<1024xf32>) -> tensor<1x2048x4x4xf32> {
// CHECK-NEXT: %0 = kpu.channel_slice %x {begin = 0 : i64, channels = 1024 : i64} : (tensor<1x2048x4x4xf32>) -> tensor<1x1024x4x4xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b {depthwise = true} : (tensor<1x1024x4x4xf32>, tensor<1024x1x1x1xf32>, tensor<1024xf32>) -> tensor<1x1024x4x4xf32>
// CHECK-NEXT: %2 = kpu.concat %1, %1 : (tensor<1x1024x4x4xf32>, tensor<1x1024x4x4xf32>) -> tensor<1x2048x4x4xf32>
// CHECK-NEXT: %3 = kpu.channel_slice %2 {begin = 0 : i64, channels = 1024 : i64} : (tensor<1x2048x4x4xf32>) -> tensor<1x1024x4x4xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<1.000000e+00> : tensor<1024x1x1x1xf32>
// CHECK-NEXT: %5 = ktensor.constant dense<0.000000e+00> : tensor<1024xf32>
// CHECK-NEXT: %6 = kpu.conv2d %3, %4, %5 {depthwise = true, activation = [#ktensor.activation<relu>]} : (tensor<1x1024x4x4xf32>, tensor<1024x1x1x1xf32>, tensor<1024xf32>) -> tensor<1x1024x4x4xf32>
// CHECK-NEXT: %7 = kpu.channel_slice %2 {begin = 1024 : i64, channels = 1024 : i64} : (tensor<1x2048x4x4xf32>) -> tensor<1x1024x4x4xf32>
// CHECK-NEXT: %8 = ktensor.constant dense<1.000000e+00> : tensor<1024x1x1x1xf32>
// CHECK-NEXT: %9 = ktensor.constant dense<0.000000e+00> : tensor<1024xf32>
// CHECK-NEXT: %10 = kpu.conv2d %7, %8, %9 {depthwise = true, activation = [#ktensor.activation<relu>]} : (tensor<1x1024x4x4xf32>, tensor<1024x1x1x1xf32>, tensor<1024xf32>) -> tensor<1x1024x4x4xf32>
// CHECK-NEXT: %11 = kpu.concat %6, %10 : (tensor<1x1024x4x4xf32>, tensor<1x1024x4x4xf32>) -> tensor<1x2048x4x4xf32>
// CHECK-NEXT: func.return %11 : tensor<1x2048x4x4xf32>
func.func @wide(%x: tensor<1x2048x4x4xf32>, %w: tensor<1024x1x1x1xf32>, %b: tensor<1024xf32>) -> tensor<1x2048x4x4xf32> {
  %0 = kpu.channel_slice %x {begin = 0 : i64, channels = 1024 : i64} : (tensor<1x2048x4x4xf32>) -> tensor<1x1024x4x4xf32>
  %1 = kpu.conv2d %0, %w, %b {depthwise = true} : (tensor<1x1024x4x4xf32>, tensor<1024x1x1x1xf32>, tensor<1024xf32>) -> tensor<1x1024x4x4xf32>
  %2 = kpu.concat %1, %1 : (tensor<1x1024x4x4xf32>, tensor<1x1024x4x4xf32>) -> tensor<1x2048x4x4xf32>
  %3 = ktensor.activation<relu> %2 : (tensor<1x2048x4x4xf32>) -> tensor<1x2048x4x4xf32>
  func.return %3 : tensor<1x2048x4x4xf32>
}

// -----

// What the CPU makes and reads stays there.
// CHECK-LABEL: func.func @cpu(%x: tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.activation<relu> %x : (tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %0 : tensor<1x2x8x8xf32>
func.func @cpu(%x: tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32> {
  %0 = ktensor.activation<relu> %x : (tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  func.return %0 : tensor<1x2x8x8xf32>
}
