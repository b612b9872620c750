// RUN: kpu-opt %s -p 'kpu-calibrate{dataset="%S/../../../examples/digits/calibration" method=minmax}' | filecheck %s
// RUN: not kpu-opt %s -p kpu-calibrate 2>&1 | filecheck %s --check-prefix=NONE
// RUN: not kpu-opt %s -p 'kpu-calibrate{dataset="%S/missing"}' 2>&1 | filecheck %s --check-prefix=MISSING

// NONE: there is no dataset to calibrate with
// MISSING: missing: no such file or folder

// Pixels take 0..1 whatever the samples use of it, and lie on a lattice of 256 levels.
// CHECK: func.func @main(%x: tensor<1x1x8x8xf32> {ktensor.name = "image", kpu.range = array<f64: 0.000000e+00, 1.000000e+00>,
// CHECK-SAME: kpu.lattice = !ktensor.quantized<ui8, 0.00392156862745098, 0>}
func.func @main(%x: tensor<1x1x8x8xf32> {ktensor.name = "image"}) -> (tensor<1x2x8x8xf32> {ktensor.name = "y"}) {
  %w = ktensor.constant dense<[[[[2.0]]], [[[-1.0]]]]> : tensor<2x1x1x1xf32>
  %b = ktensor.constant dense<[0.0, 0.5]> : tensor<2xf32>
  // CHECK: kpu.conv2d %x, %w, %b {kpu.range = array<f64: -0.46078{{[0-9]*}}, 1.9215{{[0-9]*}}>}
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x8x8xf32>
  func.return %0 : tensor<1x2x8x8xf32>
}
