// RUN: kpu-opt %s -p convert-ktensor-to-kpu --split-input-file | filecheck %s

// What the KPU does by itself.
// CHECK-LABEL: func.func @same(%x: tensor<1x2x6x8xf32>) -> tensor<1x4x6x8xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<4x2x3x3xf32>
// CHECK-NEXT: %0 = ktensor.constant dense<1.000000e+00> : tensor<4x2x3x3xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %y = kpu.conv2d %x, %0, %1 : (tensor<1x2x6x8xf32>, tensor<4x2x3x3xf32>, tensor<4xf32>) -> tensor<1x4x6x8xf32>
// CHECK-NEXT: func.return %y : tensor<1x4x6x8xf32>
func.func @same(%x: tensor<1x2x6x8xf32>) -> tensor<1x4x6x8xf32> {
  %w = ktensor.constant dense<1.0> : tensor<4x2x3x3xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x2x6x8xf32>, tensor<4x2x3x3xf32>) -> tensor<1x4x6x8xf32>
  func.return %y : tensor<1x4x6x8xf32>
}

// -----

// More padding than the KPU's is padded, less is cropped.
// CHECK-LABEL: func.func @padding(%x: tensor<1x2x6x8xf32>) -> tensor<1x4x6x8xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<4x2x3x3xf32>
// CHECK-NEXT: %0 = kpu.pad %x {pads = array<i64: 1, 0, 0, 1>} : (tensor<1x2x6x8xf32>) -> tensor<1x2x7x9xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<1.000000e+00> : tensor<4x2x3x3xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 : (tensor<1x2x7x9xf32>, tensor<4x2x3x3xf32>, tensor<4xf32>) -> tensor<1x4x7x9xf32>
// CHECK-NEXT: %y = kpu.crop %3 {crops = array<i64: 0, 1, 1, 0>} : (tensor<1x4x7x9xf32>) -> tensor<1x4x6x8xf32>
// CHECK-NEXT: func.return %y : tensor<1x4x6x8xf32>
func.func @padding(%x: tensor<1x2x6x8xf32>) -> tensor<1x4x6x8xf32> {
  %w = ktensor.constant dense<1.0> : tensor<4x2x3x3xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 2, 0, 0, 2>} : (tensor<1x2x6x8xf32>, tensor<4x2x3x3xf32>) -> tensor<1x4x6x8xf32>
  func.return %y : tensor<1x4x6x8xf32>
}

// -----

// TensorFlow's SAME at stride 2 on an even size.
// CHECK-LABEL: func.func @strided(%x: tensor<1x2x8x8xf32>) -> tensor<1x4x4x4xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<4x2x3x3xf32>
// CHECK-NEXT: %0 = ktensor.constant dense<1.000000e+00> : tensor<4x2x3x3xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<4xf32>
// CHECK-NEXT: %2 = kpu.conv2d %x, %0, %1 : (tensor<1x2x8x8xf32>, tensor<4x2x3x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
// CHECK-NEXT: %y = kpu.strided_slice %2 {begin = array<i64: 1, 1>, strides = array<i64: 2, 2>} : (tensor<1x4x8x8xf32>) -> tensor<1x4x4x4xf32>
// CHECK-NEXT: func.return %y : tensor<1x4x4x4xf32>
func.func @strided(%x: tensor<1x2x8x8xf32>) -> tensor<1x4x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<4x2x3x3xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 0, 0, 1, 1>, strides = array<i64: 2, 2>} : (tensor<1x2x8x8xf32>, tensor<4x2x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return %y : tensor<1x4x4x4xf32>
}

// -----

// CHECK-LABEL: func.func @depthwise(%x: tensor<1x2x6x8xf32>) -> tensor<1x2x6x8xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<2x1x3x3xf32>
// CHECK-NEXT: %0 = ktensor.constant dense<1.000000e+00> : tensor<2x1x3x3xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %y = kpu.conv2d %x, %0, %1 {depthwise = true} : (tensor<1x2x6x8xf32>, tensor<2x1x3x3xf32>, tensor<2xf32>) -> tensor<1x2x6x8xf32>
// CHECK-NEXT: func.return %y : tensor<1x2x6x8xf32>
func.func @depthwise(%x: tensor<1x2x6x8xf32>) -> tensor<1x2x6x8xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x1x3x3xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 1, 1, 1, 1>, groups = 2 : i64} : (tensor<1x2x6x8xf32>, tensor<2x1x3x3xf32>) -> tensor<1x2x6x8xf32>
  func.return %y : tensor<1x2x6x8xf32>
}

// -----

// A product of matrices is a 1x1 convolution on a map padded to 4x4.
// CHECK-LABEL: func.func @matmul(%x: tensor<1x2xf32>) -> tensor<1x3xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<{{\[\[}}1.000000e+00, 2.000000e+00, 3.000000e+00], [4.000000e+00, 5.000000e+00, 6.000000e+00]]> : tensor<2x3xf32>
// CHECK-NEXT: %0 = ktensor.reshape %x : (tensor<1x2xf32>) -> tensor<1x2x1x1xf32>
// CHECK-NEXT: %1 = kpu.pad %0 {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x2x1x1xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00]], {{\[\[}}4.000000e+00]]], {{\[\[}}[2.000000e+00]], {{\[\[}}5.000000e+00]]], {{\[\[}}[3.000000e+00]], {{\[\[}}6.000000e+00]]]]> : tensor<3x2x1x1xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<0.000000e+00> : tensor<3xf32>
// CHECK-NEXT: %4 = kpu.conv2d %1, %2, %3 : (tensor<1x2x4x4xf32>, tensor<3x2x1x1xf32>, tensor<3xf32>) -> tensor<1x3x4x4xf32>
// CHECK-NEXT: %5 = kpu.crop %4 {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x3x4x4xf32>) -> tensor<1x3x1x1xf32>
// CHECK-NEXT: %y = ktensor.reshape %5 : (tensor<1x3x1x1xf32>) -> tensor<1x3xf32>
// CHECK-NEXT: func.return %y : tensor<1x3xf32>
func.func @matmul(%x: tensor<1x2xf32>) -> tensor<1x3xf32> {
  %w = ktensor.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = ktensor.matmul %x, %w : (tensor<1x2xf32>, tensor<2x3xf32>) -> tensor<1x3xf32>
  func.return %y : tensor<1x3xf32>
}

// -----

// The reason is recorded where the CPU has to do it.
// CHECK-LABEL: func.func @too_large_a_kernel(%x: tensor<1x2x8x8xf32>) -> tensor<1x4x4x4xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<4x2x5x5xf32>
// CHECK-NEXT: %y = ktensor.conv2d %x, %w {kpu.reason = "the kernel is 5x5, the KPU has 1x1 and 3x3"} : (tensor<1x2x8x8xf32>, tensor<4x2x5x5xf32>) -> tensor<1x4x4x4xf32>
// CHECK-NEXT: func.return %y : tensor<1x4x4x4xf32>
func.func @too_large_a_kernel(%x: tensor<1x2x8x8xf32>) -> tensor<1x4x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<4x2x5x5xf32>
  %y = ktensor.conv2d %x, %w : (tensor<1x2x8x8xf32>, tensor<4x2x5x5xf32>) -> tensor<1x4x4x4xf32>
  func.return %y : tensor<1x4x4x4xf32>
}
