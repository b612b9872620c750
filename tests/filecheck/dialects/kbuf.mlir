// RUN: kpu-opt %s | filecheck %s
// RUN: kpu-opt %s --print-op-generic | kpu-opt | filecheck %s

// Every op of the dialect, printed as it is written; parsed from the generic form as well.

func.func @buffers() {
// CHECK-LABEL: func.func @buffers() {
  %0 = kbuf.alloc {offset = 64 : i64} : memref<1x3x8x8xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: %0 = kbuf.alloc {offset = 64 : i64} : memref<1x3x8x8xui8, #kbuf.space<kpu>>
  %1 = kbuf.alloc : memref<16xf32, #kbuf.space<main>>
  // CHECK-NEXT: %1 = kbuf.alloc : memref<16xf32, #kbuf.space<main>>
  %2 = kbuf.constant dense<[1, 2, 3, 4, 5, 6, 7, 8]> : tensor<8xui8> {offset = 0 : i64} : memref<8xui8, #kbuf.space<const>>
  // CHECK-NEXT: %2 = kbuf.constant dense<[1, 2, 3, 4, 5, 6, 7, 8]> : tensor<8xui8> {offset = 0 : i64} : memref<8xui8, #kbuf.space<const>>
  %3 = kbuf.subview %2 {byte_offset = 4 : i64} : memref<8xui8, #kbuf.space<const>> -> memref<1xf32, #kbuf.space<const>>
  // CHECK-NEXT: %3 = kbuf.subview %2 {byte_offset = 4 : i64} : memref<8xui8, #kbuf.space<const>> -> memref<1xf32, #kbuf.space<const>>
  %4 = kbuf.subview %1 : memref<16xf32, #kbuf.space<main>> -> memref<1x1x8x8xui8, #kbuf.space<main>>
  // CHECK-NEXT: %4 = kbuf.subview %1 : memref<16xf32, #kbuf.space<main>> -> memref<1x1x8x8xui8, #kbuf.space<main>>
  kbuf.input %0 {index = 0 : i64, shape = array<i64: 1, 3, 8, 8>, name = "image", scale = 5.000000e-01 : f64, zero_point = 3 : i64, layout = "NHWC"} : memref<1x3x8x8xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: kbuf.input %0 {index = 0 : i64, shape = array<i64: 1, 3, 8, 8>, name = "image", scale = 5.000000e-01 : f64, zero_point = 3 : i64, layout = "NHWC"} : memref<1x3x8x8xui8, #kbuf.space<kpu>>
  kbuf.output %1 {index = 0 : i64} : memref<16xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.output %1 {index = 0 : i64} : memref<16xf32, #kbuf.space<main>>
  kbuf.output %4 {index = 1 : i64, shape = array<i64: 1, 1, 8, 8>, name = "scores"} : memref<1x1x8x8xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.output %4 {index = 1 : i64, shape = array<i64: 1, 1, 8, 8>, name = "scores"} : memref<1x1x8x8xui8, #kbuf.space<main>>
  func.return
}

func.func @binary(%0: memref<1x1x1x4xf32, #kbuf.space<main>>, %1: memref<1x1x3x1xf32, #kbuf.space<const>>, %2: memref<1x1x3x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @binary(%0: memref<1x1x1x4xf32, #kbuf.space<main>>, %1: memref<1x1x3x1xf32, #kbuf.space<const>>, %2: memref<1x1x3x4xf32, #kbuf.space<main>>) {
  kbuf.binary %0, %1 -> %2 {op = #kbuf.binary_kind<add>, a_shape = array<i64: 1, 1, 1, 4>, b_shape = array<i64: 1, 1, 3, 1>, out_shape = array<i64: 1, 1, 3, 4>, act = #kbuf.clamp<0.000000e+00 : f32, 0x7f800000 : f32>} : memref<1x1x1x4xf32, #kbuf.space<main>>, memref<1x1x3x1xf32, #kbuf.space<const>> -> memref<1x1x3x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.binary %0, %1 -> %2 {op = #kbuf.binary_kind<add>, a_shape = array<i64: 1, 1, 1, 4>, b_shape = array<i64: 1, 1, 3, 1>, out_shape = array<i64: 1, 1, 3, 4>, act = #kbuf.clamp<0.000000e+00 : f32, 0x7f800000 : f32>} : memref<1x1x1x4xf32, #kbuf.space<main>>, memref<1x1x3x1xf32, #kbuf.space<const>> -> memref<1x1x3x4xf32, #kbuf.space<main>>
  func.return
}

func.func @quantized_binary(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>, %2: memref<8xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantized_binary(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>, %2: memref<8xui8, #kbuf.space<main>>) {
  kbuf.quantized_binary %0, %1 -> %2 {op = #kbuf.binary_kind<div>, a_shape = array<i64: 1, 1, 1, 8>, b_shape = array<i64: 1, 1, 1, 8>, out_shape = array<i64: 1, 1, 1, 8>, a_offset = -1 : i64, a_mul = 2 : i64, a_shift = 3 : i64, b_offset = -4 : i64, b_mul = 5 : i64, b_shift = 6 : i64, output_offset = 7 : i64, output_mul = 8 : i64, output_shift = 9 : i64} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.quantized_binary %0, %1 -> %2 {op = #kbuf.binary_kind<div>, a_shape = array<i64: 1, 1, 1, 8>, b_shape = array<i64: 1, 1, 1, 8>, out_shape = array<i64: 1, 1, 1, 8>, a_offset = -1 : i64, a_mul = 2 : i64, a_shift = 3 : i64, b_offset = -4 : i64, b_mul = 5 : i64, b_shift = 6 : i64, output_offset = 7 : i64, output_mul = 8 : i64, output_shift = 9 : i64} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}

func.func @concat(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<4xui8, #kbuf.space<main>>, %2: memref<12xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @concat(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<4xui8, #kbuf.space<main>>, %2: memref<12xui8, #kbuf.space<main>>) {
  kbuf.concat %0, %1 -> %2 {inner_size = 2 : i64, outer_size = 2 : i64, dims = array<i64: 2, 1>} : memref<8xui8, #kbuf.space<main>>, memref<4xui8, #kbuf.space<main>> -> memref<12xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.concat %0, %1 -> %2 {inner_size = 2 : i64, outer_size = 2 : i64, dims = array<i64: 2, 1>} : memref<8xui8, #kbuf.space<main>>, memref<4xui8, #kbuf.space<main>> -> memref<12xui8, #kbuf.space<main>>
  func.return
}

func.func @conv2d(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @conv2d(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x2xf32, #kbuf.space<main>>) {
  kbuf.conv2d %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, groups = 2 : i64, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.conv2d %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, groups = 2 : i64, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x2xf32, #kbuf.space<main>>
  func.return
}

func.func @quantized_conv2d(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x4x2xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantized_conv2d(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x4x2xui8, #kbuf.space<main>>) {
  kbuf.quantized_conv2d %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, groups = 1 : i64, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]> : tensor<12xui8>, bias = dense<[0, -1]> : tensor<2xi32>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x2xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.quantized_conv2d %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, groups = 1 : i64, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]> : tensor<12xui8>, bias = dense<[0, -1]> : tensor<2xi32>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x2xui8, #kbuf.space<main>>
  func.return
}

func.func @conv2d_transpose(%0: memref<1x2x4x2xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @conv2d_transpose(%0: memref<1x2x4x2xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
  kbuf.conv2d_transpose %0 -> %1 {in_shape = array<i64: 1, 2, 4, 2>, out_shape = array<i64: 1, 2, 4, 4>, groups = 1 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, act = #kbuf.clamp<0.000000e+00 : f32, 6.000000e+00 : f32>, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<12xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x2x4x2xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.conv2d_transpose %0 -> %1 {in_shape = array<i64: 1, 2, 4, 2>, out_shape = array<i64: 1, 2, 4, 4>, groups = 1 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, act = #kbuf.clamp<0.000000e+00 : f32, 6.000000e+00 : f32>, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<12xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x2x4x2xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  func.return
}

func.func @dequantize(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @dequantize(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
  kbuf.dequantize %0 -> %1 {zero_point = 128 : i64, scale = 1.000000e-01 : f32} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.dequantize %0 -> %1 {zero_point = 128 : i64, scale = 1.000000e-01 : f32} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  func.return
}

func.func @quantize(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantize(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xui8, #kbuf.space<main>>) {
  kbuf.quantize %0 -> %1 {zero_point = 128 : i64, scale = 6.400000e+01 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.quantize %0 -> %1 {zero_point = 128 : i64, scale = 6.400000e+01 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xui8, #kbuf.space<main>>
  func.return
}

func.func @matmul(%0: memref<2x3xf32, #kbuf.space<main>>, %1: memref<3x4xf32, #kbuf.space<const>>, %2: memref<2x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @matmul(%0: memref<2x3xf32, #kbuf.space<main>>, %1: memref<3x4xf32, #kbuf.space<const>>, %2: memref<2x4xf32, #kbuf.space<main>>) {
  kbuf.matmul %0, %1 -> %2 {a_rows = 2 : i64, a_cols = 3 : i64, b_cols = 4 : i64, bias = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00]> : tensor<4xf32>} : memref<2x3xf32, #kbuf.space<main>>, memref<3x4xf32, #kbuf.space<const>> -> memref<2x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.matmul %0, %1 -> %2 {a_rows = 2 : i64, a_cols = 3 : i64, b_cols = 4 : i64, bias = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00]> : tensor<4xf32>} : memref<2x3xf32, #kbuf.space<main>>, memref<3x4xf32, #kbuf.space<const>> -> memref<2x4xf32, #kbuf.space<main>>
  func.return
}

func.func @quantized_matmul(%0: memref<2x3xui8, #kbuf.space<main>>, %1: memref<3x4xui8, #kbuf.space<const>>, %2: memref<2x4xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantized_matmul(%0: memref<2x3xui8, #kbuf.space<main>>, %1: memref<3x4xui8, #kbuf.space<const>>, %2: memref<2x4xui8, #kbuf.space<main>>) {
  kbuf.quantized_matmul %0, %1 -> %2 {a_rows = 2 : i64, a_cols = 3 : i64, b_cols = 4 : i64, a_offset = -1 : i64, b_offset = -2 : i64, output_mul = 3 : i64, output_shift = 4 : i64, output_offset = 5 : i64, bias = dense<[0, 1, 2, 3]> : tensor<4xi32>} : memref<2x3xui8, #kbuf.space<main>>, memref<3x4xui8, #kbuf.space<const>> -> memref<2x4xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.quantized_matmul %0, %1 -> %2 {a_rows = 2 : i64, a_cols = 3 : i64, b_cols = 4 : i64, a_offset = -1 : i64, b_offset = -2 : i64, output_mul = 3 : i64, output_shift = 4 : i64, output_offset = 5 : i64, bias = dense<[0, 1, 2, 3]> : tensor<4xi32>} : memref<2x3xui8, #kbuf.space<main>>, memref<3x4xui8, #kbuf.space<const>> -> memref<2x4xui8, #kbuf.space<main>>
  func.return
}

func.func @pad(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x6x3xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @pad(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x6x3xui8, #kbuf.space<main>>) {
  kbuf.pad %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, paddings = array<i64: 0, 0, 0, 0, 1, 1, -1, 0>, value_type = 1 : i64, value = dense<[3, 0, 0, 0]> : tensor<4xui8>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x6x3xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.pad %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, paddings = array<i64: 0, 0, 0, 0, 1, 1, -1, 0>, value_type = 1 : i64, value = dense<[3, 0, 0, 0]> : tensor<4xui8>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x6x3xui8, #kbuf.space<main>>
  func.return
}

func.func @reduce(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x1x1xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @reduce(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x1x1xf32, #kbuf.space<main>>) {
  kbuf.reduce %0 -> %1 {op = #kbuf.reduce_kind<mean>, in_shape = array<i64: 1, 2, 4, 4>, out_shape = array<i64: 1, 2, 1, 1>, init = 0.000000e+00 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x1x1xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.reduce %0 -> %1 {op = #kbuf.reduce_kind<mean>, in_shape = array<i64: 1, 2, 4, 4>, out_shape = array<i64: 1, 2, 1, 1>, init = 0.000000e+00 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x1x1xf32, #kbuf.space<main>>
  func.return
}

func.func @reduce_window2d(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @reduce_window2d(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x2xf32, #kbuf.space<main>>) {
  kbuf.reduce_window2d %0 -> %1 {op = #kbuf.reduce_kind<max>, in_shape = array<i64: 1, 2, 4, 4>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, init = -3.40282347e+38 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.reduce_window2d %0 -> %1 {op = #kbuf.reduce_kind<max>, in_shape = array<i64: 1, 2, 4, 4>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, init = -3.40282347e+38 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x2xf32, #kbuf.space<main>>
  func.return
}

func.func @memory_copy(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @memory_copy(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
  kbuf.memory_copy %0 -> %1 : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.memory_copy %0 -> %1 : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}

func.func @resize_image(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x8x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @resize_image(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x8x2xf32, #kbuf.space<main>>) {
  kbuf.resize_image %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, out_h = 8 : i64, out_w = 2 : i64, mode = #kbuf.resize_mode<bilinear>, align_corners = 1 : i64} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x8x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.resize_image %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, out_h = 8 : i64, out_w = 2 : i64, mode = #kbuf.resize_mode<bilinear>, align_corners = 1 : i64} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x8x2xf32, #kbuf.space<main>>
  func.return
}

func.func @softmax(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @softmax(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
  kbuf.softmax %0 -> %1 {inner_size = 16 : i64, outer_size = 2 : i64, beta = 1.000000e+00 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.softmax %0 -> %1 {inner_size = 16 : i64, outer_size = 2 : i64, beta = 1.000000e+00 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  func.return
}

func.func @transpose(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x4x4x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @transpose(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x4x4x2xf32, #kbuf.space<main>>) {
  kbuf.transpose %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, perm = array<i64: 0, 2, 3, 1>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x4x4x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.transpose %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, perm = array<i64: 0, 2, 3, 1>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x4x4x2xf32, #kbuf.space<main>>
  func.return
}

func.func @strided_slice(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x1x2x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @strided_slice(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x1x2x4xf32, #kbuf.space<main>>) {
  kbuf.strided_slice %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, begin = array<i64: 0, 1, 0, 3>, end = array<i64: 1, 2, 4, -1>, strides = array<i64: 1, 1, 2, -1>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x1x2x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.strided_slice %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>, begin = array<i64: 0, 1, 0, 3>, end = array<i64: 1, 2, 4, -1>, strides = array<i64: 1, 1, 2, -1>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x1x2x4xf32, #kbuf.space<main>>
  func.return
}

func.func @unary(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @unary(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
  kbuf.unary %0 -> %1 {op = #kbuf.unary_kind<rsqrt>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.unary %0 -> %1 {op = #kbuf.unary_kind<rsqrt>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  func.return
}

func.func @table_lookup1d(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<256xui8, #kbuf.space<const>>, %2: memref<1x2x4x4xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @table_lookup1d(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<256xui8, #kbuf.space<const>>, %2: memref<1x2x4x4xui8, #kbuf.space<main>>) {
  kbuf.table_lookup1d %0, %1 -> %2 : memref<1x2x4x4xui8, #kbuf.space<main>>, memref<256xui8, #kbuf.space<const>> -> memref<1x2x4x4xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.table_lookup1d %0, %1 -> %2 : memref<1x2x4x4xui8, #kbuf.space<main>>, memref<256xui8, #kbuf.space<const>> -> memref<1x2x4x4xui8, #kbuf.space<main>>
  func.return
}

func.func @nnil_unary_method(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @nnil_unary_method(%0: memref<1x2x4x4xf32, #kbuf.space<main>>, %1: memref<1x2x4x4xf32, #kbuf.space<main>>) {
  kbuf.nnil_unary_method %0 -> %1 {code = dense<[3, 41, 160, 0]> : tensor<4xui8>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.nnil_unary_method %0 -> %1 {code = dense<[3, 41, 160, 0]> : tensor<4xui8>} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
  func.return
}

func.func @cpu_conv2d(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @cpu_conv2d(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
  kbuf.cpu_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<12xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.cpu_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<12xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  func.return
}

func.func @cpu_depthwise_conv2d(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @cpu_depthwise_conv2d(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
  kbuf.cpu_depthwise_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.cpu_depthwise_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  func.return
}

func.func @cpu_reduce_window2d(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @cpu_reduce_window2d(%0: memref<1x4x4x2xf32, #kbuf.space<main>>, %1: memref<1x4x2x2xf32, #kbuf.space<main>>) {
  kbuf.cpu_reduce_window2d %0 -> %1 {op = #kbuf.reduce_kind<min>, in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, init = 3.40282347e+38 : f32} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.cpu_reduce_window2d %0 -> %1 {op = #kbuf.reduce_kind<min>, in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, init = 3.40282347e+38 : f32} : memref<1x4x4x2xf32, #kbuf.space<main>> -> memref<1x4x2x2xf32, #kbuf.space<main>>
  func.return
}

func.func @cpu_quantized_conv2d(%0: memref<1x4x4x2xui8, #kbuf.space<main>>, %1: memref<1x4x2x2xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @cpu_quantized_conv2d(%0: memref<1x4x4x2xui8, #kbuf.space<main>>, %1: memref<1x4x2x2xui8, #kbuf.space<main>>) {
  kbuf.cpu_quantized_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]> : tensor<12xui8>, bias = dense<[0, 1]> : tensor<2xi32>} : memref<1x4x4x2xui8, #kbuf.space<main>> -> memref<1x4x2x2xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.cpu_quantized_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, out_channels = 2 : i64, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]> : tensor<12xui8>, bias = dense<[0, 1]> : tensor<2xi32>} : memref<1x4x4x2xui8, #kbuf.space<main>> -> memref<1x4x2x2xui8, #kbuf.space<main>>
  func.return
}

func.func @cpu_quantized_depthwise_conv2d(%0: memref<1x4x4x2xui8, #kbuf.space<main>>, %1: memref<1x4x2x2xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @cpu_quantized_depthwise_conv2d(%0: memref<1x4x4x2xui8, #kbuf.space<main>>, %1: memref<1x4x2x2xui8, #kbuf.space<main>>) {
  kbuf.cpu_quantized_depthwise_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>, bias = dense<[0, 1]> : tensor<2xi32>} : memref<1x4x4x2xui8, #kbuf.space<main>> -> memref<1x4x2x2xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.cpu_quantized_depthwise_conv2d %0 -> %1 {in_shape = array<i64: 1, 4, 4, 2>, pad_h = array<i64: 1, 1>, pad_w = array<i64: 0, 0>, filter_h = 3 : i64, filter_w = 1 : i64, stride_h = 1 : i64, stride_w = 2 : i64, dilation_h = 1 : i64, dilation_w = 1 : i64, input_offset = -3 : i64, filter_offset = -128 : i64, output_mul = 1073741824 : i64, output_shift = 40 : i64, output_offset = 7 : i64, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>, bias = dense<[0, 1]> : tensor<2xi32>} : memref<1x4x4x2xui8, #kbuf.space<main>> -> memref<1x4x2x2xui8, #kbuf.space<main>>
  func.return
}

func.func @kpu_upload(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x4x4xui8, #kbuf.space<kpu>>) {
// CHECK-LABEL: func.func @kpu_upload(%0: memref<1x2x4x4xui8, #kbuf.space<main>>, %1: memref<1x2x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_upload %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x4xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: kbuf.kpu_upload %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x4xui8, #kbuf.space<kpu>>
  func.return
}

func.func @kpu_conv2d(%0: memref<1x2x4x4xui8, #kbuf.space<kpu>>, %1: memref<1x3x2x2xui8, #kbuf.space<kpu>>, %2: memref<1x3x2x2xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @kpu_conv2d(%0: memref<1x2x4x4xui8, #kbuf.space<kpu>>, %1: memref<1x3x2x2xui8, #kbuf.space<kpu>>, %2: memref<1x3x2x2xui8, #kbuf.space<main>>) {
  kbuf.kpu_conv2d %0 -> %1 {registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>, offsets = array<i64: 64, 256, 384, 512>, flags = 2 : i64, unused_output = 8 : i64} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x3x2x2xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: kbuf.kpu_conv2d %0 -> %1 {registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>, offsets = array<i64: 64, 256, 384, 512>, flags = 2 : i64, unused_output = 8 : i64} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x3x2x2xui8, #kbuf.space<kpu>>
  kbuf.kpu_conv2d %0 -> %1 main %2 {registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>, fills = array<i64: 8, 0, 120>} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x3x2x2xui8, #kbuf.space<kpu>> main memref<1x3x2x2xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.kpu_conv2d %0 -> %1 main %2 {registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>, fills = array<i64: 8, 0, 120>} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x3x2x2xui8, #kbuf.space<kpu>> main memref<1x3x2x2xui8, #kbuf.space<main>>
  func.return
}

func.func @kpu_wide_weights(%0: memref<1x2x4x4xui8, #kbuf.space<kpu>>, %1: memref<1x3x2x2xui8, #kbuf.space<kpu>>) {
// CHECK-LABEL: func.func @kpu_wide_weights(
  kbuf.kpu_conv2d %0 -> %1 {registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 65535]> : tensor<6xui16>} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x3x2x2xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: kbuf.kpu_conv2d %0 -> %1 {registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 65535]> : tensor<6xui16>} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x3x2x2xui8, #kbuf.space<kpu>>
  func.return
}

func.func @kpu_batches(%0: memref<2x2x4x4xui8, #kbuf.space<kpu>>, %1: memref<2x3x2x2xui8, #kbuf.space<kpu>>) {
// CHECK-LABEL: func.func @kpu_batches(%0: memref<2x2x4x4xui8, #kbuf.space<kpu>>, %1: memref<2x3x2x2xui8, #kbuf.space<kpu>>) {
  kbuf.kpu_conv2d %0 -> %1 {batches = 2 : i64, reserved = 1 : i64, registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>} : memref<2x2x4x4xui8, #kbuf.space<kpu>> -> memref<2x3x2x2xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: kbuf.kpu_conv2d %0 -> %1 {batches = 2 : i64, reserved = 1 : i64, registers = #kbuf.registers<i_ch_num 1, o_ch_num 2, i_row_wid 3, i_col_high 3, o_row_wid 1, o_col_high 1, pool_type 1, pad_value 7, arg_x -128>, batch_norm = dense<[1, 2, 3]> : tensor<3xi64>, activation = dense<[-576460752303423488, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi64>, activation_add = dense<[0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]> : tensor<16xui8>, weights = dense<[0, 1, 2, 3, 4, 5]> : tensor<6xui8>} : memref<2x2x4x4xui8, #kbuf.space<kpu>> -> memref<2x3x2x2xui8, #kbuf.space<kpu>>
  func.return
}

func.func @kpu_download(%0: memref<1x2x4x4xui8, #kbuf.space<kpu>>, %1: memref<1x2x4x4xui8, #kbuf.space<output>>) {
// CHECK-LABEL: func.func @kpu_download(
  kbuf.kpu_download %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x2x4x4xui8, #kbuf.space<output>>
  // CHECK-NEXT: kbuf.kpu_download %0 -> %1 {in_shape = array<i64: 1, 2, 4, 4>} : memref<1x2x4x4xui8, #kbuf.space<kpu>> -> memref<1x2x4x4xui8, #kbuf.space<output>>
  func.return
}

func.func @v5_tensor(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @v5_tensor(
  kbuf.v5_tensor(%0, %1) {function = "pad", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {value = 5.000000e-01 : f32}} : memref<2xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v5_tensor(%0, %1) {function = "pad", fields = {dt = "float32", sh = array<i64: 1, 2>, st = array<i64: 2, 1>, std = array<i64: 4, 1>, pads = [array<i64: 0, 0, 0>, array<i64: 1, 1, 0>], mode = 0 : i64}, numbers = {value = 5.000000e-01 : f32}} : memref<2xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>>
  func.return
}
