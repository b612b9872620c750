// RUN: kpu-opt %s -p convert-kpu-to-kbuf --split-input-file | filecheck %s

// The relu is the clamp of the addition, the reshape a view.
// CHECK: builtin.module attributes {kbuf.version = "v4"} {
// CHECK-LABEL: func.func @main() {
// CHECK-NEXT: %0 = kbuf.alloc : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.input %0 {index = 0 : i64, shape = array<i64: 1, 1, 1, 8>, name = "x"} : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: %1 = kbuf.constant dense<[1.000000e+00, 2.000000e+00, 3.000000e+00, 4.000000e+00, 5.000000e+00, 6.000000e+00, 7.000000e+00, 8.000000e+00]> : tensor<8xf32> : memref<8xf32, #kbuf.space<const>>
// CHECK-NEXT: %2 = kbuf.alloc : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.binary %0, %1 -> %2 {op = #kbuf.binary_kind<add>, a_shape = array<i64: 1, 1, 1, 8>, b_shape = array<i64: 1, 1, 1, 8>, out_shape = array<i64: 1, 1, 1, 8>, act = #kbuf.clamp<0.000000e+00 : f32, 3.40282347e+38 : f32>} : memref<1x8xf32, #kbuf.space<main>>, memref<8xf32, #kbuf.space<const>> -> memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: %3 = kbuf.subview %2 : memref<1x8xf32, #kbuf.space<main>> -> memref<2x4xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.output %3 {index = 0 : i64, shape = array<i64: 1, 1, 2, 4>, name = "y"} : memref<2x4xf32, #kbuf.space<main>>
// CHECK-NEXT: func.return
func.func @main(%x: tensor<1x8xf32> {ktensor.name = "x"}) -> (tensor<2x4xf32> {ktensor.name = "y"}) {
  %c = ktensor.constant dense<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]> : tensor<8xf32>
  %0 = ktensor.binary<add> %x, %c : (tensor<1x8xf32>, tensor<8xf32>) -> tensor<1x8xf32>
  %1 = ktensor.activation<relu> %0 : (tensor<1x8xf32>) -> tensor<1x8xf32>
  %2 = ktensor.reshape %1 : (tensor<1x8xf32>) -> tensor<2x4xf32>
  func.return %2 : tensor<2x4xf32>
}

// -----

// An input that only layers read is delivered into KPU RAM; a download is the layer's second output.
// CHECK: builtin.module attributes {kbuf.version = "v4"} {
// CHECK-LABEL: func.func @main() {
// CHECK-NEXT: %0 = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
// CHECK-NEXT: kbuf.input %0 {index = 0 : i64, shape = array<i64: 1, 1, 4, 4>, name = "image", scale = 1.000000e+00 : f64, zero_point = 0 : i64, layout = "NHWC"} : memref<1x1x4x4xui8, #kbuf.space<kpu>>
// CHECK-NEXT: %1 = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
// CHECK-NEXT: %2 = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<main>>
// CHECK-NEXT: kbuf.kpu_conv2d %0 -> %1 main %2 {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_para 1, dma_burst_size 15, load_coor 1, para_size 1, channel_switch_addr 4, row_switch_addr 1, coef_group 4, load_act 1, wb_channel_switch_addr 4, wb_row_switch_addr 1, wb_group 4, arg_x -128, send_data_out 1, channel_byte_num 15, dma_total_byte 15>, batch_norm = dense<1> : tensor<1xi64>, activation = dense<[576460752303423752, 264, 16777480, 33554696, 50331912, 67109128, 83886344, 100663560, 117440776, 134217992, 150995208, 167772424, 184549640, 201326856, 218104072, 234881288]> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<255> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>> main memref<1x1x4x4xui8, #kbuf.space<main>>
// CHECK-NEXT: %3 = kbuf.alloc : memref<1x1x4x4xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.dequantize %2 -> %3 {zero_point = 0 : i64, scale = 5.000000e-01 : f32} : memref<1x1x4x4xui8, #kbuf.space<main>> -> memref<1x1x4x4xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.output %3 {index = 0 : i64, shape = array<i64: 1, 1, 4, 4>, name = "y"} : memref<1x1x4x4xf32, #kbuf.space<main>>
// CHECK-NEXT: func.return
func.func @main(%x: tensor<1x1x4x4x!ktensor.quantized<ui8, 1.0, 0>> {ktensor.name = "image", ktensor.layout = "NHWC"}) -> (tensor<1x1x4x4xf32> {ktensor.name = "y"}) {
  %0 = kpu.upload %x : (tensor<1x1x4x4x!ktensor.quantized<ui8, 1.0, 0>>) -> !kpu.fmap<1x1x4x4, 1.0, 0>
  %1 = kpu.layer %0 {kernel_size = 1 : i64, depthwise = false, pad_value = 0 : i64, arg_x = -128 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<1x1x1x1xui8>, bn_mul = dense<1> : tensor<1xi32>, bn_shift = dense<0> : tensor<1xui8>, bn_add = dense<0> : tensor<1xi32>, act_start = dense<[-34359738368, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]> : tensor<16xi64>, act_mul = dense<1> : tensor<16xi16>, act_shift = dense<8> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>} : (!kpu.fmap<1x1x4x4, 1.0, 0>) -> !kpu.fmap<1x1x4x4, 2.0, 0>
  %2 = kpu.download %1 : (!kpu.fmap<1x1x4x4, 2.0, 0>) -> tensor<1x1x4x4x!ktensor.quantized<ui8, 2.0, 0>>
  %3 = ktensor.dequantize %2 : (tensor<1x1x4x4x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x1x4x4xf32>
  func.return %3 : tensor<1x1x4x4xf32>
}
