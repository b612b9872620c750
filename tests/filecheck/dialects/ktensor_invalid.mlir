// RUN: kpu-opt --verify-diagnostics --parsing-diagnostics --split-input-file %s | filecheck %s

// CHECK: weight takes 4 channels in each of 1 groups, but the input has 8 channels
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x4x3x3xf32>
  %0 = ktensor.conv2d %x, %w : (tensor<1x8x6x6xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: result type is tensor<1x4x6x6xf32>, but the operands give tensor<1x4x4x4xf32>
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %0 = ktensor.conv2d %x, %w : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}
// -----
// CHECK: bias has shape [5], but the output has 4 channels
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %b = ktensor.constant dense<1.0> : tensor<5xf32>
  %0 = ktensor.conv2d %x, %w bias %b : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>, tensor<5xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: strides must have 2 values, but is [1]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %0 = ktensor.conv2d %x, %w {strides = array<i64: 1>} : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: strides must be at least 1, but is [0, 1]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %0 = ktensor.conv2d %x, %w {strides = array<i64: 0, 1>} : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: the window covers 9 elements, but the padded input has only 6
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %0 = ktensor.conv2d %x, %w {dilations = array<i64: 4, 1>} : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: 4 output channels cannot be divided into 8 groups
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x1x3x3xf32>
  %0 = ktensor.conv2d %x, %w {groups = 8 : i64} : (tensor<1x8x6x6xf32>, tensor<4x1x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: input must have float or integer elements, but has !ktensor.quantized
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %0 = ktensor.conv2d %q, %w : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, tensor<4x8x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: weight has elements of type f64, but the input of type f32
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf64>
  %0 = ktensor.conv2d %x, %w : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf64>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: input must have rank 4 (NCHW), but has shape [2, 4]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %0 = ktensor.conv2d %m, %w : (tensor<2x4xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x4x4xf32>
  func.return
}
// -----
// CHECK: weight takes 4 channels, but the input has 8
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x8x3x3xf32>
  %0 = ktensor.conv2d_transpose %x, %w : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x8x8x8xf32>
  func.return
}
// -----
// CHECK: pads [5, 0, 5, 0] leave no output: -2x8
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<8x4x3x3xf32>
  %0 = ktensor.conv2d_transpose %x, %w {pads = array<i64: 5, 0, 5, 0>} : (tensor<1x8x6x6xf32>, tensor<8x4x3x3xf32>) -> tensor<1x4x1x8xf32>
  func.return
}
// -----
// CHECK: lhs [2, 4] has 4 columns, but rhs [2, 4] has 2 rows
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.matmul %m, %m : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  func.return
}
// -----
// CHECK: must have rank 2 or more
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4xf32>
  %0 = ktensor.matmul %m, %w : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2xf32>
  func.return
}
// -----
// CHECK: bias has shape [2], but the output has 3 columns
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<4x3xf32>
  %b = ktensor.constant dense<1.0> : tensor<2xf32>
  %0 = ktensor.matmul %m, %w bias %b : (tensor<2x4xf32>, tensor<4x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  func.return
}
// -----
// CHECK: pads [2, 0, 0, 0] must be smaller than the window 2x2
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.max_pool2d %x {kernel_shape = array<i64: 2, 2>, pads = array<i64: 2, 0, 0, 0>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x7x5xf32>
  func.return
}
// -----
// CHECK: kernel_shape must be at least 1, but is [0, 2]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.average_pool2d %x {kernel_shape = array<i64: 0, 2>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x7x5xf32>
  func.return
}
// -----
// CHECK: input must have float or integer elements, but has !ktensor.quantized
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.average_pool2d %q {kernel_shape = array<i64: 2, 2>} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x5x5x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  func.return
}
// -----
// CHECK: axes must be different and lie in 0..3, but are [4]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.reduce<sum> %x {axes = array<i64: 4>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: result type is tensor<1x8x6xf32>, but the operands give tensor<1x8x6x6xf32>
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.unary<exp> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6xf32>
  func.return
}
// -----
// CHECK: input must have float or integer elements
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.unary<exp> %q : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  func.return
}
// -----
// CHECK: shapes [1, 8, 6, 6] and [2, 4] do not broadcast together
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.binary<add> %x, %m : (tensor<1x8x6x6xf32>, tensor<2x4xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: operands and result must all be quantized, but are f32, !ktensor.quantized
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.binary<add> %x, %q : (tensor<1x8x6x6xf32>, tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: leaky_relu has 0 parameters, but takes 1 (alpha)
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.activation<leaky_relu> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: relu has 1 parameters, but takes none
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.activation<relu, 1.0> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: zero_point is 1.5, but must be whole
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.activation<fake_quantize, 0.1, 1.5> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: zero_point is 256, but must lie in 0..255
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.activation<fake_quantize, 0.1, 256.0> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: scale is 0.0, but must be finite and positive
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.activation<fake_quantize, 0.0, 0.0> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: clamp has lo = 2.0 above hi = 1.0
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.activation<clamp, 2.0, 1.0> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: shapes [1, 8, 6, 6] and [2, 4] do not broadcast together
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.prelu %x, %m : (tensor<1x8x6x6xf32>, tensor<2x4xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: axis must lie in 0..1, but is 2
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.softmax %m {axis = 2 : i64} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  func.return
}
// -----
// CHECK: inputs [1, 8, 6, 6] and [1, 8, 5, 6] differ in more than axis 1
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<1x8x5x6xf32>
  %0 = ktensor.concat %x, %w {axis = 1 : i64} : (tensor<1x8x6x6xf32>, tensor<1x8x5x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: inputs have different element types
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.concat %x, %q {axis = 1 : i64} : (tensor<1x8x6x6xf32>, tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x16x6x6xf32>
  func.return
}
// -----
// CHECK: input [2, 4] has 8 elements, but the result [3, 3] has 9
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.reshape %m : (tensor<2x4xf32>) -> tensor<3x3xf32>
  func.return
}
// -----
// CHECK: permutation [0, 0] is not one of the 2 axes of [2, 4]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.transpose %m {permutation = array<i64: 0, 0>} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  func.return
}
// -----
// CHECK: low must be at least 0, but is [-1, 0]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.pad %m {low = array<i64: -1, 0>, high = array<i64: 0, 0>} : (tensor<2x4xf32>) -> tensor<1x4xf32>
  func.return
}
// -----
// CHECK: high must have 2 values, but is [0]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.pad %m {low = array<i64: 0, 0>, high = array<i64: 0>} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  func.return
}
// -----
// CHECK: slice 0:5:1 does not lie within an axis of 4 elements
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.slice %m {starts = array<i64: 0, 0>, ends = array<i64: 2, 5>, steps = array<i64: 1, 1>} : (tensor<2x4xf32>) -> tensor<2x5xf32>
  func.return
}
// -----
// CHECK: slice 1:1:1 takes no element
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.slice %m {starts = array<i64: 0, 1>, ends = array<i64: 2, 1>, steps = array<i64: 1, 1>} : (tensor<2x4xf32>) -> tensor<2x0xf32>
  func.return
}
// -----
// CHECK: steps must not be 0
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.slice %m {starts = array<i64: 0, 1>, ends = array<i64: 2, 2>, steps = array<i64: 1, 0>} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  func.return
}
// -----
// CHECK: starts must have 2 values, but is [0]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.slice %m {starts = array<i64: 0>, ends = array<i64: 2, 2>, steps = array<i64: 1, 1>} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  func.return
}
// -----
// CHECK: input of a bilinear resize must have float or integer elements
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.resize %q {size = array<i64: 2, 2>, mode = #ktensor.resize_mode<bilinear>} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x2x2x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  func.return
}
// -----
// CHECK: scales must be 2 positive numbers, but are [1.0]
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.resize %x {size = array<i64: 2, 2>, scales = array<f64: 1.0>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x2x2xf32>
  func.return
}
// -----
// CHECK: the padded size 6x6 cannot be divided into blocks of 4x2
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.space_to_batch %x {block_shape = array<i64: 4, 2>} : (tensor<1x8x6x6xf32>) -> tensor<8x8x1x3xf32>
  func.return
}
// -----
// CHECK: a batch of 1 cannot be divided into blocks of 2x2
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.batch_to_space %x {block_shape = array<i64: 2, 2>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x12x12xf32>
  func.return
}
// -----
// CHECK: 8 channels cannot be divided into blocks of 3x3
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.depth_to_space %x {block_size = 3 : i64} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: size 6x6 cannot be divided into blocks of 4x4
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.space_to_depth %x {block_size = 4 : i64} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: result must have quantized elements, but has f32
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.quantize %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: input must have quantized elements, but has f32
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.dequantize %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
// -----
// CHECK: scale is -1.0, but must be finite and positive
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.quantize %m : (tensor<2x4xf32>) -> tensor<2x4x!ktensor.quantized<ui8, -1.0, 3>>
  func.return
}
// -----
// CHECK: zero_point is 256, but must lie in 0..255
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.quantize %m : (tensor<2x4xf32>) -> tensor<2x4x!ktensor.quantized<ui8, 1.0, 256>>
  func.return
}
// -----
// CHECK: storage type is i8, but only ui8 is supported
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.quantize %m : (tensor<2x4xf32>) -> tensor<2x4x!ktensor.quantized<i8, 1.0, 25>>
  func.return
}
// -----
// CHECK: value has type tensor<4xf32>, but the result tensor<2x2xf32>
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.constant dense<1.0> : tensor<4xf32> -> tensor<2x2xf32>
  func.return
}
// -----
// CHECK: expected a dense attribute
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = ktensor.constant 1.0 : f32
  func.return
}
// -----
// CHECK: shapes must be static and not empty, but one is tensor<?x4xf32>
func.func @invalid(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, %m: tensor<2x4xf32>) {
  %0 = "test.op"() : () -> tensor<?x4xf32>
  %1 = ktensor.unary<exp> %0 : (tensor<?x4xf32>) -> tensor<?x4xf32>
  func.return
}
// -----
// CHECK: operands have elements of types f32, f32 and i32
func.func @invalid(%x: tensor<4xf32>, %i: tensor<4xi32>) {
  %0 = ktensor.select %x, %x, %i : (tensor<4xf32>, tensor<4xf32>, tensor<4xi32>) -> tensor<4xf32>
  func.return
}
// -----
// CHECK: shapes [3] and [4] do not broadcast together
func.func @invalid(%x: tensor<4xf32>, %c: tensor<3xf32>) {
  %0 = ktensor.select %c, %x, %x : (tensor<3xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return
}
