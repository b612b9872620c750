// RUN: kpu-opt %s | filecheck %s
// RUN: kpu-opt %s --print-op-generic | kpu-opt | filecheck %s

// Every layer of kmodel v3, printed as it is written; parsed from the generic form as well.

func.func @add(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>, %2: memref<8xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @add(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>, %2: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_add %0, %1 -> %2 {count = 8 : i64} : memref<8xf32, #kbuf.space<main>>, memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_add %0, %1 -> %2 {count = 8 : i64} : memref<8xf32, #kbuf.space<main>>, memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}

func.func @quantized_add(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>, %2: memref<8xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantized_add(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>, %2: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_add %0, %1 -> %2 {count = 8 : i64, a_offset = -1 : i64, a_mul = 2 : i64, a_shift = 3 : i64, b_offset = -4 : i64, b_mul = 5 : i64, b_shift = 6 : i64, output_offset = 7 : i64, output_mul = 8 : i64, output_shift = 9 : i64} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_quantized_add %0, %1 -> %2 {count = 8 : i64, a_offset = -1 : i64, a_mul = 2 : i64, a_shift = 3 : i64, b_offset = -4 : i64, b_mul = 5 : i64, b_shift = 6 : i64, output_offset = 7 : i64, output_mul = 8 : i64, output_shift = 9 : i64} : memref<8xui8, #kbuf.space<main>>, memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}

func.func @global_average_pool2d(%0: memref<2x16xf32, #kbuf.space<main>>, %1: memref<2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @global_average_pool2d(%0: memref<2x16xf32, #kbuf.space<main>>, %1: memref<2xf32, #kbuf.space<main>>) {
  kbuf.v3_global_average_pool2d %0 -> %1 {kernel_size = 16 : i64, channels = 2 : i64} : memref<2x16xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_global_average_pool2d %0 -> %1 {kernel_size = 16 : i64, channels = 2 : i64} : memref<2x16xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
  func.return
}

func.func @quantized_max_pool2d(%0: memref<2x5x4xui8, #kbuf.space<main>>, %1: memref<2x3x2xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantized_max_pool2d(%0: memref<2x5x4xui8, #kbuf.space<main>>, %1: memref<2x3x2xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_max_pool2d %0 -> %1 {in_width = 4 : i64, in_height = 5 : i64, in_channels = 2 : i64, out_width = 2 : i64, out_height = 3 : i64, out_channels = 2 : i64, kernel_width = 2 : i64, kernel_height = 3 : i64, stride_width = 2 : i64, stride_height = 2 : i64, pad_width = 0 : i64, pad_height = 1 : i64} : memref<2x5x4xui8, #kbuf.space<main>> -> memref<2x3x2xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_quantized_max_pool2d %0 -> %1 {in_width = 4 : i64, in_height = 5 : i64, in_channels = 2 : i64, out_width = 2 : i64, out_height = 3 : i64, out_channels = 2 : i64, kernel_width = 2 : i64, kernel_height = 3 : i64, stride_width = 2 : i64, stride_height = 2 : i64, pad_width = 0 : i64, pad_height = 1 : i64} : memref<2x5x4xui8, #kbuf.space<main>> -> memref<2x3x2xui8, #kbuf.space<main>>
  func.return
}

func.func @average_pool2d(%0: memref<2x5x4xf32, #kbuf.space<main>>, %1: memref<2x3x2xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @average_pool2d(%0: memref<2x5x4xf32, #kbuf.space<main>>, %1: memref<2x3x2xf32, #kbuf.space<main>>) {
  kbuf.v3_average_pool2d %0 -> %1 {in_width = 4 : i64, in_height = 5 : i64, in_channels = 2 : i64, out_width = 2 : i64, out_height = 3 : i64, out_channels = 2 : i64, kernel_width = 2 : i64, kernel_height = 3 : i64, stride_width = 2 : i64, stride_height = 2 : i64, pad_width = 0 : i64, pad_height = 1 : i64, activation = 1 : i64} : memref<2x5x4xf32, #kbuf.space<main>> -> memref<2x3x2xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_average_pool2d %0 -> %1 {in_width = 4 : i64, in_height = 5 : i64, in_channels = 2 : i64, out_width = 2 : i64, out_height = 3 : i64, out_channels = 2 : i64, kernel_width = 2 : i64, kernel_height = 3 : i64, stride_width = 2 : i64, stride_height = 2 : i64, pad_width = 0 : i64, pad_height = 1 : i64, activation = 1 : i64} : memref<2x5x4xf32, #kbuf.space<main>> -> memref<2x3x2xf32, #kbuf.space<main>>
  func.return
}

func.func @quantize(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantize(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_quantize %0 -> %1 {flags = 1 : i64, count = 8 : i64, scale = 5.000000e-01 : f32, bias = -1.000000e+00 : f32} : memref<8xf32, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_quantize %0 -> %1 {flags = 1 : i64, count = 8 : i64, scale = 5.000000e-01 : f32, bias = -1.000000e+00 : f32} : memref<8xf32, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}

func.func @dequantize(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @dequantize(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_dequantize %0 -> %1 {flags = 0 : i64, count = 8 : i64, scale = 5.000000e-01 : f32, bias = -1.000000e+00 : f32} : memref<8xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_dequantize %0 -> %1 {flags = 0 : i64, count = 8 : i64, scale = 5.000000e-01 : f32, bias = -1.000000e+00 : f32} : memref<8xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}

func.func @requantize(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @requantize(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_requantize %0 -> %1 {count = 8 : i64, table = dense<7> : tensor<256xui8>} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_requantize %0 -> %1 {count = 8 : i64, table = dense<7> : tensor<256xui8>} : memref<8xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}

func.func @l2_normalization(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @l2_normalization(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_l2_normalization %0 -> %1 {channels = 8 : i64} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_l2_normalization %0 -> %1 {channels = 8 : i64} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}

func.func @softmax(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @softmax(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_softmax %0 -> %1 {channels = 8 : i64} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_softmax %0 -> %1 {channels = 8 : i64} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}

func.func @logistic(%0: memref<2x4xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @logistic(%0: memref<2x4xf32, #kbuf.space<main>>, %1: memref<8xf32, #kbuf.space<main>>) {
  kbuf.v3_logistic %0 -> %1 {channels = 8 : i64} : memref<2x4xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_logistic %0 -> %1 {channels = 8 : i64} : memref<2x4xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
  func.return
}

func.func @concat(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>, %2: memref<12xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @concat(%0: memref<8xf32, #kbuf.space<main>>, %1: memref<4xf32, #kbuf.space<main>>, %2: memref<12xf32, #kbuf.space<main>>) {
  kbuf.v3_concat %0, %1 -> %2 : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<12xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_concat %0, %1 -> %2 : memref<8xf32, #kbuf.space<main>>, memref<4xf32, #kbuf.space<main>> -> memref<12xf32, #kbuf.space<main>>
  func.return
}

func.func @quantized_concat(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<3xui8, #kbuf.space<main>>, %2: memref<11xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantized_concat(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<3xui8, #kbuf.space<main>>, %2: memref<11xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_concat %0, %1 -> %2 {flags = 3 : i64} : memref<8xui8, #kbuf.space<main>>, memref<3xui8, #kbuf.space<main>> -> memref<11xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_quantized_concat %0, %1 -> %2 {flags = 3 : i64} : memref<8xui8, #kbuf.space<main>>, memref<3xui8, #kbuf.space<main>> -> memref<11xui8, #kbuf.space<main>>
  func.return
}

func.func @fully_connected(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<3xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @fully_connected(%0: memref<2xf32, #kbuf.space<main>>, %1: memref<3xf32, #kbuf.space<main>>) {
  kbuf.v3_fully_connected %0 -> %1 {in_channels = 2 : i64, out_channels = 3 : i64, activation = 2 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00]> : tensor<3xf32>} : memref<2xf32, #kbuf.space<main>> -> memref<3xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_fully_connected %0 -> %1 {in_channels = 2 : i64, out_channels = 3 : i64, activation = 2 : i64, weights = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00]> : tensor<6xf32>, bias = dense<[0.000000e+00, 1.000000e+00, 2.000000e+00]> : tensor<3xf32>} : memref<2xf32, #kbuf.space<main>> -> memref<3xf32, #kbuf.space<main>>
  func.return
}

func.func @tensorflow_flatten(%0: memref<2x3x4xf32, #kbuf.space<main>>, %1: memref<24xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @tensorflow_flatten(%0: memref<2x3x4xf32, #kbuf.space<main>>, %1: memref<24xf32, #kbuf.space<main>>) {
  kbuf.v3_tensorflow_flatten %0 -> %1 {width = 4 : i64, height = 3 : i64, channels = 2 : i64} : memref<2x3x4xf32, #kbuf.space<main>> -> memref<24xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_tensorflow_flatten %0 -> %1 {width = 4 : i64, height = 3 : i64, channels = 2 : i64} : memref<2x3x4xf32, #kbuf.space<main>> -> memref<24xf32, #kbuf.space<main>>
  func.return
}

func.func @resize_nearest_neighbor(%0: memref<2x2x3xf32, #kbuf.space<main>>, %1: memref<2x5x6xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @resize_nearest_neighbor(%0: memref<2x2x3xf32, #kbuf.space<main>>, %1: memref<2x5x6xf32, #kbuf.space<main>>) {
  kbuf.v3_resize_nearest_neighbor %0 -> %1 {in_width = 3 : i64, in_height = 2 : i64, channels = 2 : i64, out_width = 6 : i64, out_height = 5 : i64, align_corners = 1 : i64} : memref<2x2x3xf32, #kbuf.space<main>> -> memref<2x5x6xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_resize_nearest_neighbor %0 -> %1 {in_width = 3 : i64, in_height = 2 : i64, channels = 2 : i64, out_width = 6 : i64, out_height = 5 : i64, align_corners = 1 : i64} : memref<2x2x3xf32, #kbuf.space<main>> -> memref<2x5x6xf32, #kbuf.space<main>>
  func.return
}

func.func @quantized_resize_nearest_neighbor(%0: memref<2x2x3xui8, #kbuf.space<main>>, %1: memref<2x5x6xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @quantized_resize_nearest_neighbor(%0: memref<2x2x3xui8, #kbuf.space<main>>, %1: memref<2x5x6xui8, #kbuf.space<main>>) {
  kbuf.v3_quantized_resize_nearest_neighbor %0 -> %1 {in_width = 3 : i64, in_height = 2 : i64, channels = 2 : i64, out_width = 6 : i64, out_height = 5 : i64} : memref<2x2x3xui8, #kbuf.space<main>> -> memref<2x5x6xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_quantized_resize_nearest_neighbor %0 -> %1 {in_width = 3 : i64, in_height = 2 : i64, channels = 2 : i64, out_width = 6 : i64, out_height = 5 : i64} : memref<2x2x3xui8, #kbuf.space<main>> -> memref<2x5x6xui8, #kbuf.space<main>>
  func.return
}

func.func @channelwise_dequantize(%0: memref<2x4xui8, #kbuf.space<main>>, %1: memref<2x4xf32, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @channelwise_dequantize(%0: memref<2x4xui8, #kbuf.space<main>>, %1: memref<2x4xf32, #kbuf.space<main>>) {
  kbuf.v3_channelwise_dequantize %0 -> %1 {channels = 2 : i64, channel_size = 4 : i64, scales = dense<[1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<4xf32>} : memref<2x4xui8, #kbuf.space<main>> -> memref<2x4xf32, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_channelwise_dequantize %0 -> %1 {channels = 2 : i64, channel_size = 4 : i64, scales = dense<[1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00]> : tensor<4xf32>} : memref<2x4xui8, #kbuf.space<main>> -> memref<2x4xf32, #kbuf.space<main>>
  func.return
}

func.func @k210_add_padding(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<1x8x4x4xui8, #kbuf.space<kpu>>) {
// CHECK-LABEL: func.func @k210_add_padding(%0: memref<8xui8, #kbuf.space<main>>, %1: memref<1x8x4x4xui8, #kbuf.space<kpu>>) {
  kbuf.v3_k210_add_padding %0 -> %1 {channels = 8 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<1x8x4x4xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: kbuf.v3_k210_add_padding %0 -> %1 {channels = 8 : i64} : memref<8xui8, #kbuf.space<main>> -> memref<1x8x4x4xui8, #kbuf.space<kpu>>
  func.return
}

func.func @k210_remove_padding(%0: memref<8x4x4xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
// CHECK-LABEL: func.func @k210_remove_padding(%0: memref<8x4x4xui8, #kbuf.space<main>>, %1: memref<8xui8, #kbuf.space<main>>) {
  kbuf.v3_k210_remove_padding %0 -> %1 {channels = 8 : i64} : memref<8x4x4xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  // CHECK-NEXT: kbuf.v3_k210_remove_padding %0 -> %1 {channels = 8 : i64} : memref<8x4x4xui8, #kbuf.space<main>> -> memref<8xui8, #kbuf.space<main>>
  func.return
}

func.func @k210_upload(%0: memref<1x2x3x4xui8, #kbuf.space<main>>, %1: memref<1x2x3x4xui8, #kbuf.space<kpu>>) {
// CHECK-LABEL: func.func @k210_upload(%0: memref<1x2x3x4xui8, #kbuf.space<main>>, %1: memref<1x2x3x4xui8, #kbuf.space<kpu>>) {
  kbuf.v3_k210_upload %0 -> %1 {width = 4 : i64, height = 3 : i64, channels = 2 : i64} : memref<1x2x3x4xui8, #kbuf.space<main>> -> memref<1x2x3x4xui8, #kbuf.space<kpu>>
  // CHECK-NEXT: kbuf.v3_k210_upload %0 -> %1 {width = 4 : i64, height = 3 : i64, channels = 2 : i64} : memref<1x2x3x4xui8, #kbuf.space<main>> -> memref<1x2x3x4xui8, #kbuf.space<kpu>>
  func.return
}
