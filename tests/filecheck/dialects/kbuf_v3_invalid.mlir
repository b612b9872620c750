// RUN: kpu-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// One case per complaint of the verifiers of the layers of kmodel v3.

// CHECK: b has 16 bytes, but the shape [8] takes 32
func.func @case(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>, %2: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_add %0, %1 -> %2 {count = 8 : i64} : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 16 bytes, but the shape [8] takes 8
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>, %2: memref<16xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_add %0, %1 -> %2 {count = 8 : i64, a_offset = -1 : i64, a_mul = 2 : i64, a_shift = 3 : i64, b_offset = -4 : i64, b_mul = 5 : i64, b_shift = 6 : i64, output_offset = 7 : i64, output_mul = 8 : i64, output_shift = 9 : i64} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<16xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: input has 8 bytes, but the shape [2, 16] takes 128
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<2xf32, #kbuf.space<main>>) {
  kbuf.v3_global_average_pool2d %0 -> %1 {kernel_size = 16 : i64, channels = 2 : i64} : memref<2xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: input has 8 bytes, but the shape [2, 5, 4] takes 40
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<2x3x2xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_max_pool2d %0 -> %1 {in_width = 4 : i64, in_height = 5 : i64, in_channels = 2 : i64, out_width = 2 : i64, out_height = 3 : i64, out_channels = 2 : i64, kernel_width = 2 : i64, kernel_height = 3 : i64, stride_width = 2 : i64, stride_height = 2 : i64, pad_width = 0 : i64, pad_height = 1 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<2x3x2xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: 3 output channels need as many of the input, which has 2
func.func @case(%0: memref<2x5x4xf32, #kbuf.space<main>>, %1: memref<3x3x2xf32, #kbuf.space<main>>) {
  kbuf.v3_average_pool2d %0 -> %1 {in_width = 4 : i64, in_height = 5 : i64, in_channels = 2 : i64, out_width = 2 : i64, out_height = 3 : i64, out_channels = 3 : i64, kernel_width = 2 : i64, kernel_height = 3 : i64, stride_width = 2 : i64, stride_height = 2 : i64, pad_width = 0 : i64, pad_height = 1 : i64, activation = 1 : i64} : memref<2x5x4xf32, #kbuf.space<main>> -> memref<3x3x2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: expected elements of type f32, but the buffer is
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_quantize %0 -> %1 {flags = 1 : i64, count = 8 : i64, scale = 5.000000e-01 : f32, bias = -1.000000e+00 : f32} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 16 bytes, but the shape [8] takes 32
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v3_dequantize %0 -> %1 {flags = 0 : i64, count = 8 : i64, scale = 5.000000e-01 : f32, bias = -1.000000e+00 : f32} : memref<8xui8, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: table has 255 values, but the op needs 256
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_requantize %0 -> %1 {count = 8 : i64, table = dense<7> : tensor<255xui8>} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: input has 16 bytes, but the shape [8] takes 32
func.func @case(%0: memref<4xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_softmax %0 -> %1 {channels = 8 : i64} : memref<4xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 32 bytes, but the inputs 48
func.func @case(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>, %2: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_concat %0, %1 -> %2 : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: weights has 6 values, but the op needs 8
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v3_fully_connected %0 -> %1 {in_channels = 2 : i64, out_channels = 4 : i64, activation = 2 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00]> : tensor<3xf32>} : memref<2xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: bias has 2 values, but the op needs 3
func.func @case(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<3xf32, #kbuf.space<main>>) {
  kbuf.v3_fully_connected %0 -> %1 {in_channels = 2 : i64, out_channels = 3 : i64, activation = 2 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00]> : tensor<2xf32>} : memref<2xf32, #kbuf.space<main>> -> memref<3xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 8 bytes, but the shape [3, 4, 2] takes 96
func.func @case(%0: memref<2x3x4xf32, #kbuf.space<main>>, %1: memref<2xf32, #kbuf.space<main>>) {
  kbuf.v3_tensorflow_flatten %0 -> %1 {width = 4 : i64, height = 3 : i64, channels = 2 : i64} : memref<2x3x4xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 200 bytes, but the shape [2, 5, 6] takes 240
func.func @case(%0: memref<2x2x3xf32, #kbuf.space<main>>, %1: memref<2x5x5xf32, #kbuf.space<main>>) {
  kbuf.v3_resize_nearest_neighbor %0 -> %1 {in_width = 3 : i64, in_height = 2 : i64, channels = 2 : i64, out_width = 6 : i64, out_height = 5 : i64, align_corners = 1 : i64} : memref<2x2x3xf32, #kbuf.space<main>> -> memref<2x5x5xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: scales has 2 values, but the op needs 4
func.func @case(%0: memref<2x4xui8, #kbuf.space<main>>, %1: memref<2x4xf32, #kbuf.space<main>>) {
  kbuf.v3_channelwise_dequantize %0 -> %1 {channels = 2 : i64, channel_size = 4 : i64, scales = dense<1.0> : tensor<2xf32>} : memref<2x4xui8, #kbuf.space<main>> -> memref<2x4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has shape [1, 8, 1, 1], but the op says [1, 8, 4, 4]
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<1x8x1x1xui8, #kbuf.space<kpu>>) {
  kbuf.v3_k210_add_padding %0 -> %1 {channels = 8 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<1x8x1x1xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: expected a buffer in #kbuf.space<kpu>
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8x4x4xui8, #kbuf.space<main>>) {
  kbuf.v3_k210_add_padding %0 -> %1 {channels = 8 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<8x4x4xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: input has 8 bytes, but the shape [8, 4, 4] takes 128
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_k210_remove_padding %0 -> %1 {channels = 8 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: input has 36 bytes, but the shape [1, 2, 3, 4] takes 24
func.func @case(%0: memref<1x3x3x4xui8, #kbuf.space<main>>, %1: memref<1x2x3x4xui8, #kbuf.space<kpu>>) {
  kbuf.v3_k210_upload %0 -> %1 {width = 4 : i64, height = 3 : i64, channels = 2 : i64} : memref<1x3x3x4xui8, #kbuf.space<main>> -> memref<1x2x3x4xui8, #kbuf.space<kpu>>
  func.return
}
// -----
// CHECK: output has 16 bytes, but the shape [8] takes 32
func.func @case(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v3_l2_normalization %0 -> %1 {channels = 8 : i64} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 16 bytes, but the shape [8] takes 32
func.func @case(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>) {
  kbuf.v3_logistic %0 -> %1 {channels = 8 : i64} : memref<8xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 8 bytes, but the inputs 12
func.func @case(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<4xui8, #kbuf.space<main>>, %2: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_concat %0, %1 -> %2 : memref<8xui8, #kbuf.space<main>>, memref<4xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}
// -----
// CHECK: output has 50 bytes, but the shape [2, 5, 6] takes 60
func.func @case(%0: memref<2x2x3xui8, #kbuf.space<main>>, %1: memref<2x5x5xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_resize_nearest_neighbor %0 -> %1 {in_width = 3 : i64, in_height = 2 : i64, channels = 2 : i64, out_width = 6 : i64, out_height = 5 : i64} : memref<2x2x3xui8, #kbuf.space<main>> -> memref<2x5x5xui8, #kbuf.space<main>>
  func.return
}
