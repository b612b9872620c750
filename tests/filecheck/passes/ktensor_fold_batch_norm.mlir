// RUN: kpu-opt %s -p ktensor-fold-batch-norm --print-debuginfo | filecheck %s

// (x * 1 + 2) * 3 + 4 - 5 = 3 x + 5
// CHECK: func.func @behind(
// CHECK-NEXT: ktensor.constant dense<3.000000e+00> : tensor<2x3x1x1xf32>
// CHECK-NEXT: ktensor.constant dense<[5.000000e+00, 6.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: ktensor.conv2d %x, %{{.*}} bias %{{.*}} : ({{.*}}) -> tensor<1x2x4x4xf32> loc("conv+bn+out")
// CHECK-NEXT: func.return
func.func @behind(%x: tensor<1x3x4x4xf32>) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x3x1x1xf32>
  %b = ktensor.constant dense<2.0> : tensor<2xf32>
  %three = ktensor.constant dense<3.0> : tensor<1x2x1x1xf32>
  %four = ktensor.constant dense<[[[4.0]], [[5.0]]]> : tensor<2x1x1xf32>
  %five = ktensor.constant dense<5.0> : tensor<f32>
  %0 = ktensor.conv2d %x, %w bias %b : (tensor<1x3x4x4xf32>, tensor<2x3x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32> loc("conv")
  %1 = ktensor.binary<mul> %0, %three : (tensor<1x2x4x4xf32>, tensor<1x2x1x1xf32>) -> tensor<1x2x4x4xf32> loc("bn")
  %2 = ktensor.binary<add> %four, %1 : (tensor<2x1x1xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> loc("bn")
  %3 = ktensor.binary<sub> %2, %five : (tensor<1x2x4x4xf32>, tensor<f32>) -> tensor<1x2x4x4xf32> loc("out")
  func.return %3 : tensor<1x2x4x4xf32>
}

// Padding is zero whatever the scale, but would not be shifted.
// CHECK: func.func @before(
// CHECK: %shifted = ktensor.binary<add> %x, %one
// CHECK: ktensor.constant dense<2.000000e+00> : tensor<2x3x3x3xf32>
// CHECK-NEXT: ktensor.conv2d %shifted, %{{[a-z0-9]+}} {pads = array<i64: 1, 1, 1, 1>}
// CHECK-NEXT: func.return
func.func @before(%x: tensor<1x3x4x4xf32>) -> tensor<1x2x4x4xf32> {
  %w = ktensor.constant dense<1.0> : tensor<2x3x3x3xf32>
  %one = ktensor.constant dense<1.0> : tensor<f32>
  %two = ktensor.constant dense<2.0> : tensor<3x1x1xf32>
  %shifted = ktensor.binary<add> %x, %one : (tensor<1x3x4x4xf32>, tensor<f32>) -> tensor<1x3x4x4xf32>
  %scaled = ktensor.binary<mul> %shifted, %two : (tensor<1x3x4x4xf32>, tensor<3x1x1xf32>) -> tensor<1x3x4x4xf32>
  %0 = ktensor.conv2d %scaled, %w {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x3x4x4xf32>, tensor<2x3x3x3xf32>) -> tensor<1x2x4x4xf32>
  func.return %0 : tensor<1x2x4x4xf32>
}

// A value with another use has to stay, and weights that are not constant cannot change.
// CHECK: func.func @stay(
// CHECK: ktensor.conv2d %x, %w
// CHECK-NEXT: ktensor.binary<mul>
// CHECK-NEXT: ktensor.conv2d %x, %v
// CHECK-NEXT: ktensor.binary<mul>
func.func @stay(%x: tensor<1x1x4x4xf32>, %v: tensor<1x1x1x1xf32>) -> (tensor<1x1x4x4xf32>, tensor<1x1x4x4xf32>, tensor<1x1x4x4xf32>) {
  %w = ktensor.constant dense<1.0> : tensor<1x1x1x1xf32>
  %two = ktensor.constant dense<2.0> : tensor<f32>
  %0 = ktensor.conv2d %x, %w : (tensor<1x1x4x4xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x4x4xf32>
  %1 = ktensor.binary<mul> %0, %two : (tensor<1x1x4x4xf32>, tensor<f32>) -> tensor<1x1x4x4xf32>
  %2 = ktensor.conv2d %x, %v : (tensor<1x1x4x4xf32>, tensor<1x1x1x1xf32>) -> tensor<1x1x4x4xf32>
  %3 = ktensor.binary<mul> %2, %two : (tensor<1x1x4x4xf32>, tensor<f32>) -> tensor<1x1x4x4xf32>
  func.return %0, %1, %3 : tensor<1x1x4x4xf32>, tensor<1x1x4x4xf32>, tensor<1x1x4x4xf32>
}
