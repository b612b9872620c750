// RUN: kpu-opt %s | filecheck %s
// RUN: kpu-opt %s --print-op-generic | kpu-opt | filecheck %s

// CHECK: func.func @linear(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
func.func @linear(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
  // CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<4x8x3x3xf32>
  %w = ktensor.constant dense<1.000000e+00> : tensor<4x8x3x3xf32>
  // CHECK-NEXT: %b = ktensor.constant dense<[0.000000e+00, 1.000000e-07, 2.000000e-07, 3.000000e-07]> : tensor<4xf32>
  %b = ktensor.constant dense<[0.000000e+00, 1.000000e-07, 2.000000e-07, 3.000000e-07]> : tensor<4xf32>
  // CHECK-NEXT: %0 = ktensor.conv2d %x, %w : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x4x4xf32>
  %0 = ktensor.conv2d %x, %w : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x4x4xf32>
  // CHECK-NEXT: %1 = ktensor.conv2d %x, %w bias %b {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>, tensor<4xf32>) -> tensor<1x4x3x3xf32>
  %1 = ktensor.conv2d %x, %w bias %b {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>, tensor<4xf32>) -> tensor<1x4x3x3xf32>
  // CHECK-NEXT: %2 = ktensor.conv2d %x, %w {dilations = array<i64: 2, 1>} : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x2x4xf32>
  %2 = ktensor.conv2d %x, %w {dilations = array<i64: 2, 1>} : (tensor<1x8x6x6xf32>, tensor<4x8x3x3xf32>) -> tensor<1x4x2x4xf32>
  // CHECK-NEXT: %d = ktensor.constant dense<2.000000e+00> : tensor<8x1x3x3xf32>
  %d = ktensor.constant dense<2.000000e+00> : tensor<8x1x3x3xf32>
  // CHECK-NEXT: %3 = ktensor.conv2d %x, %d {groups = 8 : i64} : (tensor<1x8x6x6xf32>, tensor<8x1x3x3xf32>) -> tensor<1x8x4x4xf32>
  %3 = ktensor.conv2d %x, %d {groups = 8 : i64} : (tensor<1x8x6x6xf32>, tensor<8x1x3x3xf32>) -> tensor<1x8x4x4xf32>
  // CHECK-NEXT: %t = ktensor.constant dense<1.000000e+00> : tensor<8x4x3x3xf32>
  %t = ktensor.constant dense<1.000000e+00> : tensor<8x4x3x3xf32>
  // CHECK-NEXT: %4 = ktensor.conv2d_transpose %x, %t : (tensor<1x8x6x6xf32>, tensor<8x4x3x3xf32>) -> tensor<1x4x8x8xf32>
  %4 = ktensor.conv2d_transpose %x, %t : (tensor<1x8x6x6xf32>, tensor<8x4x3x3xf32>) -> tensor<1x4x8x8xf32>
  // CHECK-NEXT: %5 = ktensor.conv2d_transpose %x, %t bias %b {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>, output_padding = array<i64: 1, 1>} : (tensor<1x8x6x6xf32>, tensor<8x4x3x3xf32>, tensor<4xf32>) -> tensor<1x4x12x12xf32>
  %5 = ktensor.conv2d_transpose %x, %t bias %b {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>, output_padding = array<i64: 1, 1>} : (tensor<1x8x6x6xf32>, tensor<8x4x3x3xf32>, tensor<4xf32>) -> tensor<1x4x12x12xf32>
  // CHECK-NEXT: %m = ktensor.constant dense<1.000000e+00> : tensor<6x10xf32>
  %m = ktensor.constant dense<1.000000e+00> : tensor<6x10xf32>
  // CHECK-NEXT: %c = ktensor.constant dense<5.000000e-01> : tensor<10xf32>
  %c = ktensor.constant dense<5.000000e-01> : tensor<10xf32>
  // CHECK-NEXT: %6 = ktensor.matmul %x, %m : (tensor<1x8x6x6xf32>, tensor<6x10xf32>) -> tensor<1x8x6x10xf32>
  %6 = ktensor.matmul %x, %m : (tensor<1x8x6x6xf32>, tensor<6x10xf32>) -> tensor<1x8x6x10xf32>
  // CHECK-NEXT: %7 = ktensor.matmul %x, %m bias %c : (tensor<1x8x6x6xf32>, tensor<6x10xf32>, tensor<10xf32>) -> tensor<1x8x6x10xf32>
  %7 = ktensor.matmul %x, %m bias %c : (tensor<1x8x6x6xf32>, tensor<6x10xf32>, tensor<10xf32>) -> tensor<1x8x6x10xf32>
  func.return
}

// CHECK: func.func @pooling(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
func.func @pooling(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
  // CHECK-NEXT: %0 = ktensor.max_pool2d %x {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x3xf32>
  %0 = ktensor.max_pool2d %x {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x3xf32>
  // CHECK-NEXT: %1 = ktensor.max_pool2d %x {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>, dilations = array<i64: 2, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x4x6xf32>
  %1 = ktensor.max_pool2d %x {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>, dilations = array<i64: 2, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x4x6xf32>
  // CHECK-NEXT: %2 = ktensor.max_pool2d %q {kernel_shape = array<i64: 2, 2>} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x5x5x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  %2 = ktensor.max_pool2d %q {kernel_shape = array<i64: 2, 2>} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x5x5x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  // CHECK-NEXT: %3 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %3 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %4 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>, count_include_pad = true} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x3xf32>
  %4 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>, count_include_pad = true} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x3xf32>
  // CHECK-NEXT: %5 = ktensor.reduce<mean> %x {axes = array<i64: 2, 3>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x1x1xf32>
  %5 = ktensor.reduce<mean> %x {axes = array<i64: 2, 3>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x1x1xf32>
  // CHECK-NEXT: %6 = ktensor.reduce<max> %x {axes = array<i64: 1>, keep_dims = false} : (tensor<1x8x6x6xf32>) -> tensor<1x6x6xf32>
  %6 = ktensor.reduce<max> %x {axes = array<i64: 1>, keep_dims = false} : (tensor<1x8x6x6xf32>) -> tensor<1x6x6xf32>
  func.return
}

// CHECK: func.func @elementwise(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
func.func @elementwise(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
  // CHECK-NEXT: %s = ktensor.constant dense<1.000000e+00> : tensor<8x1x1xf32>
  %s = ktensor.constant dense<1.000000e+00> : tensor<8x1x1xf32>
  // CHECK-NEXT: %0 = ktensor.unary<exp> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %0 = ktensor.unary<exp> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %1 = ktensor.unary<round> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %1 = ktensor.unary<round> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %2 = ktensor.binary<add> %x, %s : (tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  %2 = ktensor.binary<add> %x, %s : (tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %3 = ktensor.binary<sub> %s, %x : (tensor<8x1x1xf32>, tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %3 = ktensor.binary<sub> %s, %x : (tensor<8x1x1xf32>, tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %4 = ktensor.binary<add> %q, %q : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x6x6x!ktensor.quantized<ui8, 0.3333333333333333, 7>>
  %4 = ktensor.binary<add> %q, %q : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x6x6x!ktensor.quantized<ui8, 0.3333333333333333, 7>>
  // CHECK-NEXT: %5 = ktensor.activation<relu> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %5 = ktensor.activation<relu> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %6 = ktensor.activation<leaky_relu, 1.000000e-01> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %6 = ktensor.activation<leaky_relu, 1.000000e-01> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %7 = ktensor.activation<clamp, -inf, 1.000000e-30> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %7 = ktensor.activation<clamp, -inf, 1.000000e-30> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %8 = ktensor.activation<hard_sigmoid, 2.000000e-01, 5.000000e-01> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %8 = ktensor.activation<hard_sigmoid, 2.000000e-01, 5.000000e-01> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %9 = ktensor.activation<rsub, -0.3333333333333333> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %9 = ktensor.activation<rsub, -0.3333333333333333> %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %10 = ktensor.prelu %x, %s : (tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  %10 = ktensor.prelu %x, %s : (tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %11 = ktensor.softmax %x {axis = 1 : i64} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %11 = ktensor.softmax %x {axis = 1 : i64} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %12 = ktensor.softmax %x {axis = 3 : i64, beta = 5.000000e-01 : f64} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  %12 = ktensor.softmax %x {axis = 3 : i64, beta = 5.000000e-01 : f64} : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6xf32>
  func.return
}

// CHECK: func.func @movement(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
func.func @movement(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
  // CHECK-NEXT: %k = ktensor.constant dense<7> : tensor<1x1x6x6xui8> -> tensor<1x1x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  %k = ktensor.constant dense<7> : tensor<1x1x6x6xui8> -> tensor<1x1x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  // CHECK-NEXT: %0 = ktensor.concat %q, %k {axis = 1 : i64} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, tensor<1x1x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x9x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  %0 = ktensor.concat %q, %k {axis = 1 : i64} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>, tensor<1x1x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x9x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  // CHECK-NEXT: %1 = ktensor.concat %x, %x, %x {axis = 3 : i64} : (tensor<1x8x6x6xf32>, tensor<1x8x6x6xf32>, tensor<1x8x6x6xf32>) -> tensor<1x8x6x18xf32>
  %1 = ktensor.concat %x, %x, %x {axis = 3 : i64} : (tensor<1x8x6x6xf32>, tensor<1x8x6x6xf32>, tensor<1x8x6x6xf32>) -> tensor<1x8x6x18xf32>
  // CHECK-NEXT: %2 = ktensor.reshape %x : (tensor<1x8x6x6xf32>) -> tensor<1x288xf32>
  %2 = ktensor.reshape %x : (tensor<1x8x6x6xf32>) -> tensor<1x288xf32>
  // CHECK-NEXT: %3 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x6x6x8xf32>
  %3 = ktensor.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x6x6x8xf32>
  // CHECK-NEXT: %4 = ktensor.pad %q {low = array<i64: 0, 0, 1, 0>, high = array<i64: 0, 0, 0, 2>, value = -1.000000e+00 : f64} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x7x8x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  %4 = ktensor.pad %q {low = array<i64: 0, 0, 1, 0>, high = array<i64: 0, 0, 0, 2>, value = -1.000000e+00 : f64} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x7x8x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  // CHECK-NEXT: %5 = ktensor.slice %x {starts = array<i64: 0, 7, 1, 0>, ends = array<i64: 1, -1, 6, 6>, steps = array<i64: 1, -1, 2, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x6xf32>
  %5 = ktensor.slice %x {starts = array<i64: 0, 7, 1, 0>, ends = array<i64: 1, -1, 6, 6>, steps = array<i64: 1, -1, 2, 1>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x6xf32>
  func.return
}

// CHECK: func.func @resampling(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
func.func @resampling(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
  // CHECK-NEXT: %0 = ktensor.resize %q {size = array<i64: 12, 12>} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x12x12x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  %0 = ktensor.resize %q {size = array<i64: 12, 12>} : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x12x12x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  // CHECK-NEXT: %1 = ktensor.resize %x {size = array<i64: 12, 12>, mode = #ktensor.resize_mode<bilinear>, coordinate_mode = #ktensor.coordinate_mode<asymmetric>, scales = array<f64: 2.000000e+00, 2.100000e+00>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x12x12xf32>
  %1 = ktensor.resize %x {size = array<i64: 12, 12>, mode = #ktensor.resize_mode<bilinear>, coordinate_mode = #ktensor.coordinate_mode<asymmetric>, scales = array<f64: 2.000000e+00, 2.100000e+00>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x12x12xf32>
  // CHECK-NEXT: %2 = ktensor.resize %x {size = array<i64: 3, 4>, nearest_mode = #ktensor.nearest_mode<floor>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x4xf32>
  %2 = ktensor.resize %x {size = array<i64: 3, 4>, nearest_mode = #ktensor.nearest_mode<floor>} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x4xf32>
  // CHECK-NEXT: %3 = ktensor.space_to_batch %x {block_shape = array<i64: 2, 2>, pads = array<i64: 0, 1, 0, 1>} : (tensor<1x8x6x6xf32>) -> tensor<4x8x3x4xf32>
  %3 = ktensor.space_to_batch %x {block_shape = array<i64: 2, 2>, pads = array<i64: 0, 1, 0, 1>} : (tensor<1x8x6x6xf32>) -> tensor<4x8x3x4xf32>
  // CHECK-NEXT: %4 = ktensor.batch_to_space %3 {block_shape = array<i64: 2, 2>, crops = array<i64: 0, 1, 0, 1>} : (tensor<4x8x3x4xf32>) -> tensor<1x8x6x6xf32>
  %4 = ktensor.batch_to_space %3 {block_shape = array<i64: 2, 2>, crops = array<i64: 0, 1, 0, 1>} : (tensor<4x8x3x4xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %5 = ktensor.depth_to_space %x {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x8x6x6xf32>) -> tensor<1x2x12x12xf32>
  %5 = ktensor.depth_to_space %x {block_size = 2 : i64, mode = #ktensor.depth_mode<crd>} : (tensor<1x8x6x6xf32>) -> tensor<1x2x12x12xf32>
  // CHECK-NEXT: %6 = ktensor.space_to_depth %x {block_size = 2 : i64} : (tensor<1x8x6x6xf32>) -> tensor<1x32x3x3xf32>
  %6 = ktensor.space_to_depth %x {block_size = 2 : i64} : (tensor<1x8x6x6xf32>) -> tensor<1x32x3x3xf32>
  func.return
}

// CHECK: func.func @quantization(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
func.func @quantization(%x: tensor<1x8x6x6xf32>, %q: tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) {
  // CHECK-NEXT: %0 = ktensor.quantize %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  %0 = ktensor.quantize %x : (tensor<1x8x6x6xf32>) -> tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>
  // CHECK-NEXT: %1 = ktensor.dequantize %q : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x6x6xf32>
  %1 = ktensor.dequantize %q : (tensor<1x8x6x6x!ktensor.quantized<ui8, 1.000000e-01, 3>>) -> tensor<1x8x6x6xf32>
  func.return
}

// CHECK: func.func @choosing(%x: tensor<1x8x6x6xf32>, %c: tensor<8x1x1xf32>) {
func.func @choosing(%x: tensor<1x8x6x6xf32>, %c: tensor<8x1x1xf32>) {
  // CHECK-NEXT: %0 = ktensor.binary<greater_equal> %x, %c : (tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  %0 = ktensor.binary<greater_equal> %x, %c : (tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  // CHECK-NEXT: %1 = ktensor.select %0, %x, %c : (tensor<1x8x6x6xf32>, tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  %1 = ktensor.select %0, %x, %c : (tensor<1x8x6x6xf32>, tensor<1x8x6x6xf32>, tensor<8x1x1xf32>) -> tensor<1x8x6x6xf32>
  func.return
}
