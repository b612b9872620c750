// RUN: kpu-opt %s -p ktensor-sink-transposes --split-input-file | filecheck %s

// Two transposes that undo each other go, with what stands between them.
// CHECK-LABEL: @cancel
// CHECK-NEXT: %0 = ktensor.activation<relu> %x : (tensor<1x3x4x5xf32>) -> tensor<1x3x4x5xf32>
// CHECK-NEXT: func.return %0
func.func @cancel(%x: tensor<1x3x4x5xf32>) -> tensor<1x3x4x5xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = ktensor.activation<relu> %0 : (tensor<1x4x5x3xf32>) -> tensor<1x4x5x3xf32>
  %2 = ktensor.transpose %1 {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x4x5x3xf32>) -> tensor<1x3x4x5xf32>
  func.return %2 : tensor<1x3x4x5xf32>
}

// -----

// Two others become one.
// CHECK-LABEL: @merge
// CHECK-NEXT: %0 = ktensor.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<2x3x4x5xf32>) -> tensor<2x5x3x4xf32>
// CHECK-NEXT: func.return %0
func.func @merge(%x: tensor<2x3x4x5xf32>) -> tensor<2x5x3x4xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<2x3x4x5xf32>) -> tensor<2x4x5x3xf32>
  %1 = ktensor.transpose %0 {permutation = array<i64: 0, 2, 3, 1>} : (tensor<2x4x5x3xf32>) -> tensor<2x5x3x4xf32>
  func.return %1 : tensor<2x5x3x4xf32>
}

// -----

// CHECK-LABEL: @constant
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}1.000000e+00, 3.000000e+00], [2.000000e+00, 4.000000e+00]]> : tensor<2x2xf32>
// CHECK-NEXT: func.return %0
func.func @constant() -> tensor<2x2xf32> {
  %0 = ktensor.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %1 = ktensor.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<2x2xf32>) -> tensor<2x2xf32>
  func.return %1 : tensor<2x2xf32>
}

// -----

// Padding, slices, softmax, quantization: what is said of an axis is said of the axis it was.
// CHECK-LABEL: @one_input
// CHECK-NEXT: %0 = ktensor.pad %x {low = array<i64: 0, 3, 1, 2>, high = array<i64: 0, 0, 0, 1>, value = 1.000000e+00 : f64} : (tensor<1x3x4x5xf32>) -> tensor<1x6x5x8xf32>
// CHECK-NEXT: %1 = ktensor.slice %0 {starts = array<i64: 0, 5, 4, 1>, ends = array<i64: 1, -1, -1, 8>, steps = array<i64: 1, -1, -2, 1>} : (tensor<1x6x5x8xf32>) -> tensor<1x6x3x7xf32>
// CHECK-NEXT: %2 = ktensor.softmax %1 {axis = 1 : i64, beta = 2.000000e+00 : f64}
// CHECK-NEXT: %3 = ktensor.unary<exp> %2
// CHECK-NEXT: %4 = ktensor.quantize %3 : (tensor<1x6x3x7xf32>) -> tensor<1x6x3x7x!ktensor.quantized<ui8, 5.000000e-01, 3>>
// CHECK-NEXT: %5 = ktensor.dequantize %4
// CHECK-NEXT: %6 = ktensor.transpose %5 {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x6x3x7xf32>) -> tensor<1x3x7x6xf32>
// CHECK-NEXT: func.return %6
func.func @one_input(%x: tensor<1x3x4x5xf32>) -> tensor<1x3x7x6xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = ktensor.pad %0 {low = array<i64: 0, 1, 2, 3>, high = array<i64: 0, 0, 1, 0>, value = 1.0 : f64} : (tensor<1x4x5x3xf32>) -> tensor<1x5x8x6xf32>
  %2 = ktensor.slice %1 {starts = array<i64: 0, 4, 1, 5>, ends = array<i64: 1, -1, 8, -1>, steps = array<i64: 1, -2, 1, -1>} : (tensor<1x5x8x6xf32>) -> tensor<1x3x7x6xf32>
  %3 = ktensor.softmax %2 {axis = 3 : i64, beta = 2.0 : f64} : (tensor<1x3x7x6xf32>) -> tensor<1x3x7x6xf32>
  %4 = ktensor.unary<exp> %3 : (tensor<1x3x7x6xf32>) -> tensor<1x3x7x6xf32>
  %5 = ktensor.quantize %4 : (tensor<1x3x7x6xf32>) -> tensor<1x3x7x6x!ktensor.quantized<ui8, 5.000000e-01, 3>>
  %6 = ktensor.dequantize %5 : (tensor<1x3x7x6x!ktensor.quantized<ui8, 5.000000e-01, 3>>) -> tensor<1x3x7x6xf32>
  func.return %6 : tensor<1x3x7x6xf32>
}

// -----

// A mean over height and width needs no transpose; one that keeps the channel last does.
// CHECK-LABEL: @reduce
// CHECK-NEXT: %0 = ktensor.reduce<mean> %x {axes = array<i64: 2, 3>, keep_dims = false} : (tensor<1x3x4x5xf32>) -> tensor<1x3xf32>
// CHECK-NEXT: %1 = ktensor.reduce<max> %x {axes = array<i64: 2>, keep_dims = false} : (tensor<1x3x4x5xf32>) -> tensor<1x3x5xf32>
// CHECK-NEXT: %2 = ktensor.transpose %1 {permutation = array<i64: 0, 2, 1>}
// CHECK-NEXT: %3 = ktensor.reduce<sum> %x {axes = array<i64: 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x1x4x5xf32>
// CHECK-NEXT: %4 = ktensor.reshape %3 : (tensor<1x1x4x5xf32>) -> tensor<1x4x5x1xf32>
// CHECK-NEXT: func.return %0, %2, %4
func.func @reduce(%x: tensor<1x3x4x5xf32>) -> (tensor<1x3xf32>, tensor<1x5x3xf32>, tensor<1x4x5x1xf32>) {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = ktensor.reduce<mean> %0 {axes = array<i64: 1, 2>, keep_dims = false} : (tensor<1x4x5x3xf32>) -> tensor<1x3xf32>
  %2 = ktensor.reduce<max> %0 {axes = array<i64: 1>, keep_dims = false} : (tensor<1x4x5x3xf32>) -> tensor<1x5x3xf32>
  %3 = ktensor.reduce<sum> %0 {axes = array<i64: 3>} : (tensor<1x4x5x3xf32>) -> tensor<1x4x5x1xf32>
  func.return %1, %2, %3 : tensor<1x3xf32>, tensor<1x5x3xf32>, tensor<1x4x5x1xf32>
}

// -----

// The other operand: transposed alike, a constant, a number, a gate that only needs another shape.
// CHECK-LABEL: @binary
// CHECK-NEXT: %0 = ktensor.binary<add> %x, %y
// CHECK-NEXT: %1 = ktensor.constant dense<{{.*}}> : tensor<1x3x1x1xf32>
// CHECK-NEXT: %2 = ktensor.binary<mul> %1, %0
// CHECK-NEXT: %3 = ktensor.constant dense<5.000000e-01> : tensor<f32>
// CHECK-NEXT: %4 = ktensor.binary<sub> %2, %3
// CHECK-NEXT: %5 = ktensor.reshape %gate : (tensor<1x1x1x3xf32>) -> tensor<1x3x1x1xf32>
// CHECK-NEXT: %6 = ktensor.binary<max> %4, %5
// CHECK-NEXT: %7 = ktensor.transpose %6 {permutation = array<i64: 0, 2, 3, 1>}
// CHECK-NEXT: func.return %7
func.func @binary(%x: tensor<1x3x4x5xf32>, %y: tensor<1x3x4x5xf32>, %gate: tensor<1x1x1x3xf32>) -> tensor<1x4x5x3xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = ktensor.transpose %y {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %2 = ktensor.binary<add> %0, %1 : (tensor<1x4x5x3xf32>, tensor<1x4x5x3xf32>) -> tensor<1x4x5x3xf32>
  %3 = ktensor.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %4 = ktensor.binary<mul> %3, %2 : (tensor<3xf32>, tensor<1x4x5x3xf32>) -> tensor<1x4x5x3xf32>
  %5 = ktensor.constant dense<0.5> : tensor<f32>
  %6 = ktensor.binary<sub> %4, %5 : (tensor<1x4x5x3xf32>, tensor<f32>) -> tensor<1x4x5x3xf32>
  %7 = ktensor.binary<max> %6, %gate : (tensor<1x4x5x3xf32>, tensor<1x1x1x3xf32>) -> tensor<1x4x5x3xf32>
  func.return %7 : tensor<1x4x5x3xf32>
}

// -----

// A value that would have to be moved keeps the transpose where it is.
// CHECK-LABEL: @binary_with_another_layout
// CHECK-NEXT: %0 = ktensor.transpose %x
// CHECK-NEXT: %1 = ktensor.binary<add> %0, %y
// CHECK-NEXT: func.return %1
func.func @binary_with_another_layout(%x: tensor<1x3x4x5xf32>, %y: tensor<1x4x5x3xf32>) -> tensor<1x4x5x3xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = ktensor.binary<add> %0, %y : (tensor<1x4x5x3xf32>, tensor<1x4x5x3xf32>) -> tensor<1x4x5x3xf32>
  func.return %1 : tensor<1x4x5x3xf32>
}

// -----

// CHECK-LABEL: @quantized_binary
// CHECK-NEXT: %0 = ktensor.binary<add> %x, %y : {{.*}} -> tensor<1x2x3x4x!ktensor.quantized<ui8, 1.000000e+00, 7>>
// CHECK-NEXT: %1 = ktensor.transpose %0
func.func @quantized_binary(%x: tensor<1x2x3x4x!ktensor.quantized<ui8, 5.000000e-01, 3>>, %y: tensor<1x2x3x4x!ktensor.quantized<ui8, 2.500000e-01, 0>>) -> tensor<1x3x4x2x!ktensor.quantized<ui8, 1.000000e+00, 7>> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x2x3x4x!ktensor.quantized<ui8, 5.000000e-01, 3>>) -> tensor<1x3x4x2x!ktensor.quantized<ui8, 5.000000e-01, 3>>
  %1 = ktensor.transpose %y {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x2x3x4x!ktensor.quantized<ui8, 2.500000e-01, 0>>) -> tensor<1x3x4x2x!ktensor.quantized<ui8, 2.500000e-01, 0>>
  %2 = ktensor.binary<add> %0, %1 : (tensor<1x3x4x2x!ktensor.quantized<ui8, 5.000000e-01, 3>>, tensor<1x3x4x2x!ktensor.quantized<ui8, 2.500000e-01, 0>>) -> tensor<1x3x4x2x!ktensor.quantized<ui8, 1.000000e+00, 7>>
  func.return %2 : tensor<1x3x4x2x!ktensor.quantized<ui8, 1.000000e+00, 7>>
}

// -----

// CHECK-LABEL: @prelu_and_concat
// CHECK-NEXT: %0 = ktensor.constant dense<{{.*}}> : tensor<1x3x1x1xf32>
// CHECK-NEXT: %1 = ktensor.prelu %x, %0
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<1x2x4x5xf32>
// CHECK-NEXT: %3 = ktensor.concat %1, %x, %2 {axis = 1 : i64}
// CHECK-NEXT: %4 = ktensor.transpose %3
// CHECK-NEXT: func.return %4
func.func @prelu_and_concat(%x: tensor<1x3x4x5xf32>) -> tensor<1x4x5x8xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = ktensor.constant dense<[[[1.0, 2.0, 3.0]]]> : tensor<1x1x3xf32>
  %2 = ktensor.prelu %0, %1 : (tensor<1x4x5x3xf32>, tensor<1x1x3xf32>) -> tensor<1x4x5x3xf32>
  %3 = ktensor.constant dense<0.0> : tensor<1x4x5x2xf32>
  %4 = ktensor.concat %2, %0, %3 {axis = 3 : i64} : (tensor<1x4x5x3xf32>, tensor<1x4x5x3xf32>, tensor<1x4x5x2xf32>) -> tensor<1x4x5x8xf32>
  func.return %4 : tensor<1x4x5x8xf32>
}

// -----

// Another layout among the inputs of a concat: nothing is gained.
// CHECK-LABEL: @concat_with_another_layout
// CHECK-NEXT: %0 = ktensor.transpose %x
// CHECK-NEXT: %1 = ktensor.concat %0, %y
func.func @concat_with_another_layout(%x: tensor<1x3x4x5xf32>, %y: tensor<1x4x5x3xf32>) -> tensor<1x4x5x6xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = ktensor.concat %0, %y {axis = 3 : i64} : (tensor<1x4x5x3xf32>, tensor<1x4x5x3xf32>) -> tensor<1x4x5x6xf32>
  func.return %1 : tensor<1x4x5x6xf32>
}

// -----

// Axes of size 1 come and go: a one-dimensional convolution between squeeze and expand_dims.
// CHECK-LABEL: @reshape_of_ones
// CHECK-NEXT: %0 = ktensor.reshape %x : (tensor<1x3x1x5xf32>) -> tensor<1x3x5x1xf32>
// CHECK-NEXT: func.return %0
func.func @reshape_of_ones(%x: tensor<1x3x1x5xf32>) -> tensor<1x3x5x1xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x1x5xf32>) -> tensor<1x1x5x3xf32>
  %1 = ktensor.reshape %0 : (tensor<1x1x5x3xf32>) -> tensor<5x3xf32>
  %2 = ktensor.reshape %1 : (tensor<5x3xf32>) -> tensor<1x5x1x3xf32>
  %3 = ktensor.transpose %2 {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x5x1x3xf32>) -> tensor<1x3x5x1xf32>
  func.return %3 : tensor<1x3x5x1xf32>
}

// -----

// The flatten behind a global average pool moves nothing.
// CHECK-LABEL: @only_ones_move
// CHECK-NEXT: %0 = ktensor.reshape %x : (tensor<1x64x1x1xf32>) -> tensor<1x64xf32>
// CHECK-NEXT: func.return %0
func.func @only_ones_move(%x: tensor<1x64x1x1xf32>) -> tensor<1x64xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x64x1x1xf32>) -> tensor<1x1x1x64xf32>
  %1 = ktensor.reshape %0 : (tensor<1x1x1x64xf32>) -> tensor<1x64xf32>
  func.return %1 : tensor<1x64xf32>
}

// -----

// A flatten that mixes axes needs its transpose, unless a constant matrix follows whose rows can be moved instead.
// CHECK-LABEL: @flatten
// CHECK-NEXT: %0 = ktensor.transpose %x
// CHECK-NEXT: %1 = ktensor.reshape %0 : (tensor<1x1x2x2xf32>) -> tensor<1x4xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<{{\[\[}}1.000000e+00], [3.000000e+00], [2.000000e+00], [4.000000e+00]]> : tensor<4x1xf32>
// CHECK-NEXT: %3 = ktensor.reshape %x : (tensor<1x2x1x2xf32>) -> tensor<1x4xf32>
// CHECK-NEXT: %4 = ktensor.matmul %3, %2
// CHECK-NEXT: func.return %1, %4
func.func @flatten(%x: tensor<1x2x1x2xf32>) -> (tensor<1x4xf32>, tensor<1x1xf32>) {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x2x1x2xf32>) -> tensor<1x1x2x2xf32>
  %1 = ktensor.reshape %0 : (tensor<1x1x2x2xf32>) -> tensor<1x4xf32>
  %2 = ktensor.constant dense<[[1.0], [2.0], [3.0], [4.0]]> : tensor<4x1xf32>
  %3 = ktensor.matmul %1, %2 : (tensor<1x4xf32>, tensor<4x1xf32>) -> tensor<1x1xf32>
  func.return %1, %3 : tensor<1x4xf32>, tensor<1x1xf32>
}
