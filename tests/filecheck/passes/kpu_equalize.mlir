// RUN: kpu-opt %s -p 'kpu-equalize{dataset="%S/../../../examples/digits/calibration"},dce' --split-input-file | filecheck %s
// RUN: not kpu-opt %s -p kpu-equalize --split-input-file 2>&1 | filecheck %s --check-prefix=NONE

// NONE: there is no dataset to calibrate with

// The second channel is 16 times smaller than the first: half of that, in powers, moves into the weight that reads it.
// CHECK-LABEL: @main
// CHECK-NEXT: %c = ktensor.constant
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]]], {{\[\[}}[2.500000e-01]]]]> : tensor<2x1x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %2 = kpu.conv2d %x, %0, %1 {activation = [#ktensor.activation<relu>]}
// CHECK-NEXT: %3 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}2.500000e-01]]]]> : tensor<1x2x1x1xf32>
// CHECK-NEXT: %4 = kpu.conv2d %2, %3, %c
func.func @main(%x: tensor<1x1x8x8xf32> {ktensor.name = "image"}) -> (tensor<1x1x8x8xf32> {ktensor.name = "y"}) {
  %w = ktensor.constant dense<[[[[1.0]]], [[[0.0625]]]]> : tensor<2x1x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %v = ktensor.constant dense<[[[[1.0]], [[1.0]]]]> : tensor<1x2x1x1xf32>
  %c = ktensor.constant dense<0.0> : tensor<1xf32>
  %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x1x8x8xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = kpu.conv2d %0, %v, %c : (tensor<1x2x8x8xf32>, tensor<1x2x1x1xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  func.return %1 : tensor<1x1x8x8xf32>
}
