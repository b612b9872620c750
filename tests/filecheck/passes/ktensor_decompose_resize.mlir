// RUN: kpu-opt %s -p ktensor-decompose-resize --split-input-file | filecheck %s

// CHECK-LABEL: func.func @half_pixel(%x: tensor<1x1x2x2xf32>) -> tensor<1x1x4x4xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<{{\[\[}}1.000000e+00, 7.500000e-01, 2.500000e-01, 0.000000e+00], [0.000000e+00, 2.500000e-01, 7.500000e-01, 1.000000e+00]]> : tensor<2x4xf32>
// CHECK-NEXT: %1 = ktensor.reshape %x : (tensor<1x1x2x2xf32>) -> tensor<2x2xf32>
// CHECK-NEXT: %2 = ktensor.matmul %1, %0 : (tensor<2x2xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
// CHECK-NEXT: %3 = ktensor.reshape %2 : (tensor<2x4xf32>) -> tensor<1x2x4xf32>
// CHECK-NEXT: %4 = ktensor.transpose %3 {permutation = array<i64: 0, 2, 1>} : (tensor<1x2x4xf32>) -> tensor<1x4x2xf32>
// CHECK-NEXT: %5 = ktensor.constant dense<{{\[\[}}1.000000e+00, 7.500000e-01, 2.500000e-01, 0.000000e+00], [0.000000e+00, 2.500000e-01, 7.500000e-01, 1.000000e+00]]> : tensor<2x4xf32>
// CHECK-NEXT: %6 = ktensor.reshape %4 : (tensor<1x4x2xf32>) -> tensor<4x2xf32>
// CHECK-NEXT: %7 = ktensor.matmul %6, %5 : (tensor<4x2xf32>, tensor<2x4xf32>) -> tensor<4x4xf32>
// CHECK-NEXT: %8 = ktensor.reshape %7 : (tensor<4x4xf32>) -> tensor<1x4x4xf32>
// CHECK-NEXT: %9 = ktensor.transpose %8 {permutation = array<i64: 0, 2, 1>} : (tensor<1x4x4xf32>) -> tensor<1x4x4xf32>
// CHECK-NEXT: %10 = ktensor.reshape %9 : (tensor<1x4x4xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: func.return %10 : tensor<1x1x4x4xf32>
func.func @half_pixel(%x: tensor<1x1x2x2xf32>) -> tensor<1x1x4x4xf32> {
  %0 = ktensor.resize %x {size = array<i64: 4, 4>, mode = #ktensor.resize_mode<bilinear>} : (tensor<1x1x2x2xf32>) -> tensor<1x1x4x4xf32>
  func.return %0 : tensor<1x1x4x4xf32>
}

// -----

// What an instruction does stays.
// CHECK-LABEL: func.func @asymmetric(%x: tensor<1x1x2x2xf32>) -> tensor<1x1x4x4xf32> {
// CHECK-NEXT: %0 = ktensor.resize %x {size = array<i64: 4, 4>, mode = #ktensor.resize_mode<bilinear>, coordinate_mode = #ktensor.coordinate_mode<asymmetric>} : (tensor<1x1x2x2xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: func.return %0 : tensor<1x1x4x4xf32>
func.func @asymmetric(%x: tensor<1x1x2x2xf32>) -> tensor<1x1x4x4xf32> {
  %0 = ktensor.resize %x {size = array<i64: 4, 4>, mode = #ktensor.resize_mode<bilinear>, coordinate_mode = #ktensor.coordinate_mode<asymmetric>} : (tensor<1x1x2x2xf32>) -> tensor<1x1x4x4xf32>
  func.return %0 : tensor<1x1x4x4xf32>
}

// -----

// Of 64 columns 32 outputs need 4 each: blocks of outputs with the columns in front of them.
// CHECK-LABEL: func.func @blocks(
// CHECK: ktensor.reshape %x : (tensor<1x1x64x64xf32>) -> tensor<64x64xf32>
// CHECK: ktensor.slice {{.*}} {starts = array<i64: 0, 0>, ends = array<i64: 64, [[size:[0-9]+]]>
// CHECK: ktensor.matmul
// CHECK: ktensor.concat {{.*}} {axis = 1 : i64} : {{.*}} -> tensor<64x32xf32>
// CHECK: func.return
func.func @blocks(%x: tensor<1x1x64x64xf32>) -> tensor<1x1x32x32xf32> {
  %0 = ktensor.resize %x {size = array<i64: 32, 32>, mode = #ktensor.resize_mode<bilinear>} : (tensor<1x1x64x64xf32>) -> tensor<1x1x32x32xf32>
  func.return %0 : tensor<1x1x32x32xf32>
}
