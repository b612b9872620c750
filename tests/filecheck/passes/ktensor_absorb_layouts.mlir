// RUN: kpu-opt %s -p ktensor-absorb-layouts --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'ktensor-absorb-layouts{outputs=true}' --split-input-file | filecheck %s --check-prefix=OUTPUTS

// CHECK: func.func @conv(%x: tensor<1x3x4x5xf32> {ktensor.name = "input", ktensor.layout = "NHWC"}, %w: tensor<2x3x1x1xf32>) -> (tensor<1x4x5x2xf32> {ktensor.name = "map"}) {
// CHECK-NEXT: %0 = ktensor.conv2d %x, %w
// CHECK-NEXT: %1 = ktensor.transpose %0 {permutation = array<i64: 0, 2, 3, 1>}
// CHECK-NEXT: func.return %1

// OUTPUTS: func.func @conv(%x: tensor<1x3x4x5xf32> {ktensor.name = "input", ktensor.layout = "NHWC"}, %w: tensor<2x3x1x1xf32>) -> (tensor<1x2x4x5xf32> {ktensor.name = "map", ktensor.layout = "NHWC"}) {
// OUTPUTS-NEXT: %0 = ktensor.conv2d %x, %w
// OUTPUTS-NEXT: func.return %0
func.func @conv(%x: tensor<1x4x5x3xf32> {ktensor.name = "input"}, %w: tensor<2x3x1x1xf32>) -> (tensor<1x4x5x2xf32> {ktensor.name = "map"}) {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x4x5x3xf32>) -> tensor<1x3x4x5xf32>
  %1 = ktensor.conv2d %0, %w : (tensor<1x3x4x5xf32>, tensor<2x3x1x1xf32>) -> tensor<1x2x4x5xf32>
  %2 = ktensor.transpose %1 {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x2x4x5xf32>) -> tensor<1x4x5x2xf32>
  func.return %2 : tensor<1x4x5x2xf32>
}

// -----

// Scaling and padding before the first layer are carried over.
// CHECK: func.func @preprocessing(%x: tensor<1x3x4x5xf32> {ktensor.layout = "NHWC"}) -> tensor<1x3x6x7xf32> {
// CHECK-NEXT: %0 = ktensor.constant dense<{{.*}}> : tensor<1x3x1x1xf32>
// CHECK-NEXT: %1 = ktensor.binary<mul> %x, %0
// CHECK-NEXT: %2 = ktensor.pad %1 {low = array<i64: 0, 0, 1, 1>, high = array<i64: 0, 0, 1, 1>}
// CHECK-NEXT: func.return %2
func.func @preprocessing(%x: tensor<1x4x5x3xf32>) -> tensor<1x3x6x7xf32> {
  %0 = ktensor.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %1 = ktensor.binary<mul> %x, %0 : (tensor<1x4x5x3xf32>, tensor<3xf32>) -> tensor<1x4x5x3xf32>
  %2 = ktensor.pad %1 {low = array<i64: 0, 1, 1, 0>, high = array<i64: 0, 1, 1, 0>} : (tensor<1x4x5x3xf32>) -> tensor<1x6x7x3xf32>
  %3 = ktensor.transpose %2 {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x6x7x3xf32>) -> tensor<1x3x6x7xf32>
  func.return %3 : tensor<1x3x6x7xf32>
}

// -----

// With one channel the transpose has become a reshape before.
// CHECK: func.func @one_channel(%x: tensor<1x1x4x5xf32> {ktensor.layout = "NHWC"}) -> tensor<1x1x4x5xf32> {
// CHECK-NEXT: %0 = ktensor.activation<relu> %x
// CHECK-NEXT: func.return %0
func.func @one_channel(%x: tensor<1x4x5x1xf32>) -> tensor<1x1x4x5xf32> {
  %0 = ktensor.reshape %x : (tensor<1x4x5x1xf32>) -> tensor<1x1x4x5xf32>
  %1 = ktensor.activation<relu> %0 : (tensor<1x1x4x5xf32>) -> tensor<1x1x4x5xf32>
  func.return %1 : tensor<1x1x4x5xf32>
}

// -----

// An argument that is also used as it is stays as it is.
// CHECK: func.func @two_uses(%x: tensor<1x4x5x3xf32>) -> (tensor<1x3x4x5xf32>, tensor<1x60xf32>) {
// CHECK-NEXT: %0 = ktensor.transpose %x
func.func @two_uses(%x: tensor<1x4x5x3xf32>) -> (tensor<1x3x4x5xf32>, tensor<1x60xf32>) {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x4x5x3xf32>) -> tensor<1x3x4x5xf32>
  %1 = ktensor.reshape %x : (tensor<1x4x5x3xf32>) -> tensor<1x60xf32>
  func.return %0, %1 : tensor<1x3x4x5xf32>, tensor<1x60xf32>
}

// -----

// Neither another transpose nor another rank is a layout, and an unused argument has none.
// CHECK: func.func @not_a_layout(%x: tensor<1x4x5x3xf32>, %y: tensor<4x5xf32>, %z: tensor<1x4x5x3xf32>) ->
func.func @not_a_layout(%x: tensor<1x4x5x3xf32>, %y: tensor<4x5xf32>, %z: tensor<1x4x5x3xf32>) -> (tensor<1x5x4x3xf32>, tensor<5x4xf32>) {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x4x5x3xf32>) -> tensor<1x5x4x3xf32>
  %1 = ktensor.transpose %y {permutation = array<i64: 1, 0>} : (tensor<4x5xf32>) -> tensor<5x4xf32>
  func.return %0, %1 : tensor<1x5x4x3xf32>, tensor<5x4xf32>
}

// -----

// What has been absorbed once is left alone.
// CHECK: func.func @again(%x: tensor<1x4x5x3xf32> {ktensor.layout = "NHWC"}) ->
// CHECK-NEXT: %0 = ktensor.transpose %x
func.func @again(%x: tensor<1x4x5x3xf32> {ktensor.layout = "NHWC"}) -> tensor<1x3x4x5xf32> {
  %0 = ktensor.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x4x5x3xf32>) -> tensor<1x3x4x5xf32>
  func.return %0 : tensor<1x3x4x5xf32>
}

// A picture that gets its batch in the model has it in front of everything.
// CHECK: func.func @picture(%x: tensor<1x3x4x6xf32> {ktensor.layout = "NHWC"})
// CHECK-NEXT: ktensor.activation<relu> %x
// CHECK-NEXT: func.return
func.func @picture(%x: tensor<1x4x6x3xf32>) -> tensor<1x3x4x6xf32> {
  %0 = ktensor.reshape %x : (tensor<1x4x6x3xf32>) -> tensor<4x6x3xf32>
  %1 = ktensor.activation<relu> %0 : (tensor<4x6x3xf32>) -> tensor<4x6x3xf32>
  %2 = ktensor.transpose %1 {permutation = array<i64: 2, 0, 1>} : (tensor<4x6x3xf32>) -> tensor<3x4x6xf32>
  %3 = ktensor.reshape %2 : (tensor<3x4x6xf32>) -> tensor<1x3x4x6xf32>
  func.return %3 : tensor<1x3x4x6xf32>
}
