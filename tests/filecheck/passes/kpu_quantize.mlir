// RUN: kpu-opt %s -p kpu-quantize --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'kpu-quantize{input_type="float32"}' --split-input-file | filecheck %s --check-prefix=FLOAT

// Inputs stay float where that is asked for, and are quantized in front of the layer.
// FLOAT-LABEL: func.func @main(%x: tensor<1x2x4x4xf32> {kpu.range = array<f64: 0.000000e+00, 2.550000e+02>}) -> tensor<1x4x4x2xf32> {
// FLOAT: %0 = ktensor.quantize %x : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// FLOAT-NEXT: kpu.conv2d %0, %w, %b

// Bytes from the input to the last layer, moved as bytes, float at the end.
// CHECK-LABEL: func.func @main(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>> {kpu.range = array<f64: 0.000000e+00, 2.550000e+02>}) -> tensor<1x4x4x2xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<2x2x1x1xf32>
// CHECK-NEXT: %b = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>
// CHECK-NEXT: %1 = ktensor.transpose %0 {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x2x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>) -> tensor<1x4x4x2x!ktensor.quantized<ui8, 2.000000e+00, 0>>
// CHECK-NEXT: %2 = ktensor.dequantize %1 : (tensor<1x4x4x2x!ktensor.quantized<ui8, 2.000000e+00, 0>>) -> tensor<1x4x4x2xf32>
// CHECK-NEXT: func.return %2 : tensor<1x4x4x2xf32>
func.func @main(%x: tensor<1x2x4x4xf32> {kpu.range = array<f64: 0.0, 255.0>}) -> tensor<1x4x4x2xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %0 = kpu.conv2d %x, %w, %b {kpu.range = array<f64: 0.0, 510.0>, activation = [#ktensor.activation<relu>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %1 = ktensor.transpose %0 {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x4x4x2xf32>
  func.return %1 : tensor<1x4x4x2xf32>
}

// -----

// An addition between layers is done on bytes, the relu behind it by saturation.
// CHECK-LABEL: func.func @main(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>> {kpu.range = array<f64: 0.000000e+00, 2.550000e+02>}) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<2x2x1x1xf32>
// CHECK-NEXT: %b = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 127>>
// CHECK-NEXT: %1 = ktensor.binary<add> %0, %x : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 127>>, tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>
// CHECK-NEXT: %2 = kpu.conv2d %1, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>>
// CHECK-NEXT: %3 = ktensor.dequantize %2 : (tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %3 : tensor<1x2x4x4xf32>
func.func @main(%x: tensor<1x2x4x4xf32> {kpu.range = array<f64: 0.0, 255.0>}) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %0 = kpu.conv2d %x, %w, %b {kpu.range = array<f64: -127.0, 128.0>} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %1 = ktensor.binary<add> %0, %x {kpu.range = array<f64: -127.0, 383.0>} : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %2 = ktensor.activation<relu> %1 {kpu.range = array<f64: 0.0, 510.0>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %3 = kpu.conv2d %2, %w, %b {kpu.range = array<f64: 0.0, 1020.0>} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  func.return %3 : tensor<1x2x4x4xf32>
}

// -----

// Operands of a concat of bytes share the union of their ranges; pixels that are cropped away do not count.
// CHECK-LABEL: func.func @main(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>> {kpu.range = array<f64: 0.000000e+00, 2.550000e+02>}) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %w = ktensor.constant dense<1.000000e+00> : tensor<2x2x1x1xf32>
// CHECK-NEXT: %v = ktensor.constant dense<1.000000e+00> : tensor<2x4x1x1xf32>
// CHECK-NEXT: %b = ktensor.constant dense<0.000000e+00> : tensor<2xf32>
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>
// CHECK-NEXT: %1 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>
// CHECK-NEXT: %2 = kpu.crop %1 {kpu.range = array<f64: -5.100000e+01, 2.040000e+02>, crops = array<i64: 0, 0, 0, 0>} : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>
// CHECK-NEXT: %3 = ktensor.concat %0, %2 {axis = 1 : i64} : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>, tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>) -> tensor<1x4x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>
// CHECK-NEXT: %4 = kpu.conv2d %3, %v, %b : (tensor<1x4x4x4x!ktensor.quantized<ui8, 1.000000e+00, 51>>, tensor<2x4x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>
// CHECK-NEXT: %5 = ktensor.dequantize %4 : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %5 : tensor<1x2x4x4xf32>
func.func @main(%x: tensor<1x2x4x4xf32> {kpu.range = array<f64: 0.0, 255.0>}) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %v = ktensor.constant dense<1.0> : tensor<2x4x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %0 = kpu.conv2d %x, %w, %b {kpu.range = array<f64: 0.0, 100.0>} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %1 = kpu.conv2d %x, %w, %b {kpu.range = array<f64: 0.0, 510.0>} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %2 = kpu.crop %1 {kpu.range = array<f64: -51.0, 204.0>, crops = array<i64: 0, 0, 0, 0>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %3 = ktensor.concat %0, %2 {axis = 1 : i64} : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x4x4x4xf32>
  %4 = kpu.conv2d %3, %v, %b {kpu.range = array<f64: 0.0, 255.0>} : (tensor<1x4x4x4xf32>, tensor<2x4x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  func.return %4 : tensor<1x2x4x4xf32>
}

// -----

// Parts of a concatenation keep their scales; the weights of the convolution that reads them make up for that.
// CHECK-LABEL: func.func @main
// CHECK: kpu.concat {{.*}} : (tensor<1x4x4x4x!ktensor.quantized<ui8, 0.00392156862745098, 0>>, tensor<1x4x4x4x!ktensor.quantized<ui8, 0.00784313725490196, 0>>) -> tensor<1x8x4x4x!ktensor.quantized<ui8, 0.00784313725490196, 0>>
// CHECK: %[[w:.*]] = ktensor.constant dense<[{{.*}}5.000000e-01{{.*}}1.000000e+00{{.*}}]> : tensor<1x8x1x1xf32>
// CHECK: kpu.conv2d %{{.*}}, %[[w]]
func.func @main(%x: tensor<1x4x4x4xf32>) -> tensor<1x1x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<4x4x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<4xf32>
  %v = ktensor.constant dense<1.0> : tensor<1x8x1x1xf32>
  %c = ktensor.constant dense<0.0> : tensor<1xf32>
  %e = ktensor.activation<exp> %x {kpu.range = array<f64: 0.0, 1.0>} : (tensor<1x4x4x4xf32>) -> tensor<1x4x4x4xf32>
  %0 = kpu.conv2d %e, %w, %b {kpu.range = array<f64: 0.0, 1.0>} : (tensor<1x4x4x4xf32>, tensor<4x4x1x1xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %1 = kpu.conv2d %e, %w, %b {kpu.range = array<f64: 0.0, 2.0>} : (tensor<1x4x4x4xf32>, tensor<4x4x1x1xf32>, tensor<4xf32>) -> tensor<1x4x4x4xf32>
  %2 = kpu.concat %0, %1 : (tensor<1x4x4x4xf32>, tensor<1x4x4x4xf32>) -> tensor<1x8x4x4xf32>
  %3 = kpu.conv2d %2, %v, %c {kpu.range = array<f64: 0.0, 1.0>} : (tensor<1x8x4x4xf32>, tensor<1x8x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x4xf32>
  func.return %3 : tensor<1x1x4x4xf32>
}

// -----

// A quantized model has scales of its own: of a layer's result, of a sum, of what the CPU computes. On the way to a
// result rounding is only a limit.
// CHECK-LABEL: attributes {kpu.own_scales}
// CHECK: %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : ({{.*}}) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 2.500000e-01, 0>>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b {activation = [#ktensor.activation<clamp, -1.000000e+01, 1.550000e+01>, #ktensor.activation<sigmoid>]} : ({{.*}}) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 3.906250e-03, 0>>
// CHECK-NEXT: %2 = ktensor.binary<add> %0, %1 : ({{.*}}) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 5.000000e-01, 3>>
// CHECK-NEXT: %3 = kpu.conv2d %2, %w, %b : ({{.*}}) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 100>>
// CHECK-NEXT: %4 = ktensor.dequantize %3
// CHECK-NEXT: %5 = ktensor.softmax %4
// CHECK-NEXT: %6 = ktensor.quantize %5 : ({{.*}}) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 7.812500e-03, 0>>
// CHECK-NEXT: %7 = ktensor.dequantize %6
// CHECK-NEXT: func.return %7
func.func @main(%x: tensor<1x2x4x4xf32> {kpu.lattice = !ktensor.quantized<ui8, 0.5, 128>}) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>, #ktensor.activation<fake_quantize, 0.25, 0.0>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %1 = kpu.conv2d %0, %w, %b {activation = [#ktensor.activation<fake_quantize, 0.1, 100.0>, #ktensor.activation<sigmoid>, #ktensor.activation<fake_quantize, 0.00390625, 0.0>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %2 = ktensor.binary<add> %0, %1 : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %3 = ktensor.activation<fake_quantize, 0.5, 3.0> %2 : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %4 = kpu.conv2d %3, %w, %b {activation = [#ktensor.activation<fake_quantize, 1.0, 100.0>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %5 = ktensor.softmax %4 {axis = 1 : i64} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %6 = ktensor.activation<fake_quantize, 0.0078125, 0.0> %5 : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  func.return %6 : tensor<1x2x4x4xf32>
}
