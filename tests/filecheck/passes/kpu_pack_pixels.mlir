// RUN: kpu-opt %s -p kpu-pack-pixels --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'kpu-pack-pixels{pixels=crop}' --split-input-file | filecheck %s --check-prefix=CROP

// Six more channels of zeros; the pixel (2, 2) comes to row 3 = -1 + 4 * 1 and column 1; of 16 numbers 10 are wanted.
// CHECK-LABEL: @scores
// CHECK: kpu.conv2d %x, {{.*}} -> tensor<1x16x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>
// CHECK: kpu.conv2d {{.*}}{kpu.moves, depthwise = true}
// CHECK: kpu.pad %{{.*}} {kpu.moves, pads = array<i64: 1, 0, 11, 0>} : {{.*}} -> tensor<1x16x16x4x
// CHECK: kpu.lines %{{.*}} {height = 64 : i64} : {{.*}} -> tensor<1x1x64x64x
// CHECK: kpu.conv2d {{.*}}{kpu.moves, pool = #kpu.pool<left_top_4_s4>} {{.*}} -> tensor<1x1x16x16x
// CHECK: kpu.conv2d {{.*}}{kpu.moves, pool = #kpu.pool<left_top_4_s4>} {{.*}} -> tensor<1x1x4x4x
// CHECK: ktensor.slice {{.*}} -> tensor<1x10x!ktensor.quantized<ui8, 2.000000e+00, 0>>
// CROP-LABEL: @scores
// CROP: kpu.crop
func.func @scores(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x10x1x1x!ktensor.quantized<ui8, 2.0, 0>> {
  %w = ktensor.constant dense<1.0> : tensor<10x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<10xf32>
  %y = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.0, 0>>, tensor<10x2x1x1xf32>, tensor<10xf32>) -> tensor<1x10x4x4x!ktensor.quantized<ui8, 2.0, 0>>
  %z = kpu.crop %y {crops = array<i64: 2, 2, 1, 1>} : (tensor<1x10x4x4x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x10x1x1x!ktensor.quantized<ui8, 2.0, 0>>
  func.return %z : tensor<1x10x1x1x!ktensor.quantized<ui8, 2.0, 0>>
}

// -----

// What goes on to another layer stays.
// CHECK-LABEL: @between
// CHECK-NOT: kpu.lines
func.func @between(%x: tensor<1x1x4x4x!ktensor.quantized<ui8, 1.0, 0>>) -> tensor<1x1x4x4x!ktensor.quantized<ui8, 2.0, 0>> {
  %w = ktensor.constant dense<1.0> : tensor<1x1x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<1xf32>
  %y = kpu.conv2d %x, %w, %b : (tensor<1x1x4x4x!ktensor.quantized<ui8, 1.0, 0>>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x4x!ktensor.quantized<ui8, 2.0, 0>>
  %z = kpu.crop %y {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x1x4x4x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x1x1x1x!ktensor.quantized<ui8, 2.0, 0>>
  %p = kpu.pad %z {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x1x1x1x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x1x4x4x!ktensor.quantized<ui8, 2.0, 0>>
  func.return %p : tensor<1x1x4x4x!ktensor.quantized<ui8, 2.0, 0>>
}
