// RUN: kpu-opt %s -p 'kpu-tile{ram=16384}' --split-input-file | filecheck %s
// RUN: kpu-opt %s -p kpu-tile --split-input-file | filecheck %s --check-prefix=FITS

// FITS-NOT: kpu.crop

// The map in the middle has 20480 bytes. A row too many on each side of a neighbour is spoilt by either 3x3 kernel;
// pooled, these are one row.
// CHECK-LABEL: func.func @main(%x: !kpu.fmap<1x1x64x64, 1.000000e+00, 0>) -> !kpu.fmap<1x1x32x32, 1.000000e+00, 0> {
// CHECK-NEXT: %0 = kpu.crop %x {crops = array<i64: 0, 0, 40, 0>} : (!kpu.fmap<1x1x64x64, 1.000000e+00, 0>) -> !kpu.fmap<1x1x24x64, 1.000000e+00, 0>
// CHECK-NEXT: %1 = kpu.layer %0 {{.*}} : (!kpu.fmap<1x1x24x64, 1.000000e+00, 0>) -> !kpu.fmap<1x5x24x64, 1.000000e+00, 0>
// CHECK-NEXT: %2 = kpu.layer %1 {{.*}} : (!kpu.fmap<1x5x24x64, 1.000000e+00, 0>) -> !kpu.fmap<1x1x12x32, 1.000000e+00, 0>
// CHECK-NEXT: %3 = kpu.crop %x {crops = array<i64: 20, 0, 20, 0>} : (!kpu.fmap<1x1x64x64, 1.000000e+00, 0>) -> !kpu.fmap<1x1x24x64, 1.000000e+00, 0>
// CHECK-NEXT: %4 = kpu.layer %3 {{.*}} : (!kpu.fmap<1x1x24x64, 1.000000e+00, 0>) -> !kpu.fmap<1x5x24x64, 1.000000e+00, 0>
// CHECK-NEXT: %5 = kpu.layer %4 {{.*}} : (!kpu.fmap<1x5x24x64, 1.000000e+00, 0>) -> !kpu.fmap<1x1x12x32, 1.000000e+00, 0>
// CHECK-NEXT: %6 = kpu.crop %x {crops = array<i64: 40, 0, 0, 0>} : (!kpu.fmap<1x1x64x64, 1.000000e+00, 0>) -> !kpu.fmap<1x1x24x64, 1.000000e+00, 0>
// CHECK-NEXT: %7 = kpu.layer %6 {{.*}} : (!kpu.fmap<1x1x24x64, 1.000000e+00, 0>) -> !kpu.fmap<1x5x24x64, 1.000000e+00, 0>
// CHECK-NEXT: %8 = kpu.layer %7 {{.*}} : (!kpu.fmap<1x5x24x64, 1.000000e+00, 0>) -> !kpu.fmap<1x1x12x32, 1.000000e+00, 0>
// CHECK-NEXT: %9 = kpu.concat_rows %2, %5, %8 {crops = array<i64: 0, 1, 1, 1, 1, 0>} : (!kpu.fmap<1x1x12x32, 1.000000e+00, 0>, !kpu.fmap<1x1x12x32, 1.000000e+00, 0>, !kpu.fmap<1x1x12x32, 1.000000e+00, 0>) -> !kpu.fmap<1x1x32x32, 1.000000e+00, 0>
// CHECK-NEXT: func.return %9 : !kpu.fmap<1x1x32x32, 1.000000e+00, 0>
func.func @main(%x: !kpu.fmap<1x1x64x64, 1.0, 0>) -> !kpu.fmap<1x1x32x32, 1.0, 0> {
  %0 = kpu.layer %x {kernel_size = 3 : i64, pad_value = 0 : i64, arg_x = -128 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<5x1x3x3xui8>, bn_mul = dense<1> : tensor<5xi32>, bn_shift = dense<0> : tensor<5xui8>, bn_add = dense<0> : tensor<5xi32>, act_start = dense<[-34359738368, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]> : tensor<16xi64>, act_mul = dense<1> : tensor<16xi16>, act_shift = dense<8> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>} : (!kpu.fmap<1x1x64x64, 1.0, 0>) -> !kpu.fmap<1x5x64x64, 1.0, 0>
  %1 = kpu.layer %0 {kernel_size = 3 : i64, pad_value = 0 : i64, arg_x = -128 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<1x5x3x3xui8>, bn_mul = dense<1> : tensor<1xi32>, bn_shift = dense<0> : tensor<1xui8>, bn_add = dense<0> : tensor<1xi32>, act_start = dense<[-34359738368, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]> : tensor<16xi64>, act_mul = dense<1> : tensor<16xi16>, act_shift = dense<8> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>, pool = #kpu.pool<max_2_s2>} : (!kpu.fmap<1x5x64x64, 1.0, 0>) -> !kpu.fmap<1x1x32x32, 1.0, 0>
  func.return %1 : !kpu.fmap<1x1x32x32, 1.0, 0>
}
// -----
// One layer by itself; its result is wanted in main RAM.
// CHECK-LABEL: func.func @main(%x: tensor<1x12x64x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x12x64x16x!ktensor.quantized<ui8, 1.000000e+00, 0>> {
// CHECK-NEXT: %u = kpu.upload %x : (tensor<1x12x64x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> !kpu.fmap<1x12x64x16, 1.000000e+00, 0>
// CHECK-NEXT: %0 = kpu.crop %u {crops = array<i64: 0, 0, 54, 0>} : (!kpu.fmap<1x12x64x16, 1.000000e+00, 0>) -> !kpu.fmap<1x12x10x16, 1.000000e+00, 0>
// CHECK-NEXT: %1 = kpu.layer %0 {{.*}} : (!kpu.fmap<1x12x10x16, 1.000000e+00, 0>) -> !kpu.fmap<1x12x10x16, 1.000000e+00, 0>
// CHECK-NEXT: %2 = kpu.download %1 : (!kpu.fmap<1x12x10x16, 1.000000e+00, 0>) -> tensor<1x12x10x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %3 = kpu.crop %2 {kpu.reason = "input (12288 bytes) and output (12288) take 24576 bytes together, the KPU RAM has 16384", crops = array<i64: 0, 0, 1, 0>} : (tensor<1x12x10x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x12x9x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK: %30 = kpu.download %29 : (!kpu.fmap<1x12x10x16, 1.000000e+00, 0>) -> tensor<1x12x10x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %31 = kpu.crop %30 {kpu.reason = "input (12288 bytes) and output (12288) take 24576 bytes together, the KPU RAM has 16384", crops = array<i64: 3, 0, 0, 0>} : (tensor<1x12x10x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x12x7x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %32 = ktensor.concat %3, %7, %11, %15, %19, %23, %27, %31 {kpu.reason = "input (12288 bytes) and output (12288) take 24576 bytes together, the KPU RAM has 16384", axis = 2 : i64} : (tensor<1x12x9x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x12x8x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x12x8x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x12x8x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x12x8x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x12x8x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x12x8x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x12x7x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x12x64x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: func.return %32 : tensor<1x12x64x16x!ktensor.quantized<ui8, 1.000000e+00, 0>>
func.func @main(%x: tensor<1x12x64x16x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x12x64x16x!ktensor.quantized<ui8, 1.0, 0>> {
  %u = kpu.upload %x : (tensor<1x12x64x16x!ktensor.quantized<ui8, 1.0, 0>>) -> !kpu.fmap<1x12x64x16, 1.0, 0>
  %0 = kpu.layer %u {kernel_size = 3 : i64, pad_value = 0 : i64, arg_x = -128 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<12x12x3x3xui8>, bn_mul = dense<1> : tensor<12xi32>, bn_shift = dense<0> : tensor<12xui8>, bn_add = dense<0> : tensor<12xi32>, act_start = dense<[-34359738368, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]> : tensor<16xi64>, act_mul = dense<1> : tensor<16xi16>, act_shift = dense<8> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>} : (!kpu.fmap<1x12x64x16, 1.0, 0>) -> !kpu.fmap<1x12x64x16, 1.0, 0>
  %1 = kpu.download %0 : (!kpu.fmap<1x12x64x16, 1.0, 0>) -> tensor<1x12x64x16x!ktensor.quantized<ui8, 1.0, 0>>
  func.return %1 : tensor<1x12x64x16x!ktensor.quantized<ui8, 1.0, 0>>
}
