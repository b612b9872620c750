// RUN: kpu-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// One case per complaint of the verifiers.

// CHECK: memref<8xf32> has no #kbuf.space
func.func @case() {
  %0 = kbuf.alloc : memref<8xf32>
  func.return
}
// -----
// CHECK: expected a buffer, but the type is tensor<8xf32>
func.func @case(%x: tensor<8xf32>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.unary %x -> %y {op = #kbuf.unary_kind<exp>} : tensor<8xf32> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected elements of type f32 or ui8, but the buffer is memref<8xi32, #kbuf.space<main>>
func.func @case(%x: memref<8xi32, #kbuf.space<main>>) {
  kbuf.memory_copy %x -> %x : memref<8xi32, #kbuf.space<main>> -> memref<8xi32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: no runtime has elements of type i1
func.func @case() {
  %0 = kbuf.alloc : memref<8xi1, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: a buffer has a static shape and no layout map, but it is memref<?xf32
func.func @case() {
  %0 = kbuf.alloc : memref<?xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: offset is -8, but must not be negative
func.func @case() {
  %0 = kbuf.alloc {offset = -8 : i64} : memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: constants come from kbuf.constant, not kbuf.alloc
func.func @case() {
  %0 = kbuf.alloc : memref<8xf32, #kbuf.space<const>>
  func.return
}
// -----
// CHECK: result type is memref<3xui8, #kbuf.space<const>>, but the values give memref<2xui8, #kbuf.space<const>>
func.func @case() {
  %0 = kbuf.constant dense<[1, 2]> : tensor<2xui8> : memref<3xui8, #kbuf.space<const>>
  func.return
}
// -----
// CHECK: expected a buffer in #kbuf.space<const>, but it is memref<2xui8, #kbuf.space<main>>
func.func @case() {
  %0 = kbuf.constant dense<[1, 2]> : tensor<2xui8> : memref<2xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: offset is -1, but must not be negative
func.func @case() {
  %0 = kbuf.constant dense<[1, 2]> : tensor<2xui8> {offset = -1 : i64} : memref<2xui8, #kbuf.space<const>>
  func.return
}
// -----
// CHECK: the subview is in #kbuf.space<kpu>, but its source in #kbuf.space<main>
func.func @case(%x: memref<8xui8, #kbuf.space<main>>) {
  %0 = kbuf.subview %x : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: bytes 4..12 lie outside of the source's 8
func.func @case(%x: memref<8xui8, #kbuf.space<main>>) {
  %0 = kbuf.subview %x {byte_offset = 4 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: bytes -4..4 lie outside of the source's 8
func.func @case(%x: memref<8xui8, #kbuf.space<main>>) {
  %0 = kbuf.subview %x {byte_offset = -4 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: index is -1, but must not be negative
func.func @case(%x: memref<8xui8, #kbuf.space<main>>) {
  kbuf.input %x {index = -1 : i64, shape = array<i64: 1, 1, 1, 8>} : memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: buffer has 8 bytes, but the shape [1, 1, 1, 9] takes 9
func.func @case(%x: memref<8xui8, #kbuf.space<main>>) {
  kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 1, 9>} : memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: index is -2, but must not be negative
func.func @case(%x: memref<8xui8, #kbuf.space<main>>) {
  kbuf.output %x {index = -2 : i64} : memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: buffer has 8 bytes, but the shape [1, 1, 2, 8] takes 16
func.func @case(%x: memref<8xui8, #kbuf.space<main>>) {
  kbuf.output %x {index = 0 : i64, shape = array<i64: 1, 1, 2, 8>} : memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected elements of type f32, but the buffer is memref<8xui8, #kbuf.space<main>>
func.func @case(%x: memref<8xui8, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.unary %x -> %y {op = #kbuf.unary_kind<exp>} : memref<8xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected a buffer in #kbuf.space<kpu>, but it is memref<8xui8, #kbuf.space<main>>
func.func @case(%x: memref<8xui8, #kbuf.space<main>>, %y: memref<8xui8, #kbuf.space<main>>) {
  kbuf.kpu_upload %x -> %y {in_shape = array<i64: 1, 1, 1, 8>} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected a #kbuf.unary_kind, but got #kbuf.binary_kind<add>
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.unary %x -> %y {op = #kbuf.binary_kind<add>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected an integer of type i64, but got 3 : i32
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xui8, #kbuf.space<main>>) {
  kbuf.quantize %x -> %y {zero_point = 3 : i32, scale = 1.0 : f32} : memref<8xf32, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected a float of type f32, but got 1.000000e+00 : f64
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xui8, #kbuf.space<main>>) {
  kbuf.quantize %x -> %y {zero_point = 3 : i64, scale = 1.0 : f64} : memref<8xf32, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected an array<i64>, but got array<i32: 0, 1, 2, 3>
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.transpose %x -> %y {in_shape = array<i64: 1, 1, 1, 8>, perm = array<i32: 0, 1, 2, 3>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected 4 values, but got 3
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.transpose %x -> %y {in_shape = array<i64: 1, 1, 1, 8>, perm = array<i64: 0, 1, 2>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected a dense attribute, but got array<i64: 3>
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.nnil_unary_method %x -> %y {code = array<i64: 3>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected dense values of type ui8, but got i32
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.nnil_unary_method %x -> %y {code = dense<3> : tensor<1xi32>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected a #kbuf.clamp, but got 1.000000e+00 : f32
func.func @case(%a: memref<8xf32, #kbuf.space<main>>, %b: memref<4xf32, #kbuf.space<main>>, %y: memref<2xf32, #kbuf.space<main>>) {
  kbuf.matmul %a, %b -> %y {a_rows = 2 : i64, a_cols = 4 : i64, b_cols = 1 : i64, act = 1.0 : f32, bias = dense<0.0> : tensor<1xf32>} : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: bias has 2 values, but the op needs 1
func.func @case(%a: memref<8xf32, #kbuf.space<main>>, %b: memref<4xf32, #kbuf.space<main>>, %y: memref<2xf32, #kbuf.space<main>>) {
  kbuf.matmul %a, %b -> %y {a_rows = 2 : i64, a_cols = 4 : i64, b_cols = 1 : i64, bias = dense<0.0> : tensor<2xf32>} : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: b has 32 bytes, but the shape [4, 1] takes 16
func.func @case(%a: memref<8xf32, #kbuf.space<main>>, %b: memref<8xf32, #kbuf.space<main>>, %y: memref<2xf32, #kbuf.space<main>>) {
  kbuf.matmul %a, %b -> %y {a_rows = 2 : i64, a_cols = 4 : i64, b_cols = 1 : i64, bias = dense<0.0> : tensor<1xf32>} : memref<8xf32, #kbuf.space<main>>, memref<8xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: a would have the shape [-2, 0]
func.func @case(%a: memref<0xf32, #kbuf.space<main>>, %b: memref<0xf32, #kbuf.space<main>>, %y: memref<0xf32, #kbuf.space<main>>) {
  kbuf.matmul %a, %b -> %y {a_rows = -2 : i64, a_cols = 0 : i64, b_cols = 1 : i64, bias = dense<0.0> : tensor<1xf32>} : memref<0xf32, #kbuf.space<main>>, memref<0xf32, #kbuf.space<main>> -> memref<0xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: b_shape [1, 1, 1, 4] does not broadcast to out_shape [1, 1, 1, 8]
func.func @case(%a: memref<8xf32, #kbuf.space<main>>, %b: memref<4xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.binary %a, %b -> %y {op = #kbuf.binary_kind<add>, a_shape = array<i64: 1, 1, 1, 8>, b_shape = array<i64: 1, 1, 1, 4>, out_shape = array<i64: 1, 1, 1, 8>} : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: a has 32 bytes, but the shape [1, 1, 1, 4] takes 16
func.func @case(%a: memref<8xf32, #kbuf.space<main>>, %b: memref<4xf32, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.binary %a, %b -> %y {op = #kbuf.binary_kind<add>, a_shape = array<i64: 1, 1, 1, 4>, b_shape = array<i64: 1, 1, 1, 4>, out_shape = array<i64: 1, 1, 1, 4>} : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: 2 groups do not divide 2 input and 1 output channels
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.conv2d %x -> %y {in_shape = array<i64: 1, 2, 2, 2>, groups = 2 : i64, out_channels = 1 : i64, pad_h = array<i64: 0, 0>, pad_w = array<i64: 0, 0>, filter_h = 1 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 1 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<0.0> : tensor<1xf32>, bias = dense<0.0> : tensor<1xf32>} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: weights has 3 values, but the op needs 2
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.conv2d %x -> %y {in_shape = array<i64: 1, 2, 2, 2>, groups = 1 : i64, out_channels = 1 : i64, pad_h = array<i64: 0, 0>, pad_w = array<i64: 0, 0>, filter_h = 1 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 1 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<0.0> : tensor<3xf32>, bias = dense<0.0> : tensor<1xf32>} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: bias has 2 values, but the op needs 1
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.conv2d %x -> %y {in_shape = array<i64: 1, 2, 2, 2>, groups = 1 : i64, out_channels = 1 : i64, pad_h = array<i64: 0, 0>, pad_w = array<i64: 0, 0>, filter_h = 1 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 1 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<0.0> : tensor<2xf32>, bias = dense<0.0> : tensor<2xf32>} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: a stride is 0, but must be at least 1
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.conv2d %x -> %y {in_shape = array<i64: 1, 2, 2, 2>, groups = 1 : i64, out_channels = 1 : i64, pad_h = array<i64: 0, 0>, pad_w = array<i64: 0, 0>, filter_h = 1 : i64, filter_w = 1 : i64, stride_h = 0 : i64, stride_w = 1 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<0.0> : tensor<2xf32>, bias = dense<0.0> : tensor<1xf32>} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 32 bytes, but the shape [1, 1, 2, 2] takes 16
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.conv2d %x -> %y {in_shape = array<i64: 1, 2, 2, 2>, groups = 1 : i64, out_channels = 1 : i64, pad_h = array<i64: 0, 0>, pad_w = array<i64: 0, 0>, filter_h = 1 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 1 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<0.0> : tensor<2xf32>, bias = dense<0.0> : tensor<1xf32>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: in_shape [1, 1, 2, 4] cannot be reduced to [1, 1, 1, 2]
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<2xf32, #kbuf.space<main>>) {
  kbuf.reduce %x -> %y {op = #kbuf.reduce_kind<sum>, in_shape = array<i64: 1, 1, 2, 4>, out_shape = array<i64: 1, 1, 1, 2>, init = 0.0 : f32} : memref<8xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 16 bytes, but input 32
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.unary %x -> %y {op = #kbuf.unary_kind<exp>} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 32 bytes, but the input's elements take 16
func.func @case(%x: memref<4xui8, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.dequantize %x -> %y {zero_point = 0 : i64, scale = 1.0 : f32} : memref<4xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: input has 16 bytes, but the output's elements take 32
func.func @case(%x: memref<4xf32, #kbuf.space<main>>, %y: memref<8xui8, #kbuf.space<main>>) {
  kbuf.quantize %x -> %y {zero_point = 0 : i64, scale = 1.0 : f32} : memref<4xf32, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 16 bytes, but input 32
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.nnil_unary_method %x -> %y {code = dense<3> : tensor<1xui8>} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 16 bytes, but input 8
func.func @case(%x: memref<8xui8, #kbuf.space<main>>, %y: memref<4xf32, #kbuf.space<main>>) {
  kbuf.memory_copy %x -> %y {} : memref<8xui8, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: all buffers must have one element type, but they have f32, ui8, ui8
func.func @case(%a: memref<2xf32, #kbuf.space<main>>, %b: memref<8xui8, #kbuf.space<main>>, %y: memref<16xui8, #kbuf.space<main>>) {
  kbuf.concat %a, %b -> %y {inner_size = 1 : i64, outer_size = 1 : i64, dims = array<i64: 8, 8>} : memref<2xf32, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<16xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: 2 inputs, but dims has 1 values
func.func @case(%a: memref<8xui8, #kbuf.space<main>>, %b: memref<8xui8, #kbuf.space<main>>, %y: memref<16xui8, #kbuf.space<main>>) {
  kbuf.concat %a, %b -> %y {inner_size = 1 : i64, outer_size = 1 : i64, dims = array<i64: 8>} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<16xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: input 1 has 8 bytes, but its part takes 7
func.func @case(%a: memref<8xui8, #kbuf.space<main>>, %b: memref<8xui8, #kbuf.space<main>>, %y: memref<15xui8, #kbuf.space<main>>) {
  kbuf.concat %a, %b -> %y {inner_size = 1 : i64, outer_size = 1 : i64, dims = array<i64: 8, 7>} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<15xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 15 bytes, but the inputs 16
func.func @case(%a: memref<8xui8, #kbuf.space<main>>, %b: memref<8xui8, #kbuf.space<main>>, %y: memref<15xui8, #kbuf.space<main>>) {
  kbuf.concat %a, %b -> %y {inner_size = 1 : i64, outer_size = 1 : i64, dims = array<i64: 8, 8>} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<15xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: value has 3 values, but the op needs 4
func.func @case(%x: memref<8xui8, #kbuf.space<main>>, %y: memref<8xui8, #kbuf.space<main>>) {
  kbuf.pad %x -> %y {in_shape = array<i64: 1, 1, 1, 8>, paddings = array<i64: 0, 0, 0, 0, 0, 0, 0, 0>, value = dense<0> : tensor<3xui8>} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: all buffers must have one element type, but they have ui8, f32
func.func @case(%x: memref<8xui8, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.pad %x -> %y {in_shape = array<i64: 1, 1, 1, 8>, paddings = array<i64: 0, 0, 0, 0, 0, 0, 0, 0>, value = dense<0> : tensor<4xui8>} : memref<8xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: perm [0, 1, 2, 2] is no permutation of 0..3
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.transpose %x -> %y {in_shape = array<i64: 1, 1, 1, 8>, perm = array<i64: 0, 1, 2, 2>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: strides [1, 1, 1, 0] must not be 0
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.strided_slice %x -> %y {in_shape = array<i64: 1, 1, 1, 8>, begin = array<i64: 0, 0, 0, 0>, end = array<i64: 1, 1, 1, 8>, strides = array<i64: 1, 1, 1, 0>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: the slice [4, 12, 1] leaves a dimension of 8
func.func @case(%x: memref<8xf32, #kbuf.space<main>>, %y: memref<8xf32, #kbuf.space<main>>) {
  kbuf.strided_slice %x -> %y {in_shape = array<i64: 1, 1, 1, 8>, begin = array<i64: 0, 0, 0, 4>, end = array<i64: 1, 1, 1, 12>, strides = array<i64: 1, 1, 1, 1>} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: table has 8 bytes instead of 256
func.func @case(%a: memref<8xui8, #kbuf.space<main>>, %b: memref<8xui8, #kbuf.space<main>>, %y: memref<8xui8, #kbuf.space<main>>) {
  kbuf.table_lookup1d %a, %b -> %y {} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 9 bytes, but input 8
func.func @case(%a: memref<8xui8, #kbuf.space<main>>, %b: memref<256xui8, #kbuf.space<main>>, %y: memref<9xui8, #kbuf.space<main>>) {
  kbuf.table_lookup1d %a, %b -> %y {} : memref<8xui8, #kbuf.space<main>>, memref<256xui8, #kbuf.space<main>> -> memref<9xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 256 bytes, but the shape [1, 8, 4, 4] takes 512
func.func @case(%x: memref<1x8x4x4xui8, #kbuf.space<main>>, %y: memref<256xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_upload %x -> %y {in_shape = array<i64: 1, 8, 4, 4>} : memref<1x8x4x4xui8, #kbuf.space<main>> -> memref<256xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: output has shape [1, 4, 4, 4], but the op says [1, 8, 4, 4]
func.func @case(%x: memref<1x8x4x4xui8, #kbuf.space<main>>, %y: memref<1x4x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_upload %x -> %y {in_shape = array<i64: 1, 8, 4, 4>} : memref<1x8x4x4xui8, #kbuf.space<main>> -> memref<1x4x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: bwsx_base_addr is 8, but addresses follow from the buffers
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, bwsx_base_addr 8>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: expected dense values of type ui8 or ui16, but got i16
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xi16>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: load_time is 64, but its 6 bits hold 0..63
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_time 64>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: i_chan is no register field
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, i_chan 1>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: a register field is given twice
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, i_row_wid 3>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: input has shape [1, 1, 4, 4], but the op says [1, 2, 4, 4]
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, i_ch_num 1>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: pool code 10 is not between 0 and 9
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, pool_type 10>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: kernel_type is 2, but only 0 (1x1) and 1 (3x3) exist
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, kernel_type 2>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: registers give an output of 4x4, but the pool max_2_s2 makes 2x2
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, pool_type 1>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: batch_norm has 2 values, but the op needs 1
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3>, batch_norm = dense<0> : tensor<2xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: activation has 15 values, but the op needs 16
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<15xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: activation_add has 17 values, but the op needs 16
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<17xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: weights has 1 values, but the op needs 9
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, kernel_type 1>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: depthwise with 1 input and 2 output channels
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x2x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, depth_wise_layer 1, o_ch_num 1>, batch_norm = dense<0> : tensor<2xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<2xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x2x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: main_output is memref<4xf32, #kbuf.space<main>>, not of ui8
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %m: memref<4xf32, #kbuf.space<main>>) {
  kbuf.kpu_conv2d %x -> %y main %m {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>> main memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: main_output has 15 bytes, but the result 16
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %m: memref<15xui8, #kbuf.space<main>>) {
  kbuf.kpu_conv2d %x -> %y main %m {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3>, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>> main memref<15xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected #kbuf.registers, but got 1 : i64
func.func @case(%x: memref<1x1x4x4xui8, #kbuf.space<kpu>>, %y: memref<1x1x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %x -> %y {registers = 1 : i64, batch_norm = dense<0> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<0> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: kbuf.reduce_window2d: Operation does not verify: a stride is 0, but must be at least 1
func.func @case(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x2xf32, #kbuf.space<main>>) {
  kbuf.reduce_window2d %0 -> %1 {op = #kbuf.reduce_kind<max>, in_shape = array<i64: 1, 2, 4, 4>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 0 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, init = -3.40282347e+38 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.resize_image: Operation does not verify: output has 128 bytes, but the shape [1, 2, 9, 2] takes 144
func.func @case(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x8x2xf32, #kbuf.space<main>>) {
  kbuf.resize_image %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, out_h = 9 : i64, out_w = 2 : i64, mode = #kbuf.resize_mode<bilinear>, align_corners = 1 : i64} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x8x2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.softmax: Operation does not verify: input has 128 bytes, but the shape [2, 15] takes 120
func.func @case(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
  kbuf.softmax %0 -> %1 {inner_size = 15 : i64, outer_size = 2 : i64, beta = 1.000000e+00 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.quantized_conv2d: Operation does not verify: 3 groups do not divide 2 input and 2 output channels
func.func @case(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x4x2xui8, #kbuf.space<main>>) {
  kbuf.quantized_conv2d %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, groups = 3 : i64, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]> : tensor<12xui8>, bias = dense<[0, -1]> : tensor<2xi32>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x2xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.quantized_matmul: Operation does not verify: b has 12 bytes, but the shape [3, 5] takes 15
func.func @case(%0: memref<2x3xui8, #kbuf.space<main>>, %1: memref<3x4xui8, #kbuf.space<const>>, %2: memref<2x4xui8, #kbuf.space<main>>) {
  kbuf.quantized_matmul %0, %1 -> %2 {a_rows = 2 : i64, a_cols = 3 : i64, b_cols = 5 : i64, a_offset = -1 : i64, b_offset = -2 : i64, output_mul = 3 : i64, output_shift = 4 : i64, output_offset = 5 : i64, bias = dense<[0, 1, 2, 3]> : tensor<4xi32>} : memref<2x3xui8, #kbuf.space<main>>, memref<3x4xui8, #kbuf.space<const>> -> memref<2x4xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.quantized_binary: Operation does not verify: b_shape [1, 1, 2, 4] does not broadcast to out_shape [1, 1, 1, 8]
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>, %2: memref<8xui8, #kbuf.space<main>>) {
  kbuf.quantized_binary %0, %1 -> %2 {op = #kbuf.binary_kind<div>, a_shape = array<i64: 1, 1, 1, 8>, b_shape = array<i64: 1, 1, 2, 4>, out_shape = array<i64: 1, 1, 1, 8>, a_offset = -1 : i64, a_mul = 2 : i64, a_shift = 3 : i64, b_offset = -4 : i64, b_mul = 5 : i64, b_shift = 6 : i64, output_offset = 7 : i64, output_mul = 8 : i64, output_shift = 9 : i64} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.conv2d_transpose: Operation does not verify: 3 groups do not divide 2 input and 2 output channels
func.func @case(%0: memref<1x2x4x2xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
  kbuf.conv2d_transpose %0 -> %1 {in_shape = array<i64: 1, 2, 4, 2>, out_shape = array<i64: 1, 2, 4, 4>, groups = 3 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, act = #kbuf.clamp<0.000000e+00 : f32, 6.000000e+00 : f32>, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<12xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x2x4x2xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.cpu_conv2d: Operation does not verify: bias has 3 values, but the op needs 2
func.func @case(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
  kbuf.cpu_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<12xf32>, bias = dense<0.0> : tensor<3xf32>} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.cpu_depthwise_conv2d: Operation does not verify: output has 64 bytes, but the shape [1, 5, 2, 2] takes 80
func.func @case(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
  kbuf.cpu_depthwise_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 2 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.cpu_reduce_window2d: Operation does not verify: output has 64 bytes, but the shape [1, 2, 2, 2] takes 32
func.func @case(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
  kbuf.cpu_reduce_window2d %0 -> %1 {op = #kbuf.reduce_kind<min>, in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 2 : i64, dilation_w = 1 : i64, init = 3.40282347e+38 : f32} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.cpu_quantized_conv2d: Operation does not verify: output has 16 bytes, but the shape [1, 4, 2, 4] takes 32
func.func @case(%0: memref<1x4x4x2xui8, #kbuf.space<main>>, %1: memref<1x4x2x2xui8, #kbuf.space<main>>) {
  kbuf.cpu_quantized_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, out_channels = 4 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]> : tensor<12xui8>, bias = dense<[0, 1]> : tensor<2xi32>} : memref<1x4x4x2xui8, #kbuf.space<main>> -> memref<1x4x2x2xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.cpu_quantized_depthwise_conv2d: Operation does not verify: weights has 7 values, but the op needs 6
func.func @case(%0: memref<1x4x4x2xui8, #kbuf.space<main>>, %1: memref<1x4x2x2xui8, #kbuf.space<main>>) {
  kbuf.cpu_quantized_depthwise_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<0> : tensor<7xui8>, bias = dense<[0, 1]> : tensor<2xi32>} : memref<1x4x4x2xui8, #kbuf.space<main>> -> memref<1x4x2x2xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.kpu_download: Operation does not verify: output has 16 bytes, but the shape [1, 2, 4, 4] takes 32
func.func @case(%0: memref<1x2x4x4xui8, #kbuf.space<kpu>>, %1: memref<1x1x4x4xui8, #kbuf.space<main>>) {
  kbuf.kpu_download %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.v5_tensor: Operation does not verify: in has 4 bytes, but the function needs 8
func.func @case(%0: memref<1xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v5_tensor(%0, %1) {function = "pad", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {value = 0.5 : f32}} : memref<1xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.v5_tensor: Operation does not verify: out has 12 bytes, but the function needs 16
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<3xf32, #kbuf.space<main>>) {
  kbuf.v5_tensor(%0, %1) {function = "pad", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {value = 0.5 : f32}} : memref<2xf32, #kbuf.space<main>>, memref<3xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.v5_tensor: Operation does not verify: numbers of pad are ['value'], not []
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v5_tensor(%0, %1) {function = "pad", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {}} : memref<2xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.v5_tensor: Operation does not verify: fields of pad are ['dt', 'mode', 'pads', 'sh', 'st', 'std'], not ['dt', 'mode', 'other', 'pads', 'sh', 'st', 'std']
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v5_tensor(%0, %1) {function = "pad", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64, other = 1 : i64}, numbers = {value = 0.5 : f32}} : memref<2xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.v5_tensor: Operation does not verify: in has shape [1, 2], strides [2]
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v5_tensor(%0, %1) {function = "pad", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {value = 0.5 : f32}} : memref<2xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.v5_tensor: Operation does not verify: there is no tensor function 'what'
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v5_tensor(%0, %1) {function = "what", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {value = 0.5 : f32}} : memref<2xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: kbuf.v5_tensor: Operation does not verify: matmul takes a, b, bias, out
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v5_tensor(%0, %1) {function = "matmul", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {value = 0.5 : f32}} : memref<2xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  func.return
}
