// RUN: kpu-opt %s -p kpu-legalize-adds --split-input-file | filecheck %s

// A residual: the maps lie next to each other, a layer with two identities adds them, and the ReLU is in it.
// CHECK-LABEL: func.func @residual(%x: tensor<1x2x8x40xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x8x40xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %2 = kpu.concat %0, %1 : (tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>) -> tensor<1x4x8x40xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}-1.000000e+00]], {{\[\[}}0.000000e+00]]], {{\[\[}}[0.000000e+00]], {{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}-1.000000e+00]]]]> : tensor<2x4x1x1xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %5 = kpu.conv2d %2, %3, %4 {activation = [#ktensor.activation<relu>]} : (tensor<1x4x8x40xf32>, tensor<2x4x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: %6 = kpu.conv2d %5, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
// CHECK-NEXT: func.return %6 : tensor<1x2x8x40xf32>
func.func @residual(%x: tensor<1x2x8x40xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x8x40xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  %1 = kpu.conv2d %0, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  %2 = ktensor.binary<sub> %0, %1 : (tensor<1x2x8x40xf32>, tensor<1x2x8x40xf32>) -> tensor<1x2x8x40xf32>
  %3 = ktensor.activation<relu> %2 : (tensor<1x2x8x40xf32>) -> tensor<1x2x8x40xf32>
  %4 = kpu.conv2d %3, %w, %b : (tensor<1x2x8x40xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  func.return %4 : tensor<1x2x8x40xf32>
}

// -----

// Three maps at once, one of them scaled and shifted; 3 channels of 4 in a line, so there is one to skip between maps.
// CHECK-LABEL: func.func @three(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x8x8xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %2 = kpu.conv2d %1, %w, %b {activation = [#ktensor.activation<mul, 5.000000e-01>, #ktensor.activation<add, 5.000000e-01>]} : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %3 = kpu.concat %0, %1, %2 : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x9x8x8xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}-1.000000e+00]]]]> : tensor<1x9x1x1xf32>
// CHECK-NEXT: %5 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %6 = kpu.conv2d %3, %4, %5 : (tensor<1x9x8x8xf32>, tensor<1x9x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %6 : tensor<1x1x8x8xf32>
func.func @three(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x8x8xf32> {
  %half = ktensor.constant dense<0.5> : tensor<1x1x1xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = kpu.conv2d %0, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %2 = kpu.conv2d %1, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %3 = ktensor.binary<mul> %2, %half : (tensor<1x1x8x8xf32>, tensor<1x1x1xf32>) -> tensor<1x1x8x8xf32>
  %4 = ktensor.binary<add> %3, %half : (tensor<1x1x8x8xf32>, tensor<1x1x1xf32>) -> tensor<1x1x8x8xf32>
  %5 = ktensor.binary<add> %0, %1 : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x8xf32>
  %6 = ktensor.binary<sub> %5, %4 : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x8xf32>
  func.return %6 : tensor<1x1x8x8xf32>
}

// -----

// A map plus itself is scaled.
// CHECK-LABEL: func.func @twice(%x: tensor<1x1x16x40xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x16x40xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x16x40xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x16x40xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<2.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {depthwise = true} : (tensor<1x1x16x40xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x16x40xf32>
// CHECK-NEXT: func.return %3 : tensor<1x1x16x40xf32>
func.func @twice(%x: tensor<1x1x16x40xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x16x40xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x16x40xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x16x40xf32>
  %1 = ktensor.binary<add> %0, %0 : (tensor<1x1x16x40xf32>, tensor<1x1x16x40xf32>) -> tensor<1x1x16x40xf32>
  func.return %1 : tensor<1x1x16x40xf32>
}

// -----

// What the KPU has nothing like stays, and says why.
// CHECK-LABEL: func.func @reasons(%x: tensor<1x2x8x8xf32>, %g: tensor<1x2x1x1xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) {
// CHECK-NEXT: %map = ktensor.constant dense<{{\[\[}}{{\[\[}}0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 7.000000e+00]]]]> : tensor<1x1x1x8xf32>
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %1 = ktensor.binary<mul> %0, %x {kpu.reason = "the KPU has no mul of two maps, only sums, and products with constants"} : (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %2 = ktensor.binary<add> %0, %map {kpu.reason = "the constant [1, 1, 1, 8] is not one number for each channel"} : (tensor<1x2x8x8xf32>, tensor<1x1x1x8xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %3 = ktensor.binary<add> %0, %g {kpu.reason = "the operands [1, 2, 8, 8] and [1, 2, 1, 1] are of two sizes"} : (tensor<1x2x8x8xf32>, tensor<1x2x1x1xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %1, %2, %3 : tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>
func.func @reasons(%x: tensor<1x2x8x8xf32>, %g: tensor<1x2x1x1xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) {
  %map = ktensor.constant dense<[[[[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]]]> : tensor<1x1x1x8xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = ktensor.binary<mul> %0, %x : (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  %2 = ktensor.binary<add> %0, %map : (tensor<1x2x8x8xf32>, tensor<1x1x1x8xf32>) -> tensor<1x2x8x8xf32>
  %3 = ktensor.binary<add> %0, %g : (tensor<1x2x8x8xf32>, tensor<1x2x1x1xf32>) -> tensor<1x2x8x8xf32>
  func.return %1, %2, %3 : tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>
}

// -----

// A sum of what the CPU makes, for the CPU, is nobody's question.
// CHECK-LABEL: func.func @cpu(%x: tensor<1x2x8x8xf32>, %y: tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.binary<add> %x, %y : (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %0 : tensor<1x2x8x8xf32>
func.func @cpu(%x: tensor<1x2x8x8xf32>, %y: tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32> {
  %0 = ktensor.binary<add> %x, %y : (tensor<1x2x8x8xf32>, tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
  func.return %0 : tensor<1x2x8x8xf32>
}
