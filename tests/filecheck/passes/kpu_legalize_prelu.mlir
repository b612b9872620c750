// RUN: kpu-opt %s -p kpu-legalize-prelu --split-input-file | filecheck %s

// The convolution in front makes x and -x, the one behind takes the slopes in.
// CHECK-LABEL: func.func @absorbed(%x: tensor<1x1x8x40xf32>) -> tensor<1x1x4x20xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]]], {{\[\[}}[2.000000e+00]]], {{\[\[}}[-1.000000e+00]]], {{\[\[}}[-2.000000e+00]]]]> : tensor<4x1x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<[5.000000e-01, -5.000000e-01, -5.000000e-01, 5.000000e-01]> : tensor<4xf32>
// CHECK-NEXT: %2 = kpu.conv2d %x, %0, %1 {activation = [#ktensor.activation<relu>]} : (tensor<1x1x8x40xf32>, tensor<4x1x1x1xf32>, tensor<4xf32>) -> tensor<1x4x8x40xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<{{\[\[}}{{\[\[}}3.000000e+00]], {{\[\[}}4.000000e+00]], {{\[\[}}-7.500000e-01]], {{\[\[}}-5.000000e-01]]]]> : tensor<1x4x1x1xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<1.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %5 = kpu.conv2d %2, %3, %4 {pool = #kpu.pool<max_2_s2>} : (tensor<1x4x8x40xf32>, tensor<1x4x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x20xf32>
// CHECK-NEXT: func.return %5 : tensor<1x1x4x20xf32>
func.func @absorbed(%x: tensor<1x1x8x40xf32>) -> tensor<1x1x4x20xf32> {
  %w = ktensor.constant dense<[[[[1.0]]], [[[2.0]]]]> : tensor<2x1x1x1xf32>
  %b = ktensor.constant dense<[0.5, -0.5]> : tensor<2xf32>
  %slope = ktensor.constant dense<[[[0.25]], [[0.125]]]> : tensor<2x1x1xf32>
  %v = ktensor.constant dense<[[[[3.0]], [[4.0]]]]> : tensor<1x2x1x1xf32>
  %c = ktensor.constant dense<1.0> : tensor<1xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x40xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x40xf32>
  %1 = ktensor.prelu %0, %slope : (tensor<1x2x8x40xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x40xf32>
  %2 = kpu.conv2d %1, %v, %c {pool = #kpu.pool<max_2_s2>} : (tensor<1x2x8x40xf32>, tensor<1x2x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x20xf32>
  func.return %2 : tensor<1x1x4x20xf32>
}

// -----

// A depthwise convolution is done twice; what reads the result is no convolution, so a layer puts it together.
// CHECK-LABEL: func.func @own_layer(%x: tensor<1x2x16x40xf32>) -> tensor<1x2x8x20xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<1.000000e+00> : tensor<2x1x1x1xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<[5.000000e-01, -5.000000e-01]> : tensor<2xf32>
// CHECK-NEXT: %2 = kpu.conv2d %x, %0, %1 {depthwise = true, activation = [#ktensor.activation<relu>]} : (tensor<1x2x16x40xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x16x40xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<-1.000000e+00> : tensor<2x1x1x1xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<[-5.000000e-01, 5.000000e-01]> : tensor<2xf32>
// CHECK-NEXT: %5 = kpu.conv2d %x, %3, %4 {depthwise = true, activation = [#ktensor.activation<relu>]} : (tensor<1x2x16x40xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x16x40xf32>
// CHECK-NEXT: %6 = kpu.concat %2, %5 : (tensor<1x2x16x40xf32>, tensor<1x2x16x40xf32>) -> tensor<1x4x16x40xf32>
// CHECK-NEXT: %7 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}0.000000e+00]], {{\[\[}}-2.500000e-01]], {{\[\[}}-0.000000e+00]]], {{\[\[}}[0.000000e+00]], {{\[\[}}1.000000e+00]], {{\[\[}}-0.000000e+00]], {{\[\[}}-1.250000e-01]]]]> : tensor<2x4x1x1xf32>
// CHECK-NEXT: %8 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %9 = kpu.conv2d %6, %7, %8 : (tensor<1x4x16x40xf32>, tensor<2x4x1x1xf32>, tensor<2xf32>) -> tensor<1x2x16x40xf32>
// CHECK-NEXT: %10 = ktensor.max_pool2d %9 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x16x40xf32>) -> tensor<1x2x8x20xf32>
// CHECK-NEXT: func.return %10 : tensor<1x2x8x20xf32>
func.func @own_layer(%x: tensor<1x2x16x40xf32>) -> tensor<1x2x8x20xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x1x1x1xf32>
  %b = ktensor.constant dense<[0.5, -0.5]> : tensor<2xf32>
  %slope = ktensor.constant dense<[[[0.25]], [[0.125]]]> : tensor<2x1x1xf32>
  %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x2x16x40xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x16x40xf32>
  %1 = ktensor.prelu %0, %slope : (tensor<1x2x16x40xf32>, tensor<2x1x1xf32>) -> tensor<1x2x16x40xf32>
  %2 = ktensor.max_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x16x40xf32>) -> tensor<1x2x8x20xf32>
  func.return %2 : tensor<1x2x8x20xf32>
}

// -----

// One slope is a scalar function.
// CHECK-LABEL: func.func @uniform(%x: tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = ktensor.activation<leaky_relu, 2.500000e-01> %x : (tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %0 : tensor<1x2x8x8xf32>
func.func @uniform(%x: tensor<1x2x8x8xf32>) -> tensor<1x2x8x8xf32> {
  %slope = ktensor.constant dense<0.25> : tensor<2x1x1xf32>
  %0 = ktensor.prelu %x, %slope : (tensor<1x2x8x8xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x8xf32>
  func.return %0 : tensor<1x2x8x8xf32>
}

// -----

// Slopes that are computed stay on the CPU.
// CHECK-LABEL: func.func @computed(%x: tensor<1x2x8x8xf32>, %slope: tensor<2x1x1xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x8x8xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: %1 = ktensor.prelu %0, %slope {kpu.reason = "the slopes are no constants, one for each channel"} : (tensor<1x2x8x8xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x8xf32>
// CHECK-NEXT: func.return %1 : tensor<1x2x8x8xf32>
func.func @computed(%x: tensor<1x2x8x8xf32>, %slope: tensor<2x1x1xf32>, %w: tensor<2x2x3x3xf32>, %b: tensor<2xf32>) -> tensor<1x2x8x8xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x8x8xf32>, tensor<2x2x3x3xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  %1 = ktensor.prelu %0, %slope : (tensor<1x2x8x8xf32>, tensor<2x1x1xf32>) -> tensor<1x2x8x8xf32>
  func.return %1 : tensor<1x2x8x8xf32>
}
