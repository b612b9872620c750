// RUN: kpu-opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// CHECK: the kernel is 5x5, the KPU has 1x1 and 3x3
func.func @kernel(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x5x5xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x3x8x8xf32>, tensor<4x3x5x5xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return
}
// -----
// CHECK: the input is 3 high, the KPU takes 4 to 1024
func.func @small(%x: tensor<1x3x3x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x3x3x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x3x8xf32>
  func.return
}
// -----
// CHECK: the output is 2x4, the KPU gives at least 4x4
func.func @small_output(%x: tensor<1x3x4x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>} : (tensor<1x3x4x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x2x4xf32>
  func.return
}
// -----
// CHECK: result type is tensor<1x4x8x8xf32>, expected tensor<1x4x4x4xf32>
func.func @pooled(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return
}
// -----
// CHECK: weight is 4x2x3x3, an input of 3 channels needs 3 as its second size
func.func @channels(%x: tensor<1x3x8x8xf32>, %w: tensor<4x2x3x3xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x3x8x8xf32>, tensor<4x2x3x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return
}
// -----
// CHECK: bias is tensor<3xf32>, expected tensor<4xf32>
func.func @bias(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<3xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<3xf32>) -> tensor<1x4x8x8xf32>
  func.return
}
// -----
// CHECK: a depthwise layer gives one output channel per input channel, not 8 for 4
func.func @multiplier(%x: tensor<1x4x8x8xf32>, %w: tensor<8x1x3x3xf32>, %b: tensor<8xf32>) {
  %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x4x8x8xf32>, tensor<8x1x3x3xf32>, tensor<8xf32>) -> tensor<1x8x8x8xf32>
  func.return
}
// -----
// CHECK: a depthwise layer cannot pool, this one has mean_2_s2
func.func @depthwise_pool(%x: tensor<1x4x8x8xf32>, %w: tensor<4x1x3x3xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b {depthwise = true, pool = #kpu.pool<mean_2_s2>} : (tensor<1x4x8x8xf32>, tensor<4x1x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: take 86 loads, the KPU does 64
func.func @loads(%x: tensor<1x512x8x8xf32>, %w: tensor<512x512x3x3xf32>, %b: tensor<512xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x512x8x8xf32>, tensor<512x512x3x3xf32>, tensor<512xf32>) -> tensor<1x512x8x8xf32>
  func.return
}
// -----
// CHECK: are not both f32 tensors, both quantized tensors or both feature maps
func.func @mixed(%x: !kpu.fmap<1x3x8x8, 5.0e-01, 3>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (!kpu.fmap<1x3x8x8, 5.0e-01, 3>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return
}
// -----
// CHECK: no pool is called max_3_s2, there are bypass, max_2_s2
func.func @pool(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>) {
  %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_3_s2>} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: a feature map has 4 sizes of at least 1, not 3x8x8
func.func @rank(%x: !kpu.fmap<3x8x8, 5.0e-01, 3>) {
  func.return
}
// -----
// CHECK: zero_point is 256, but must lie in 0..255
func.func @zero_point(%x: !kpu.fmap<1x3x8x8, 5.0e-01, 256>) {
  func.return
}
// -----
// CHECK: scale is 0.0, but must be finite and positive
func.func @scale(%x: !kpu.fmap<1x3x8x8, 0.0, 0>) {
  func.return
}
// -----
// CHECK: pads is [1, 0, -1, 0], expected 4 integers of at least 0
func.func @negative_pad(%x: tensor<1x3x8x8xf32>) {
  %0 = kpu.pad %x {pads = array<i64: 1, 0, -1, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  func.return
}
// -----
// CHECK: result type is tensor<1x3x9x9xf32>, expected tensor<1x3x9x8xf32>
func.func @pad_type(%x: tensor<1x3x8x8xf32>) {
  %0 = kpu.pad %x {pads = array<i64: 1, 0, 0, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x9x9xf32>
  func.return
}
// -----
// CHECK: tensor<3x8x8xf32> is not a tensor or feature map of 4 dimensions of at least 1
func.func @pad_rank(%x: tensor<3x8x8xf32>) {
  %0 = kpu.pad %x {pads = array<i64: 1, 0, 0, 0>} : (tensor<3x8x8xf32>) -> tensor<3x9x8xf32>
  func.return
}
// -----
// CHECK: crops [4, 0, 4, 0] leave nothing of 1x3x8x8
func.func @crop_all(%x: tensor<1x3x8x8xf32>) {
  %0 = kpu.crop %x {crops = array<i64: 4, 0, 4, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  func.return
}
// -----
// CHECK: begin [8, 0] lies outside 1x3x8x8
func.func @slice_outside(%x: tensor<1x3x8x8xf32>) {
  %0 = kpu.strided_slice %x {begin = array<i64: 8, 0>, strides = array<i64: 1, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  func.return
}
// -----
// CHECK: strides is [0, 1], expected 2 integers of at least 1
func.func @slice_stride(%x: tensor<1x3x8x8xf32>) {
  %0 = kpu.strided_slice %x {begin = array<i64: 0, 0>, strides = array<i64: 0, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  func.return
}
// -----
// CHECK: the padded map is 9x8, not a multiple of the blocks [2, 2]
func.func @blocks(%x: tensor<1x3x8x8xf32>) {
  %0 = kpu.space_to_batch %x {block_shape = array<i64: 2, 2>, pads = array<i64: 1, 0, 0, 0>} : (tensor<1x3x8x8xf32>) -> tensor<4x3x4x4xf32>
  func.return
}
// -----
// CHECK: 3 images are not a multiple of the 4 of blocks [2, 2]
func.func @images(%x: tensor<3x3x8x8xf32>) {
  %0 = kpu.batch_to_space %x {block_shape = array<i64: 2, 2>} : (tensor<3x3x8x8xf32>) -> tensor<1x3x16x16xf32>
  func.return
}
// -----
// CHECK: tensor<1x3x8x8xf32> is not a quantized tensor
func.func @upload_float(%x: tensor<1x3x8x8xf32>) {
  %0 = kpu.upload %x : (tensor<1x3x8x8xf32>) -> !kpu.fmap<1x3x8x8, 5.0e-01, 3>
  func.return
}
// -----
// CHECK: result type is !kpu.fmap<1x3x8x8, 5.000000e-01, 4>, expected !kpu.fmap<1x3x8x8, 5.000000e-01, 3>
func.func @upload_other(%x: tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>) {
  %0 = kpu.upload %x : (tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>) -> !kpu.fmap<1x3x8x8, 5.0e-01, 4>
  func.return
}
// -----
// CHECK: expected tensor<1x3x8x8x!ktensor.quantized<ui8, 5.000000e-01, 3>>
func.func @download_other(%x: !kpu.fmap<1x3x8x8, 5.0e-01, 3>) {
  %0 = kpu.download %x : (!kpu.fmap<1x3x8x8, 5.0e-01, 3>) -> tensor<1x3x8x9x!ktensor.quantized<ui8, 5.0e-01, 3>>
  func.return
}
// -----
// CHECK: kpu.layer: Operation does not verify: kernel_size is 3, but the weights have 1
func.func @layer(%x: !kpu.fmap<1x1x4x4, 5.000000e-01, 3>) {
  %0 = kpu.layer %x {kernel_size = 3 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64,
      weights = dense<1> : tensor<2x1x1x1xui8>, bn_mul = dense<4096> : tensor<2xi32>, bn_shift = dense<15> : tensor<2xui8>,
      bn_add = dense<0> : tensor<2xi32>, act_start = dense<[-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<16xi64>,
      act_mul = dense<1> : tensor<16xi16>, act_shift = dense<0> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>}
      : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  func.return
}
// -----
// CHECK: kpu.layer: Operation does not verify: bn_mul is tensor<3xi32>, expected tensor<2xi32>
func.func @layer(%x: !kpu.fmap<1x1x4x4, 5.000000e-01, 3>) {
  %0 = kpu.layer %x {kernel_size = 1 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64,
      weights = dense<1> : tensor<2x1x1x1xui8>, bn_mul = dense<4096> : tensor<3xi32>, bn_shift = dense<15> : tensor<2xui8>,
      bn_add = dense<0> : tensor<2xi32>, act_start = dense<[-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<16xi64>,
      act_mul = dense<1> : tensor<16xi16>, act_shift = dense<0> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>}
      : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  func.return
}
// -----
// CHECK: kpu.layer: Operation does not verify: weights is tensor<2x1x1x1xi16>, expected tensor<2x1x1x1xui8>
func.func @layer(%x: !kpu.fmap<1x1x4x4, 5.000000e-01, 3>) {
  %0 = kpu.layer %x {kernel_size = 1 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64,
      weights = dense<1> : tensor<2x1x1x1xi16>, bn_mul = dense<4096> : tensor<2xi32>, bn_shift = dense<15> : tensor<2xui8>,
      bn_add = dense<0> : tensor<2xi32>, act_start = dense<[-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<16xi64>,
      act_mul = dense<1> : tensor<16xi16>, act_shift = dense<0> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>}
      : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  func.return
}
// -----
// CHECK: kpu.layer: Operation does not verify: activation segment 1 starts at -5, before segment 0 at -4
func.func @layer(%x: !kpu.fmap<1x1x4x4, 5.000000e-01, 3>) {
  %0 = kpu.layer %x {kernel_size = 1 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64,
      weights = dense<1> : tensor<2x1x1x1xui8>, bn_mul = dense<4096> : tensor<2xi32>, bn_shift = dense<15> : tensor<2xui8>,
      bn_add = dense<0> : tensor<2xi32>, act_start = dense<[-4, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<16xi64>,
      act_mul = dense<1> : tensor<16xi16>, act_shift = dense<0> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>}
      : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  func.return
}
// -----
// CHECK: kpu.layer: Operation does not verify: act_start is -68719476736, its field holds -34359738368 to 34359738367
func.func @layer(%x: !kpu.fmap<1x1x4x4, 5.000000e-01, 3>) {
  %0 = kpu.layer %x {kernel_size = 1 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64,
      weights = dense<1> : tensor<2x1x1x1xui8>, bn_mul = dense<4096> : tensor<2xi32>, bn_shift = dense<15> : tensor<2xui8>,
      bn_add = dense<0> : tensor<2xi32>, act_start = dense<[-68719476736, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<16xi64>,
      act_mul = dense<1> : tensor<16xi16>, act_shift = dense<0> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>}
      : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
  func.return
}
// -----
// CHECK: kpu.layer: Operation does not verify: result type is !kpu.fmap<1x2x5x4, 1.000000e-01, 0>, expected !kpu.fmap<1x2x4x4, 1.000000e-01, 0>
func.func @layer(%x: !kpu.fmap<1x1x4x4, 5.000000e-01, 3>) {
  %0 = kpu.layer %x {kernel_size = 1 : i64, pad_value = 3 : i64, arg_x = -7 : i64, shr_x = 0 : i64, arg_w = -3 : i64, shr_w = 0 : i64, arg_add = 21 : i64,
      weights = dense<1> : tensor<2x1x1x1xui8>, bn_mul = dense<4096> : tensor<2xi32>, bn_shift = dense<15> : tensor<2xui8>,
      bn_add = dense<0> : tensor<2xi32>, act_start = dense<[-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]> : tensor<16xi64>,
      act_mul = dense<1> : tensor<16xi16>, act_shift = dense<0> : tensor<16xui8>, act_add = dense<0> : tensor<16xui8>}
      : (!kpu.fmap<1x1x4x4, 5.000000e-01, 3>) -> !kpu.fmap<1x2x5x4, 1.000000e-01, 0>
  func.return
}
// -----
// CHECK: operands of 1x5x20x20 and 1x3x20x21 differ in more than channels
func.func @concat_sizes(%a: tensor<1x5x20x20xf32>, %b: tensor<1x3x20x21xf32>) {
  %0 = kpu.concat %a, %b : (tensor<1x5x20x20xf32>, tensor<1x3x20x21xf32>) -> tensor<1x9x20x20xf32>
  func.return
}
// -----
// CHECK: result type is tensor<1x8x20x20xf32>, expected tensor<1x9x20x20xf32>
func.func @concat_lines(%a: tensor<1x5x20x20xf32>, %b: tensor<1x3x20x20xf32>) {
  %0 = kpu.concat %a, %b : (tensor<1x5x20x20xf32>, tensor<1x3x20x20xf32>) -> tensor<1x8x20x20xf32>
  func.return
}
// -----
// CHECK: 2 images do not lie next to each other channel by channel
func.func @concat_images(%a: tensor<2x4x9x9xf32>) {
  %0 = kpu.concat %a, %a : (tensor<2x4x9x9xf32>, tensor<2x4x9x9xf32>) -> tensor<2x8x9x9xf32>
  func.return
}
// -----
// CHECK: operand !kpu.fmap<1x4x9x9, 5.000000e-01, 3> and result tensor<1x4x9x9xf32> are not in the same RAM
func.func @concat_rams(%a: !kpu.fmap<1x4x9x9, 0.5, 3>) {
  %0 = kpu.concat %a : (!kpu.fmap<1x4x9x9, 0.5, 3>) -> tensor<1x4x9x9xf32>
  func.return
}
// -----
// CHECK: operand type is !kpu.fmap<1x4x9x8, 5.000000e-01, 3>, expected !kpu.fmap<1x4x9x9, 5.000000e-01, 3>
func.func @concat_rows_width(%a: !kpu.fmap<1x4x9x9, 0.5, 3>, %b: !kpu.fmap<1x4x9x8, 0.5, 3>) {
  %0 = kpu.concat_rows %a, %b {crops = array<i64: 0, 0, 0, 0>} : (!kpu.fmap<1x4x9x9, 0.5, 3>, !kpu.fmap<1x4x9x8, 0.5, 3>) -> !kpu.fmap<1x4x18x9, 0.5, 3>
  func.return
}
// -----
// CHECK: crops is [0, 0], expected 4 integers of at least 0
func.func @concat_rows_crops(%a: !kpu.fmap<1x4x9x9, 0.5, 3>) {
  %0 = kpu.concat_rows %a, %a {crops = array<i64: 0, 0>} : (!kpu.fmap<1x4x9x9, 0.5, 3>, !kpu.fmap<1x4x9x9, 0.5, 3>) -> !kpu.fmap<1x4x18x9, 0.5, 3>
  func.return
}
// -----
// CHECK: channel 2 is not the first of a line, where maps 9 wide have 4 channels each
func.func @slice_line(%a: tensor<1x8x9x9xf32>) {
  %0 = kpu.channel_slice %a {begin = 2 : i64, channels = 4 : i64} : (tensor<1x8x9x9xf32>) -> tensor<1x4x9x9xf32>
  func.return
}
// -----
// CHECK: channels 4..9 of 1x8x9x9
func.func @slice_end(%a: tensor<1x8x9x9xf32>) {
  %0 = kpu.channel_slice %a {begin = 4 : i64, channels = 5 : i64} : (tensor<1x8x9x9xf32>) -> tensor<1x5x9x9xf32>
  func.return
}
// -----
// CHECK: 1x6x9x9 does not fold by 3: 9 rows are to be a multiple of it, 6 channels one of the 4 in a line
func.func @fold_channels(%a: tensor<1x6x9x9xf32>) {
  %0 = kpu.fold_rows %a {factor = 3 : i64} : (tensor<1x6x9x9xf32>) -> tensor<1x18x3x9xf32>
  func.return
}
// -----
// CHECK: 1x8x25x5 is no map of lines of several channels each, all full, or its 50 lines are no multiple of 20
func.func @lines(%a: tensor<1x8x25x5xf32>) {
  %0 = kpu.lines %a {height = 20 : i64} : (tensor<1x8x25x5xf32>) -> tensor<1x2x20x64xf32>
  func.return
}
// -----
// CHECK: 1x12x25x5 is not 2 images of equal channels, a multiple of the 4 in a line
func.func @images(%a: tensor<1x12x25x5xf32>) {
  %0 = kpu.images %a {count = 2 : i64} : (tensor<1x12x25x5xf32>) -> tensor<2x6x25x5xf32>
  func.return
}
