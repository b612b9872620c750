// RUN: kpu-opt %s -p kbuf-schedule | filecheck %s

// Each map of 256 bytes is read before the next one comes: two are alive at once, not three.
// CHECK-LABEL: func.func @main() {
// CHECK: kbuf.kpu_upload %x -> %a
// CHECK-NOT: kbuf.kpu_upload
// CHECK: kbuf.kpu_conv2d %a -> %c main %first
// CHECK-NEXT: %b = kbuf.alloc
// CHECK-NEXT: kbuf.kpu_upload %x -> %b
// CHECK: kbuf.kpu_conv2d %b -> %d main %second
// CHECK: kbuf.output %first
// CHECK-NEXT: kbuf.output %second
func.func @main() {
  %x = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 4, 4>} : memref<1x1x4x4xui8, #kbuf.space<main>>
  %a = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  kbuf.kpu_upload %x -> %a {in_shape = array<i64: 1, 1, 4, 4>} : memref<1x1x4x4xui8, #kbuf.space<main>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %b = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  kbuf.kpu_upload %x -> %b {in_shape = array<i64: 1, 1, 4, 4>} : memref<1x1x4x4xui8, #kbuf.space<main>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %c = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %first = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.kpu_conv2d %a -> %c main %first {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_para 1, dma_burst_size 15, load_coor 1, para_size 1, channel_switch_addr 4, row_switch_addr 1, coef_group 4, load_act 1, wb_channel_switch_addr 4, wb_row_switch_addr 1, wb_group 4, send_data_out 1, channel_byte_num 15, dma_total_byte 15>, batch_norm = dense<1> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<255> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>> main memref<1x1x4x4xui8, #kbuf.space<main>>
  %d = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %second = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.kpu_conv2d %b -> %d main %second {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_para 1, dma_burst_size 15, load_coor 1, para_size 1, channel_switch_addr 4, row_switch_addr 1, coef_group 4, load_act 1, wb_channel_switch_addr 4, wb_row_switch_addr 1, wb_group 4, send_data_out 1, channel_byte_num 15, dma_total_byte 15>, batch_norm = dense<1> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<255> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>> main memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.output %first {index = 0 : i64} : memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.output %second {index = 1 : i64} : memref<1x1x4x4xui8, #kbuf.space<main>>
  func.return
}
