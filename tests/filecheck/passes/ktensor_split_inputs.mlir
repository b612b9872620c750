// RUN: kpu-opt %s -p 'ktensor-split-inputs{dataset="%S/../../../examples/digits/calibration" parts=3},dce' --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'ktensor-split-inputs{dataset="%S/../../../examples/digits/calibration"}' --split-input-file | filecheck %s --check-prefix=PIXELS
// RUN: kpu-opt %s -p ktensor-split-inputs --split-input-file | filecheck %s --check-prefix=PIXELS

// Pixels are bytes anyway, and without a dataset there is nothing to go by.
// PIXELS-NOT: ktensor.quantize

// Pixels reach 1: three parts of a third of that each.
// CHECK-LABEL: @main
// CHECK-NEXT: %0 = ktensor.quantize %x {kpu.reason = "more parts than one were asked for", multiplier = 3.000000e+00 : f64} :
// CHECK-NEXT: %1 = ktensor.quantize %x {kpu.reason = "more parts than one were asked for", multiplier = 3.000000e+00 : f64, addend = -255 : i64}
// CHECK-NEXT: %2 = ktensor.quantize %x {kpu.reason = "more parts than one were asked for", multiplier = 3.000000e+00 : f64, addend = -510 : i64}
// CHECK-NEXT: %3 = ktensor.concat %0, %1, %2 {axis = 1 : i64}
// CHECK-NEXT: %4 = ktensor.dequantize %3
// CHECK-NEXT: %5 = ktensor.constant dense<{{.*}}2.000000e+00{{.*}}-1.000000e+00{{.*}}> : tensor<2x3x1x1xf32>
// CHECK-NEXT: ktensor.conv2d %4, %5 : (tensor<1x3x8x8xf32>, tensor<2x3x1x1xf32>)
func.func @main(%x: tensor<1x1x8x8xf32> {ktensor.name = "image"}) -> tensor<1x2x8x8xf32> {
  %w = ktensor.constant dense<[[[[6.0]]], [[[-3.0]]]]> : tensor<2x1x1x1xf32>
  %0 = ktensor.conv2d %x, %w : (tensor<1x1x8x8xf32>, tensor<2x1x1x1xf32>) -> tensor<1x2x8x8xf32>
  func.return %0 : tensor<1x2x8x8xf32>
}

// -----

// Matrix products have their inputs on the last axis.
// CHECK-LABEL: @main
// CHECK: ktensor.concat {{.*}} {axis = 1 : i64} : ({{.*}}) -> tensor<1x192x
// CHECK: ktensor.matmul %{{[0-9]+}}, %{{[0-9]+}} : (tensor<1x192xf32>, tensor<192x2xf32>)
func.func @main(%x: tensor<1x1x8x8xf32> {ktensor.name = "image"}) -> tensor<1x2xf32> {
  %w = ktensor.constant dense<1.0> : tensor<64x2xf32>
  %0 = ktensor.reshape %x : (tensor<1x1x8x8xf32>) -> tensor<1x64xf32>
  %1 = ktensor.matmul %0, %w : (tensor<1x64xf32>, tensor<64x2xf32>) -> tensor<1x2xf32>
  func.return %1 : tensor<1x2xf32>
}

// -----

// An addition reads the numbers themselves.
// CHECK-LABEL: @main
// CHECK-NOT: ktensor.quantize
func.func @main(%x: tensor<1x1x8x8xf32> {ktensor.name = "image"}) -> tensor<1x1x8x8xf32> {
  %w = ktensor.constant dense<2.0> : tensor<1x1x1x1xf32>
  %0 = ktensor.conv2d %x, %w : (tensor<1x1x8x8xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x8x8xf32>
  %1 = ktensor.binary<add> %x, %0 : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x8xf32>
  func.return %1 : tensor<1x1x8x8xf32>
}
