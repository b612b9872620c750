// RUN: kpu-opt %s | kpu-opt | filecheck %s
// RUN: kpu-opt %s --print-op-generic | kpu-opt | filecheck %s

// CHECK-LABEL: @float
// CHECK-SAME: tensor<1x3x8x8xf32>
func.func @float(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>, %d: tensor<4x1x1x1xf32>)
    -> (tensor<1x4x4x4xf32>, tensor<1x4x8x8xf32>) {
  // CHECK: kpu.conv2d %x, %w, %b : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  // CHECK: kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>, #ktensor.activation<mul, 5.000000e-01>], pool = #kpu.pool<max_2_s2>}
  // CHECK-SAME: -> tensor<1x4x4x4xf32>
  %1 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>, #ktensor.activation<mul, 5.000000e-01>], pool = #kpu.pool<max_2_s2>} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  // CHECK: kpu.conv2d %0, %d, %b {depthwise = true}
  %2 = kpu.conv2d %0, %d, %b {depthwise = true} : (tensor<1x4x8x8xf32>, tensor<4x1x1x1xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return %1, %2 : tensor<1x4x4x4xf32>, tensor<1x4x8x8xf32>
}

// CHECK-LABEL: @movement
func.func @movement(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x5x4xf32> {
  // CHECK: kpu.pad %x {pads = array<i64: 1, 0, 2, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x11x8xf32>
  %0 = kpu.pad %x {pads = array<i64: 1, 0, 2, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x11x8xf32>
  // CHECK: kpu.pad %0 {pads = array<i64: 0, 1, 0, 1>, value = -2.500000e-01 : f64}
  %1 = kpu.pad %0 {pads = array<i64: 0, 1, 0, 1>, value = -2.5e-01 : f64} : (tensor<1x3x11x8xf32>) -> tensor<1x3x11x10xf32>
  // CHECK: kpu.crop %1 {crops = array<i64: 0, 1, 1, 1>} : (tensor<1x3x11x10xf32>) -> tensor<1x3x10x8xf32>
  %2 = kpu.crop %1 {crops = array<i64: 0, 1, 1, 1>} : (tensor<1x3x11x10xf32>) -> tensor<1x3x10x8xf32>
  // CHECK: kpu.space_to_batch %2 {block_shape = array<i64: 2, 2>} : (tensor<1x3x10x8xf32>) -> tensor<4x3x5x4xf32>
  %3 = kpu.space_to_batch %2 {block_shape = array<i64: 2, 2>} : (tensor<1x3x10x8xf32>) -> tensor<4x3x5x4xf32>
  // CHECK: kpu.space_to_batch %2 {block_shape = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x3x10x8xf32>) -> tensor<4x3x6x5xf32>
  %4 = kpu.space_to_batch %2 {block_shape = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x3x10x8xf32>) -> tensor<4x3x6x5xf32>
  // CHECK: kpu.batch_to_space %4 {block_shape = array<i64: 2, 2>, crops = array<i64: 1, 1, 1, 1>} : (tensor<4x3x6x5xf32>) -> tensor<1x3x10x8xf32>
  %5 = kpu.batch_to_space %4 {block_shape = array<i64: 2, 2>, crops = array<i64: 1, 1, 1, 1>} : (tensor<4x3x6x5xf32>) -> tensor<1x3x10x8xf32>
  // CHECK: kpu.strided_slice %5 {begin = array<i64: 1, 0>, strides = array<i64: 2, 2>} : (tensor<1x3x10x8xf32>) -> tensor<1x3x5x4xf32>
  %6 = kpu.strided_slice %5 {begin = array<i64: 1, 0>, strides = array<i64: 2, 2>} : (tensor<1x3x10x8xf32>) -> tensor<1x3x5x4xf32>
  func.return %6 : tensor<1x3x5x4xf32>
}

// CHECK-LABEL: @quantized
func.func @quantized(%x: tensor<1x1x4x4x!ktensor.quantized<ui8, 5.000000e-01, 3>>, %w: tensor<2x1x1x1xf32>, %b: tensor<2xf32>)
    -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e-01, 0>> {
  // CHECK: kpu.upload %x : (tensor<1x1x4x4x!ktensor.quantized<ui8, 5.000000e-01, 3>>) -> !kpu.fmap<1x1x4x4, 5.000000e-01, 3>
  %0 = kpu.upload %x : (tensor<1x1x4x4x!ktensor.quantized<ui8, 5.000000e-01, 3>>) -> !kpu.fmap<1x1x4x4, 5.000000e-01, 3>
  // CHECK: kpu.conv2d %0, %w, %b : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>, {{.*}}) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  %1 = kpu.conv2d %0, %w, %b : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  // CHECK: kpu.layer %0 {kernel_size = 1 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64, weights = dense<[
  // CHECK-SAME: act_add = dense<0> : tensor<16xui8>}
  // CHECK-SAME: (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  %2 = kpu.layer %0 {kernel_size = 1 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64,
      weights = dense<[[[[1]]], [[[255]]]]> : tensor<2x1x1x1xui8>, bn_mul = dense<4096> : tensor<2xi32>, bn_shift = dense<15> : tensor<2xui8>,
      bn_add = dense<[-1, 1]> : tensor<2xi32>, act_start = dense<[-34359738368, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<16xi64>,
      act_mul = dense<1> : tensor<16xi16>, act_shift = dense<0> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>}
      : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  // CHECK: kpu.download %2 : (!kpu.fmap<1x2x4x4, 1.000000e-01, 0>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e-01, 0>>
  %3 = kpu.download %2 : (!kpu.fmap<1x2x4x4, 1.000000e-01, 0>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e-01, 0>>
  func.return %3 : tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e-01, 0>>
}

// CHECK-LABEL: @placement
func.func @placement(%a: !kpu.fmap<1x5x20x20, 0.5, 3>, %b: !kpu.fmap<1x3x20x20, 0.25, 0>, %x: tensor<1x8x25x5xf32>)
    -> (!kpu.fmap<1x4x21x21, 5.000000e-01, 3>, tensor<1x40x5x5xf32>) {
  // CHECK: kpu.concat %a, %b : (!kpu.fmap<1x5x20x20, 5.000000e-01, 3>, !kpu.fmap<1x3x20x20, 2.500000e-01, 0>) -> !kpu.fmap<1x9x20x20, 5.000000e-01, 3>
  %0 = kpu.concat %a, %b : (!kpu.fmap<1x5x20x20, 0.5, 3>, !kpu.fmap<1x3x20x20, 0.25, 0>) -> !kpu.fmap<1x9x20x20, 0.5, 3>
  // CHECK: kpu.channel_slice %0 {begin = 2 : i64, channels = 4 : i64} : (!kpu.fmap<1x9x20x20, 5.000000e-01, 3>) -> !kpu.fmap<1x4x20x20, 5.000000e-01, 3>
  %1 = kpu.channel_slice %0 {begin = 2 : i64, channels = 4 : i64} : (!kpu.fmap<1x9x20x20, 0.5, 3>) -> !kpu.fmap<1x4x20x20, 0.5, 3>
  // CHECK: kpu.pad %1 {pads = array<i64: 1, 0, 2, 1>} : (!kpu.fmap<1x4x20x20, 5.000000e-01, 3>) -> !kpu.fmap<1x4x23x21, 5.000000e-01, 3>
  %2 = kpu.pad %1 {pads = array<i64: 1, 0, 2, 1>} : (!kpu.fmap<1x4x20x20, 0.5, 3>) -> !kpu.fmap<1x4x23x21, 0.5, 3>
  // CHECK: kpu.crop %2 {crops = array<i64: 1, 0, 1, 0>} : (!kpu.fmap<1x4x23x21, 5.000000e-01, 3>) -> !kpu.fmap<1x4x21x21, 5.000000e-01, 3>
  %3 = kpu.crop %2 {crops = array<i64: 1, 0, 1, 0>} : (!kpu.fmap<1x4x23x21, 0.5, 3>) -> !kpu.fmap<1x4x21x21, 0.5, 3>
  // CHECK: kpu.fold_rows %x {factor = 5 : i64} : (tensor<1x8x25x5xf32>) -> tensor<1x40x5x5xf32>
  %4 = kpu.fold_rows %x {factor = 5 : i64} : (tensor<1x8x25x5xf32>) -> tensor<1x40x5x5xf32>
  // CHECK: kpu.lines %x {height = 25 : i64} : (tensor<1x8x25x5xf32>) -> tensor<1x2x25x64xf32>
  %5 = kpu.lines %x {height = 25 : i64} : (tensor<1x8x25x5xf32>) -> tensor<1x2x25x64xf32>
  // CHECK: kpu.images %x {count = 2 : i64} : (tensor<1x8x25x5xf32>) -> tensor<2x4x25x5xf32>
  %6 = kpu.images %x {count = 2 : i64} : (tensor<1x8x25x5xf32>) -> tensor<2x4x25x5xf32>
  // CHECK: kpu.images %6 {count = 1 : i64} : (tensor<2x4x25x5xf32>) -> tensor<1x8x25x5xf32>
  %7 = kpu.images %6 {count = 1 : i64} : (tensor<2x4x25x5xf32>) -> tensor<1x8x25x5xf32>
  // CHECK: kpu.concat_rows %1, %1 {crops = array<i64: 0, 2, 1, 0>} : (!kpu.fmap<1x4x20x20, 5.000000e-01, 3>, !kpu.fmap<1x4x20x20, 5.000000e-01, 3>) -> !kpu.fmap<1x4x37x20, 5.000000e-01, 3>
  %8 = kpu.concat_rows %1, %1 {crops = array<i64: 0, 2, 1, 0>} : (!kpu.fmap<1x4x20x20, 0.5, 3>, !kpu.fmap<1x4x20x20, 0.5, 3>) -> !kpu.fmap<1x4x37x20, 0.5, 3>
  func.return %3, %4 : !kpu.fmap<1x4x21x21, 0.5, 3>, tensor<1x40x5x5xf32>
}
