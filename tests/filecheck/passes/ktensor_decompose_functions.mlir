// RUN: kpu-opt %s -p ktensor-decompose-functions,cse --split-input-file | filecheck %s

// CHECK-LABEL: func.func @sigmoid(%x: tensor<4xf32>) -> tensor<4xf32> {
// CHECK-NEXT: %0 = ktensor.unary<neg> %x : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %1 = ktensor.unary<exp> %0 : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<1.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %3 = ktensor.binary<add> %1, %2 : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
// CHECK-NEXT: %4 = ktensor.binary<div> %2, %3 : (tensor<1xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: func.return %4 : tensor<4xf32>
func.func @sigmoid(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = ktensor.activation<sigmoid> %x : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// -----

// Clamps stay: instructions do them in passing.
// CHECK-LABEL: func.func @relu(%x: tensor<4xf32>) -> tensor<4xf32> {
// CHECK-NEXT: %0 = ktensor.activation<relu> %x : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: func.return %0 : tensor<4xf32>
func.func @relu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = ktensor.activation<relu> %x : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @prelu(%x: tensor<2x4xf32>, %slope: tensor<4xf32>) -> tensor<2x4xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<0.000000e+00> : tensor<1x1xf32>
// CHECK-NEXT: %1 = ktensor.binary<min> %x, %0 : (tensor<2x4xf32>, tensor<1x1xf32>) -> tensor<2x4xf32>
// CHECK-NEXT: %2 = ktensor.binary<mul> %1, %slope : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
// CHECK-NEXT: %3 = ktensor.binary<max> %x, %0 : (tensor<2x4xf32>, tensor<1x1xf32>) -> tensor<2x4xf32>
// CHECK-NEXT: %4 = ktensor.binary<add> %3, %2 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
// CHECK-NEXT: func.return %4 : tensor<2x4xf32>
func.func @prelu(%x: tensor<2x4xf32>, %slope: tensor<4xf32>) -> tensor<2x4xf32> {
  %0 = ktensor.prelu %x, %slope : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  func.return %0 : tensor<2x4xf32>
}
