// RUN: kpu-opt %s -p 'kbuf-spill{capacity=512}' | filecheck %s
// RUN: kpu-opt %s -p kbuf-spill | filecheck %s --check-prefix=FITS

// Three maps of 256 bytes: while the second layer and the third one work, what the first one made waits in main RAM.
// CHECK-LABEL: func.func @main() {
// CHECK: %a = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
// CHECK-NEXT: %0 = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<main>>
// CHECK-NEXT: kbuf.kpu_conv2d %x -> %a main %0 {{.*}}kpu.reason = "KPU RAM is full: of maps of 768 bytes, needed at once, it holds 512"{{.*}}send_data_out 1
// CHECK: kbuf.kpu_conv2d %a -> %b {{.*}}
// CHECK: kbuf.kpu_conv2d %b -> %c main %first
// CHECK: %a_1 = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
// CHECK-NEXT: kbuf.kpu_upload %0 -> %a_1 {kpu.reason = "KPU RAM is full: of maps of 768 bytes, needed at once, it holds 512", in_shape = array<i64: 1, 1, 4, 4>}
// CHECK-NEXT: kbuf.kpu_conv2d %a_1 -> %d main %second

// FITS-NOT: kbuf.kpu_upload
func.func @main() {
  %x = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 4, 4>} : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %a = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  kbuf.kpu_conv2d %x -> %a {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_para 1, dma_burst_size 15, load_coor 1, para_size 1, channel_switch_addr 4, row_switch_addr 1, coef_group 4, load_act 1, wb_channel_switch_addr 4, wb_row_switch_addr 1, wb_group 4, channel_byte_num 15, dma_total_byte 15>, batch_norm = dense<1> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<255> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %b = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  kbuf.kpu_conv2d %a -> %b {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_para 1, dma_burst_size 15, load_coor 1, para_size 1, channel_switch_addr 4, row_switch_addr 1, coef_group 4, load_act 1, wb_channel_switch_addr 4, wb_row_switch_addr 1, wb_group 4, channel_byte_num 15, dma_total_byte 15>, batch_norm = dense<1> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<255> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %c = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %first = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.kpu_conv2d %b -> %c main %first {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_para 1, dma_burst_size 15, load_coor 1, para_size 1, channel_switch_addr 4, row_switch_addr 1, coef_group 4, load_act 1, wb_channel_switch_addr 4, wb_row_switch_addr 1, wb_group 4, send_data_out 1, channel_byte_num 15, dma_total_byte 15>, batch_norm = dense<1> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<255> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>> main memref<1x1x4x4xui8, #kbuf.space<main>>
  %d = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<kpu>>
  %second = kbuf.alloc : memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.kpu_conv2d %a -> %d main %second {registers = #kbuf.registers<i_row_wid 3, i_col_high 3, o_row_wid 3, o_col_high 3, load_para 1, dma_burst_size 15, load_coor 1, para_size 1, channel_switch_addr 4, row_switch_addr 1, coef_group 4, load_act 1, wb_channel_switch_addr 4, wb_row_switch_addr 1, wb_group 4, send_data_out 1, channel_byte_num 15, dma_total_byte 15>, batch_norm = dense<1> : tensor<1xi64>, activation = dense<0> : tensor<16xi64>, activation_add = dense<0> : tensor<16xui8>, weights = dense<255> : tensor<1xui8>} : memref<1x1x4x4xui8, #kbuf.space<kpu>> -> memref<1x1x4x4xui8, #kbuf.space<kpu>> main memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.output %first {index = 0 : i64} : memref<1x1x4x4xui8, #kbuf.space<main>>
  kbuf.output %second {index = 1 : i64} : memref<1x1x4x4xui8, #kbuf.space<main>>
  func.return
}
