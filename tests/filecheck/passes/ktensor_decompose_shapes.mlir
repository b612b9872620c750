// RUN: kpu-opt %s -p ktensor-decompose-shapes --split-input-file | filecheck %s

// CHECK-LABEL: func.func @depth_to_space(%x: tensor<1x12x2x2xf32>) -> tensor<1x3x4x4xf32> {
// CHECK-NEXT: %0 = ktensor.reshape %x : (tensor<1x12x2x2xf32>) -> tensor<2x2x6x2xf32>
// CHECK-NEXT: %1 = ktensor.transpose %0 {permutation = array<i64: 2, 0, 3, 1>} : (tensor<2x2x6x2xf32>) -> tensor<6x2x2x2xf32>
// CHECK-NEXT: %2 = ktensor.reshape %1 : (tensor<6x2x2x2xf32>) -> tensor<1x3x4x4xf32>
// CHECK-NEXT: func.return %2 : tensor<1x3x4x4xf32>
func.func @depth_to_space(%x: tensor<1x12x2x2xf32>) -> tensor<1x3x4x4xf32> {
  %0 = ktensor.depth_to_space %x {block_size = 2 : i64} : (tensor<1x12x2x2xf32>) -> tensor<1x3x4x4xf32>
  func.return %0 : tensor<1x3x4x4xf32>
}

// -----

// CHECK-LABEL: func.func @space_to_batch(%x: tensor<1x3x4x4xf32>) -> tensor<4x3x3x3xf32> {
// CHECK-NEXT: %0 = ktensor.pad %x {low = array<i64: 0, 0, 1, 1>, high = array<i64: 0, 0, 1, 1>} : (tensor<1x3x4x4xf32>) -> tensor<1x3x6x6xf32>
// CHECK-NEXT: %1 = ktensor.reshape %0 : (tensor<1x3x6x6xf32>) -> tensor<9x2x3x2xf32>
// CHECK-NEXT: %2 = ktensor.transpose %1 {permutation = array<i64: 1, 3, 0, 2>} : (tensor<9x2x3x2xf32>) -> tensor<2x2x9x3xf32>
// CHECK-NEXT: %3 = ktensor.reshape %2 : (tensor<2x2x9x3xf32>) -> tensor<4x3x3x3xf32>
// CHECK-NEXT: func.return %3 : tensor<4x3x3x3xf32>
func.func @space_to_batch(%x: tensor<1x3x4x4xf32>) -> tensor<4x3x3x3xf32> {
  %0 = ktensor.space_to_batch %x {block_shape = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x3x4x4xf32>) -> tensor<4x3x3x3xf32>
  func.return %0 : tensor<4x3x3x3xf32>
}

// -----

// CHECK-LABEL: func.func @softmax(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
// CHECK-NEXT: %0 = ktensor.transpose %x {permutation = array<i64: 0, 2, 1>} : (tensor<2x3x4xf32>) -> tensor<2x4x3xf32>
// CHECK-NEXT: %1 = ktensor.softmax %0 {axis = 2 : i64} : (tensor<2x4x3xf32>) -> tensor<2x4x3xf32>
// CHECK-NEXT: %2 = ktensor.transpose %1 {permutation = array<i64: 0, 2, 1>} : (tensor<2x4x3xf32>) -> tensor<2x3x4xf32>
// CHECK-NEXT: func.return %2 : tensor<2x3x4xf32>
func.func @softmax(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %0 = ktensor.softmax %x {axis = 1 : i64} : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  func.return %0 : tensor<2x3x4xf32>
}

// -----

// CHECK-LABEL: func.func @padded_mean(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> {
// CHECK-NEXT: %0 = ktensor.pad %x {low = array<i64: 0, 0, 1, 1>, high = array<i64: 0, 0, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x6x6xf32>
// CHECK-NEXT: %1 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 3, 3>} : (tensor<1x2x6x6xf32>) -> tensor<1x2x4x4xf32>
// CHECK-NEXT: func.return %1 : tensor<1x2x4x4xf32>
func.func @padded_mean(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> {
  %0 = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>, count_include_pad = true} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  func.return %0 : tensor<1x2x4x4xf32>
}

// -----

// CHECK-LABEL: func.func @slice(%x: tensor<2x3x4x5x6xf32>) -> tensor<2x3x2x5x6xf32> {
// CHECK-NEXT: %0 = ktensor.reshape %x : (tensor<2x3x4x5x6xf32>) -> tensor<6x4x30xf32>
// CHECK-NEXT: %1 = ktensor.slice %0 {starts = array<i64: 0, 1, 0>, ends = array<i64: 6, 4, 30>, steps = array<i64: 1, 2, 1>} : (tensor<6x4x30xf32>) -> tensor<6x2x30xf32>
// CHECK-NEXT: %2 = ktensor.reshape %1 : (tensor<6x2x30xf32>) -> tensor<2x3x2x5x6xf32>
func.func @slice(%x: tensor<2x3x4x5x6xf32>) -> tensor<2x3x2x5x6xf32> {
  %0 = ktensor.slice %x {starts = array<i64: 0, 0, 1, 0, 0>, ends = array<i64: 2, 3, 4, 5, 6>, steps = array<i64: 1, 1, 2, 1, 1>} : (tensor<2x3x4x5x6xf32>) -> tensor<2x3x2x5x6xf32>
  func.return %0 : tensor<2x3x2x5x6xf32>
}

// -----

// CHECK-LABEL: func.func @broadcast(%x: tensor<1x3x4x5x2xf32>, %y: tensor<3x1x1x2xf32>) -> tensor<1x3x4x5x2xf32> {
// CHECK-NEXT: %0 = ktensor.reshape %x : (tensor<1x3x4x5x2xf32>) -> tensor<3x20x2xf32>
// CHECK-NEXT: %1 = ktensor.reshape %y : (tensor<3x1x1x2xf32>) -> tensor<3x1x2xf32>
// CHECK-NEXT: %2 = ktensor.binary<add> %0, %1 : (tensor<3x20x2xf32>, tensor<3x1x2xf32>) -> tensor<3x20x2xf32>
// CHECK-NEXT: %3 = ktensor.reshape %2 : (tensor<3x20x2xf32>) -> tensor<1x3x4x5x2xf32>
func.func @broadcast(%x: tensor<1x3x4x5x2xf32>, %y: tensor<3x1x1x2xf32>) -> tensor<1x3x4x5x2xf32> {
  %0 = ktensor.binary<add> %x, %y : (tensor<1x3x4x5x2xf32>, tensor<3x1x1x2xf32>) -> tensor<1x3x4x5x2xf32>
  func.return %0 : tensor<1x3x4x5x2xf32>
}
