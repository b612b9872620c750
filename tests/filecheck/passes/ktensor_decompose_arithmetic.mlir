// RUN: kpu-opt %s -p ktensor-decompose-arithmetic,cse --split-input-file | filecheck %s

// CHECK-LABEL: func.func @greater(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
// CHECK-NEXT: %0 = ktensor.binary<sub> %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<1.70141183e+38> : tensor<1xf32>
// CHECK-NEXT: %2 = ktensor.binary<mul> %0, %1 : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
// CHECK-NEXT: %3 = ktensor.binary<mul> %2, %1 : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
// CHECK-NEXT: %4 = ktensor.activation<clamp, 0.000000e+00, 1.000000e+00> %3 : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: func.return %4 : tensor<4xf32>
func.func @greater(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %0 = ktensor.binary<greater> %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @select(%c: tensor<4xf32>, %a: tensor<4xf32>, %b: tensor<1xf32>) -> tensor<4xf32> {
// CHECK-NEXT: %0 = ktensor.binary<mul> %c, %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<1.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %2 = ktensor.binary<sub> %1, %c : (tensor<1xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %3 = ktensor.binary<mul> %2, %b : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
// CHECK-NEXT: %4 = ktensor.binary<add> %0, %3 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: func.return %4 : tensor<4xf32>
func.func @select(%c: tensor<4xf32>, %a: tensor<4xf32>, %b: tensor<1xf32>) -> tensor<4xf32> {
  %0 = ktensor.select %c, %a, %b : (tensor<4xf32>, tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @floor_mod(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
// CHECK-NEXT: %0 = ktensor.binary<div> %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %1 = ktensor.unary<floor> %0 : (tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %2 = ktensor.binary<mul> %1, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: %3 = ktensor.binary<sub> %a, %2 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: func.return %3 : tensor<4xf32>
func.func @floor_mod(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %0 = ktensor.binary<floor_mod> %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @product(%x: tensor<2x3xf32>) -> tensor<2xf32> {
// CHECK-NEXT: %0 = ktensor.slice %x {starts = array<i64: 0, 0>, ends = array<i64: 2, 1>, steps = array<i64: 1, 1>} : (tensor<2x3xf32>) -> tensor<2x1xf32>
// CHECK-NEXT: %1 = ktensor.slice %x {starts = array<i64: 0, 1>, ends = array<i64: 2, 2>, steps = array<i64: 1, 1>} : (tensor<2x3xf32>) -> tensor<2x1xf32>
// CHECK-NEXT: %2 = ktensor.binary<mul> %0, %1 : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x1xf32>
// CHECK-NEXT: %3 = ktensor.slice %x {starts = array<i64: 0, 2>, ends = array<i64: 2, 3>, steps = array<i64: 1, 1>} : (tensor<2x3xf32>) -> tensor<2x1xf32>
// CHECK-NEXT: %4 = ktensor.concat %2, %3 {axis = 1 : i64} : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x2xf32>
// CHECK-NEXT: %5 = ktensor.slice %4 {starts = array<i64: 0, 0>, ends = array<i64: 2, 1>, steps = array<i64: 1, 1>} : (tensor<2x2xf32>) -> tensor<2x1xf32>
// CHECK-NEXT: %6 = ktensor.slice %4 {starts = array<i64: 0, 1>, ends = array<i64: 2, 2>, steps = array<i64: 1, 1>} : (tensor<2x2xf32>) -> tensor<2x1xf32>
// CHECK-NEXT: %7 = ktensor.binary<mul> %5, %6 : (tensor<2x1xf32>, tensor<2x1xf32>) -> tensor<2x1xf32>
// CHECK-NEXT: %8 = ktensor.reshape %7 : (tensor<2x1xf32>) -> tensor<2xf32>
// CHECK-NEXT: func.return %8 : tensor<2xf32>
func.func @product(%x: tensor<2x3xf32>) -> tensor<2xf32> {
  %0 = ktensor.reduce<prod> %x {axes = array<i64: 1>, keep_dims = false} : (tensor<2x3xf32>) -> tensor<2xf32>
  func.return %0 : tensor<2xf32>
}

// -----

// What instructions do stays.
// CHECK-LABEL: func.func @stays(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
// CHECK-NEXT: %0 = ktensor.binary<max> %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: func.return %0 : tensor<4xf32>
func.func @stays(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %0 = ktensor.binary<max> %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}
