// RUN: kpu-opt %s -p 'kpu-tile{ram=262144}' --split-input-file | filecheck %s
// RUN: kpu-opt %s -p kpu-tile --split-input-file | filecheck %s --check-prefix=FITS

// FITS-NOT: kpu.crop

// The map in the middle has 327680 bytes. Each 3x3 kernel spoils a row on the side of a neighbour; pooled, the two are
// one row.
// CHECK-LABEL: func.func @main(%x: !kpu.fmap<1x1x256x256, 1.000000e+00, 0>) -> !kpu.fmap<1x1x128x128, 1.000000e+00, 0> {
// CHECK-NEXT: %0 = kpu.crop %x {crops = array<i64: 0, 0, 168, 0>} : (!kpu.fmap<1x1x256x256, 1.000000e+00, 0>) -> !kpu.fmap<1x1x88x256, 1.000000e+00, 0>
// CHECK-NEXT: %1 = kpu.layer %0 {{.*}} : (!kpu.fmap<1x1x88x256, 1.000000e+00, 0>) -> !kpu.fmap<1x5x88x256, 1.000000e+00, 0>
// CHECK-NEXT: %2 = kpu.layer %1 {{.*}} : (!kpu.fmap<1x5x88x256, 1.000000e+00, 0>) -> !kpu.fmap<1x1x44x128, 1.000000e+00, 0>
// CHECK-NEXT: %3 = kpu.crop %x {crops = array<i64: 84, 0, 84, 0>} : (!kpu.fmap<1x1x256x256, 1.000000e+00, 0>) -> !kpu.fmap<1x1x88x256, 1.000000e+00, 0>
// CHECK-NEXT: %4 = kpu.layer %3 {{.*}} : (!kpu.fmap<1x1x88x256, 1.000000e+00, 0>) -> !kpu.fmap<1x5x88x256, 1.000000e+00, 0>
// CHECK-NEXT: %5 = kpu.layer %4 {{.*}} : (!kpu.fmap<1x5x88x256, 1.000000e+00, 0>) -> !kpu.fmap<1x1x44x128, 1.000000e+00, 0>
// CHECK-NEXT: %6 = kpu.crop %x {crops = array<i64: 168, 0, 0, 0>} : (!kpu.fmap<1x1x256x256, 1.000000e+00, 0>) -> !kpu.fmap<1x1x88x256, 1.000000e+00, 0>
// CHECK-NEXT: %7 = kpu.layer %6 {{.*}} : (!kpu.fmap<1x1x88x256, 1.000000e+00, 0>) -> !kpu.fmap<1x5x88x256, 1.000000e+00, 0>
// CHECK-NEXT: %8 = kpu.layer %7 {{.*}} : (!kpu.fmap<1x5x88x256, 1.000000e+00, 0>) -> !kpu.fmap<1x1x44x128, 1.000000e+00, 0>
// CHECK-NEXT: %9 = kpu.concat_rows %2, %5, %8 {crops = array<i64: 0, 1, 1, 1, 1, 0>} : (!kpu.fmap<1x1x44x128, 1.000000e+00, 0>, !kpu.fmap<1x1x44x128, 1.000000e+00, 0>, !kpu.fmap<1x1x44x128, 1.000000e+00, 0>) -> !kpu.fmap<1x1x128x128, 1.000000e+00, 0>
// CHECK-NEXT: func.return %9 : !kpu.fmap<1x1x128x128, 1.000000e+00, 0>
func.func @main(%x: !kpu.fmap<1x1x256x256, 1.0, 0>) -> !kpu.fmap<1x1x128x128, 1.0, 0> {
  %0 = kpu.layer %x {kernel_size = 3 : i64, pad_value = 0 : i64, arg_x = -128 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<5x1x3x3xui8>, bn_mul = dense<1> : tensor<5xi32>, bn_shift = dense<0> : tensor<5xui8>, bn_add = dense<0> : tensor<5xi32>, act_start = dense<[-34359738368, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]> : tensor<16xi64>, act_mul = dense<1> : tensor<16xi16>, act_shift = dense<8> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>} : (!kpu.fmap<1x1x256x256, 1.0, 0>) -> !kpu.fmap<1x5x256x256, 1.0, 0>
  %1 = kpu.layer %0 {kernel_size = 3 : i64, pad_value = 0 : i64, arg_x = -128 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<1x5x3x3xui8>, bn_mul = dense<1> : tensor<1xi32>, bn_shift = dense<0> : tensor<1xui8>, bn_add = dense<0> : tensor<1xi32>, act_start = dense<[-34359738368, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]> : tensor<16xi64>, act_mul = dense<1> : tensor<16xi16>, act_shift = dense<8> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>, pool = #kpu.pool<max_2_s2>} : (!kpu.fmap<1x5x256x256, 1.0, 0>) -> !kpu.fmap<1x1x128x128, 1.0, 0>
  func.return %1 : !kpu.fmap<1x1x128x128, 1.0, 0>
}
// -----
// One layer by itself; its result is wanted in main RAM.
// CHECK-LABEL: func.func @main(%x: tensor<1x6x256x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x6x256x128x!ktensor.quantized<ui8, 1.000000e+00, 0>> {
// CHECK-NEXT: %u = kpu.upload %x : (tensor<1x6x256x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> !kpu.fmap<1x6x256x128, 1.000000e+00, 0>
// CHECK-NEXT: %0 = kpu.crop %x {kpu.reason = "input (196608 bytes) and output (196608) take 393216 bytes together, the KPU RAM has 262144", crops = array<i64: 0, 0, 127, 0>} : (tensor<1x6x256x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %1 = kpu.upload %0 : (tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> !kpu.fmap<1x6x129x128, 1.000000e+00, 0>
// CHECK-NEXT: %2 = kpu.layer %1 {{.*}} : (!kpu.fmap<1x6x129x128, 1.000000e+00, 0>) -> !kpu.fmap<1x6x129x128, 1.000000e+00, 0>
// CHECK-NEXT: %3 = kpu.download %2 : (!kpu.fmap<1x6x129x128, 1.000000e+00, 0>) -> tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %4 = kpu.crop %3 {kpu.reason = "input (196608 bytes) and output (196608) take 393216 bytes together, the KPU RAM has 262144", crops = array<i64: 0, 0, 1, 0>} : (tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x6x128x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %5 = kpu.crop %x {kpu.reason = "input (196608 bytes) and output (196608) take 393216 bytes together, the KPU RAM has 262144", crops = array<i64: 127, 0, 0, 0>} : (tensor<1x6x256x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %6 = kpu.upload %5 : (tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> !kpu.fmap<1x6x129x128, 1.000000e+00, 0>
// CHECK-NEXT: %7 = kpu.layer %6 {{.*}} : (!kpu.fmap<1x6x129x128, 1.000000e+00, 0>) -> !kpu.fmap<1x6x129x128, 1.000000e+00, 0>
// CHECK-NEXT: %8 = kpu.download %7 : (!kpu.fmap<1x6x129x128, 1.000000e+00, 0>) -> tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %9 = kpu.crop %8 {kpu.reason = "input (196608 bytes) and output (196608) take 393216 bytes together, the KPU RAM has 262144", crops = array<i64: 1, 0, 0, 0>} : (tensor<1x6x129x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x6x128x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %10 = ktensor.concat %4, %9 {kpu.reason = "input (196608 bytes) and output (196608) take 393216 bytes together, the KPU RAM has 262144", axis = 2 : i64} : (tensor<1x6x128x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<1x6x128x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x6x256x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: func.return %10 : tensor<1x6x256x128x!ktensor.quantized<ui8, 1.000000e+00, 0>>
func.func @main(%x: tensor<1x6x256x128x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x6x256x128x!ktensor.quantized<ui8, 1.0, 0>> {
  %u = kpu.upload %x : (tensor<1x6x256x128x!ktensor.quantized<ui8, 1.0, 0>>) -> !kpu.fmap<1x6x256x128, 1.0, 0>
  %0 = kpu.layer %u {kernel_size = 3 : i64, pad_value = 0 : i64, arg_x = -128 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<6x6x3x3xui8>, bn_mul = dense<1> : tensor<6xi32>, bn_shift = dense<0> : tensor<6xui8>, bn_add = dense<0> : tensor<6xi32>, act_start = dense<[-34359738368, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]> : tensor<16xi64>, act_mul = dense<1> : tensor<16xi16>, act_shift = dense<8> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>} : (!kpu.fmap<1x6x256x128, 1.0, 0>) -> !kpu.fmap<1x6x256x128, 1.0, 0>
  %1 = kpu.download %0 : (!kpu.fmap<1x6x256x128, 1.0, 0>) -> tensor<1x6x256x128x!ktensor.quantized<ui8, 1.0, 0>>
  func.return %1 : tensor<1x6x256x128x!ktensor.quantized<ui8, 1.0, 0>>
}
