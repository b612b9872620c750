// RUN: kpu-opt %s -p canonicalize --print-debuginfo | filecheck %s

// CHECK: func.func @reshapes(%x: tensor<1x8x4x4xf32>
// CHECK-NEXT: %b = ktensor.reshape %x : (tensor<1x8x4x4xf32>) -> tensor<1x128xf32> loc("flat")
// CHECK-NEXT: func.return %b, %x :
func.func @reshapes(%x: tensor<1x8x4x4xf32>) -> (tensor<1x128xf32>, tensor<1x8x4x4xf32>) {
  %a = ktensor.reshape %x : (tensor<1x8x4x4xf32>) -> tensor<8x16xf32> loc("first")
  %b = ktensor.reshape %a : (tensor<8x16xf32>) -> tensor<1x128xf32> loc("flat")
  %c = ktensor.reshape %b : (tensor<1x128xf32>) -> tensor<1x8x4x4xf32>
  func.return %b, %c : tensor<1x128xf32>, tensor<1x8x4x4xf32>
}

// CHECK: func.func @transposes(%x: tensor<1x2x3x4xf32>
// CHECK-NEXT: %c = ktensor.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x2x3x4xf32>) -> tensor<1x4x2x3xf32> loc("back")
// CHECK-NEXT: func.return %x, %c :
func.func @transposes(%x: tensor<1x2x3x4xf32>) -> (tensor<1x2x3x4xf32>, tensor<1x4x2x3xf32>) {
  %a = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x2x3x4xf32>) -> tensor<1x3x4x2xf32>
  %b = ktensor.transpose %a {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x3x4x2xf32>) -> tensor<1x2x3x4xf32>
  %c = ktensor.transpose %a {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x2xf32>) -> tensor<1x4x2x3xf32> loc("back")
  func.return %b, %c : tensor<1x2x3x4xf32>, tensor<1x4x2x3xf32>
}

// CHECK: func.func @pads(%x: tensor<1x4xf32>
// CHECK-NEXT: %b = ktensor.pad %x {low = array<i64: 1, 3>, high = array<i64: 0, 3>} : (tensor<1x4xf32>) -> tensor<2x10xf32>
// CHECK-NEXT: %c = ktensor.pad %b {low = array<i64: 1, 0>, high = array<i64: 0, 0>, value = 1.000000e+00 : f64}
// CHECK-NEXT: func.return %x, %c :
func.func @pads(%x: tensor<1x4xf32>) -> (tensor<1x4xf32>, tensor<3x10xf32>) {
  %0 = ktensor.pad %x {low = array<i64: 0, 0>, high = array<i64: 0, 0>} : (tensor<1x4xf32>) -> tensor<1x4xf32>
  %a = ktensor.pad %x {low = array<i64: 0, 1>, high = array<i64: 0, 2>} : (tensor<1x4xf32>) -> tensor<1x7xf32>
  %b = ktensor.pad %a {low = array<i64: 1, 2>, high = array<i64: 0, 1>} : (tensor<1x7xf32>) -> tensor<2x10xf32>
  %c = ktensor.pad %b {low = array<i64: 1, 0>, high = array<i64: 0, 0>, value = 1.0 : f64} : (tensor<2x10xf32>) -> tensor<3x10xf32>
  func.return %0, %c : tensor<1x4xf32>, tensor<3x10xf32>
}

// x[9:1:-2] is 9 7 5 3, [1:4:2] of that 7 3; [::-1] twice is all of it.
// CHECK: func.func @slices(%x: tensor<10xf32>
// CHECK-NEXT: %b = ktensor.slice %x {starts = array<i64: 7>, ends = array<i64: 2>, steps = array<i64: -4>} : (tensor<10xf32>) -> tensor<2xf32>
// CHECK-NEXT: func.return %b, %x :
func.func @slices(%x: tensor<10xf32>) -> (tensor<2xf32>, tensor<10xf32>) {
  %a = ktensor.slice %x {starts = array<i64: 9>, ends = array<i64: 1>, steps = array<i64: -2>} : (tensor<10xf32>) -> tensor<4xf32>
  %b = ktensor.slice %a {starts = array<i64: 1>, ends = array<i64: 4>, steps = array<i64: 2>} : (tensor<4xf32>) -> tensor<2xf32>
  %c = ktensor.slice %x {starts = array<i64: 9>, ends = array<i64: -1>, steps = array<i64: -1>} : (tensor<10xf32>) -> tensor<10xf32>
  %d = ktensor.slice %c {starts = array<i64: 9>, ends = array<i64: -1>, steps = array<i64: -1>} : (tensor<10xf32>) -> tensor<10xf32>
  func.return %b, %d : tensor<2xf32>, tensor<10xf32>
}

// CHECK: func.func @concats_of_slices(
// CHECK-NEXT: %a = ktensor.slice
// CHECK-NEXT: %r = ktensor.slice %x {starts = array<i64: 2, 0>, ends = array<i64: -1, 4>, steps = array<i64: -1, 1>}
// CHECK-NEXT: %e = ktensor.concat %a, %a
// CHECK-NEXT: func.return %r, %x, %e
func.func @concats_of_slices(%x: tensor<3x4xf32>) -> (tensor<3x4xf32>, tensor<3x4xf32>, tensor<2x4xf32>) {
  %a = ktensor.slice %x {starts = array<i64: 0, 0>, ends = array<i64: 1, 4>, steps = array<i64: 1, 1>} : (tensor<3x4xf32>) -> tensor<1x4xf32>
  %b = ktensor.slice %x {starts = array<i64: 1, 0>, ends = array<i64: 2, 4>, steps = array<i64: 1, 1>} : (tensor<3x4xf32>) -> tensor<1x4xf32>
  %c = ktensor.slice %x {starts = array<i64: 2, 0>, ends = array<i64: 3, 4>, steps = array<i64: 1, 1>} : (tensor<3x4xf32>) -> tensor<1x4xf32>
  %f = ktensor.slice %x {starts = array<i64: 1, 0>, ends = array<i64: 3, 4>, steps = array<i64: 1, 1>} : (tensor<3x4xf32>) -> tensor<2x4xf32>
  %r = ktensor.concat %c, %b, %a {axis = 0 : i64} : (tensor<1x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<3x4xf32>
  %s = ktensor.concat %a, %f {axis = 0 : i64} : (tensor<1x4xf32>, tensor<2x4xf32>) -> tensor<3x4xf32>
  %e = ktensor.concat %a, %a {axis = 0 : i64} : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
  return %r, %s, %e : tensor<3x4xf32>, tensor<3x4xf32>, tensor<2x4xf32>
}

// CHECK: func.func @concats(
// CHECK-NEXT: %b = ktensor.concat %x, %y, %x {axis = 0 : i64} : (tensor<2xf32>, tensor<3xf32>, tensor<2xf32>) -> tensor<7xf32>
// CHECK-NEXT: func.return %b, %y :
func.func @concats(%x: tensor<2xf32>, %y: tensor<3xf32>) -> (tensor<7xf32>, tensor<3xf32>) {
  %a = ktensor.concat %y, %x {axis = 0 : i64} : (tensor<3xf32>, tensor<2xf32>) -> tensor<5xf32>
  %b = ktensor.concat %x, %a {axis = 0 : i64} : (tensor<2xf32>, tensor<5xf32>) -> tensor<7xf32>
  %c = ktensor.concat %y {axis = 0 : i64} : (tensor<3xf32>) -> tensor<3xf32>
  func.return %b, %c : tensor<7xf32>, tensor<3xf32>
}

// CHECK: func.func @functions(
// CHECK-NEXT: %b = ktensor.activation<relu6> %x : (tensor<4xf32>) -> tensor<4xf32> loc("b")
// CHECK-NEXT: %c = ktensor.activation<abs> %x : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: func.return %b, %x, %c :
func.func @functions(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %a = ktensor.activation<max, 0.0> %x : (tensor<4xf32>) -> tensor<4xf32> loc("a")
  %b = ktensor.activation<min, 6.0> %a : (tensor<4xf32>) -> tensor<4xf32> loc("b")
  %one = ktensor.constant dense<1.0> : tensor<1xf32>
  %zero = ktensor.constant dense<0.0> : tensor<f32>
  %0 = ktensor.binary<mul> %x, %one : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
  %1 = ktensor.binary<sub> %0, %zero : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %2 = ktensor.binary<add> %zero, %1 : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %c = ktensor.activation<abs> %x : (tensor<4xf32>) -> tensor<4xf32>
  %d = ktensor.activation<abs> %c : (tensor<4xf32>) -> tensor<4xf32>
  func.return %b, %2, %d : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// A neutral operand that makes the result larger has to stay, and so has 0 - x.
// CHECK: func.func @not_neutral(
// CHECK: ktensor.binary<add> %x, %zeros
// CHECK: ktensor.binary<sub> %zeros, %x
func.func @not_neutral(%x: tensor<4xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %zeros = ktensor.constant dense<0.0> : tensor<2x4xf32>
  %0 = ktensor.binary<add> %x, %zeros : (tensor<4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  %1 = ktensor.binary<sub> %zeros, %x : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  func.return %0, %1 : tensor<2x4xf32>, tensor<2x4xf32>
}

// CHECK: func.func @windows(%x: tensor<1x3x1x1xf32>
// CHECK-NEXT: %c = ktensor.reshape %x : (tensor<1x3x1x1xf32>) -> tensor<1x3xf32>
// CHECK-NEXT: func.return %x, %x, %c, %x, %x :
func.func @windows(%x: tensor<1x3x1x1xf32>) -> (tensor<1x3x1x1xf32>, tensor<1x3x1x1xf32>, tensor<1x3xf32>, tensor<1x3x1x1xf32>, tensor<1x3x1x1xf32>) {
  %a = ktensor.max_pool2d %x {kernel_shape = array<i64: 1, 1>} : (tensor<1x3x1x1xf32>) -> tensor<1x3x1x1xf32>
  %b = ktensor.reduce<mean> %x {axes = array<i64: 2, 3>} : (tensor<1x3x1x1xf32>) -> tensor<1x3x1x1xf32>
  %c = ktensor.reduce<mean> %x {axes = array<i64: 2, 3>, keep_dims = false} : (tensor<1x3x1x1xf32>) -> tensor<1x3xf32>
  %d = ktensor.resize %x {size = array<i64: 1, 1>} : (tensor<1x3x1x1xf32>) -> tensor<1x3x1x1xf32>
  %e = ktensor.depth_to_space %x {block_size = 1 : i64} : (tensor<1x3x1x1xf32>) -> tensor<1x3x1x1xf32>
  func.return %a, %b, %c, %d, %e : tensor<1x3x1x1xf32>, tensor<1x3x1x1xf32>, tensor<1x3xf32>, tensor<1x3x1x1xf32>, tensor<1x3x1x1xf32>
}

// Only bytes -> number -> bytes is exact; the other way round rounds.
// CHECK: func.func @quantized(
// CHECK-NEXT: %c = ktensor.quantize %x
// CHECK-NEXT: %d = ktensor.dequantize %c
// CHECK-NEXT: func.return %q, %d :
func.func @quantized(%x: tensor<4xf32>, %q: tensor<4x!ktensor.quantized<ui8, 0.5, 3>>) -> (tensor<4x!ktensor.quantized<ui8, 0.5, 3>>, tensor<4xf32>) {
  %a = ktensor.dequantize %q : (tensor<4x!ktensor.quantized<ui8, 0.5, 3>>) -> tensor<4xf32>
  %b = ktensor.quantize %a : (tensor<4xf32>) -> tensor<4x!ktensor.quantized<ui8, 0.5, 3>>
  %c = ktensor.quantize %x : (tensor<4xf32>) -> tensor<4x!ktensor.quantized<ui8, 0.5, 3>>
  %d = ktensor.dequantize %c : (tensor<4x!ktensor.quantized<ui8, 0.5, 3>>) -> tensor<4xf32>
  func.return %b, %d : tensor<4x!ktensor.quantized<ui8, 0.5, 3>>, tensor<4xf32>
}

// CHECK: func.func @constants(
// CHECK-DAG: dense<[1.000000e+00, 3.000000e+00, 2.000000e+00, 4.000000e+00]> : tensor<4xf32>
// CHECK-DAG: dense<[4.000000e+00, 1.000000e+00]> : tensor<2xf32>
// CHECK-DAG: dense<[3, 9]> : tensor<2xui8> -> tensor<2x!ktensor.quantized<ui8, 5.000000e-01, 3>>
// CHECK: func.return
func.func @constants() -> (tensor<4xf32>, tensor<2xf32>, tensor<2x!ktensor.quantized<ui8, 0.5, 3>>) {
  %k = ktensor.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %a = ktensor.transpose %k {permutation = array<i64: 1, 0>} : (tensor<2x2xf32>) -> tensor<2x2xf32>
  %b = ktensor.reshape %a : (tensor<2x2xf32>) -> tensor<4xf32>
  %c = ktensor.slice %b {starts = array<i64: 3>, ends = array<i64: -1>, steps = array<i64: -3>} : (tensor<4xf32>) -> tensor<2xf32>
  %q = ktensor.constant dense<3> : tensor<1xui8> -> tensor<1x!ktensor.quantized<ui8, 0.5, 3>>
  %r = ktensor.constant dense<9> : tensor<1xui8> -> tensor<1x!ktensor.quantized<ui8, 0.5, 3>>
  %d = ktensor.concat %q, %r {axis = 0 : i64} : (tensor<1x!ktensor.quantized<ui8, 0.5, 3>>, tensor<1x!ktensor.quantized<ui8, 0.5, 3>>) -> tensor<2x!ktensor.quantized<ui8, 0.5, 3>>
  func.return %b, %c, %d : tensor<4xf32>, tensor<2xf32>, tensor<2x!ktensor.quantized<ui8, 0.5, 3>>
}

// What is rounded already is not rounded again, also behind moves and pools; limits that rounding has anyway go.
// CHECK-LABEL: func.func @rounding(
// CHECK-NEXT: %a = ktensor.activation<fake_quantize, 5.000000e-01, 0.000000e+00> %x
// CHECK-NEXT: %m = ktensor.max_pool2d %a
// CHECK-NEXT: %c = ktensor.concat %m, %m
// CHECK-NEXT: %o = ktensor.activation<fake_quantize, 5.000000e-01, 1.000000e+00> %c
// CHECK-NEXT: func.return %c, %o :
func.func @rounding(%x: tensor<1x2x4x4xf32>) -> (tensor<1x4x2x2xf32>, tensor<1x4x2x2xf32>) {
  %r = ktensor.activation<relu> %x : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %a = ktensor.activation<fake_quantize, 0.5, 0.0> %r : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %m = ktensor.max_pool2d %a {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x2x2xf32>
  %c = ktensor.concat %m, %m {axis = 1 : i64} : (tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>) -> tensor<1x4x2x2xf32>
  %n = ktensor.activation<fake_quantize, 0.5, 0.0> %c : (tensor<1x4x2x2xf32>) -> tensor<1x4x2x2xf32>
  %o = ktensor.activation<fake_quantize, 0.5, 1.0> %c : (tensor<1x4x2x2xf32>) -> tensor<1x4x2x2xf32>
  func.return %n, %o : tensor<1x4x2x2xf32>, tensor<1x4x2x2xf32>
}

// A limit within what can be represented stays.
// CHECK-LABEL: func.func @limit(
// CHECK-NEXT: %r = ktensor.activation<relu6> %x
// CHECK-NEXT: %a = ktensor.activation<fake_quantize, 5.000000e-01, 0.000000e+00> %r
func.func @limit(%x: tensor<4xf32>) -> tensor<4xf32> {
  %r = ktensor.activation<relu6> %x : (tensor<4xf32>) -> tensor<4xf32>
  %a = ktensor.activation<fake_quantize, 0.5, 0.0> %r : (tensor<4xf32>) -> tensor<4xf32>
  func.return %a : tensor<4xf32>
}
