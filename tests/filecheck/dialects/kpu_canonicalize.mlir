// RUN: kpu-opt %s -p canonicalize --split-input-file | filecheck %s

// Nothing is left of pads, crops and slices that do nothing.
// CHECK-LABEL: @identity
// CHECK-NEXT: func.return %x
func.func @identity(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> {
  %0 = kpu.pad %x {pads = array<i64: 0, 0, 0, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  %1 = kpu.crop %0 {crops = array<i64: 0, 0, 0, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  %2 = kpu.strided_slice %1 {begin = array<i64: 0, 0>, strides = array<i64: 1, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  %3 = kpu.space_to_batch %2 {block_shape = array<i64: 1, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  %4 = kpu.batch_to_space %3 {block_shape = array<i64: 1, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  func.return %4 : tensor<1x3x8x8xf32>
}

// -----

// CHECK-LABEL: @pad_of_pad
// CHECK-NEXT: %{{.*}} = kpu.pad %x {pads = array<i64: 3, 1, 1, 0>, value = 5.000000e-01 : f64}
// CHECK-NEXT: func.return
func.func @pad_of_pad(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x12x9xf32> {
  %0 = kpu.pad %x {pads = array<i64: 1, 1, 0, 0>, value = 5.0e-01 : f64} : (tensor<1x3x8x8xf32>) -> tensor<1x3x9x9xf32>
  %1 = kpu.pad %0 {pads = array<i64: 2, 0, 1, 0>, value = 5.0e-01 : f64} : (tensor<1x3x9x9xf32>) -> tensor<1x3x12x9xf32>
  func.return %1 : tensor<1x3x12x9xf32>
}

// -----

// Pads of different values stay two.
// CHECK-LABEL: @pad_of_other_pad
// CHECK-COUNT-2: kpu.pad
func.func @pad_of_other_pad(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x12x9xf32> {
  %0 = kpu.pad %x {pads = array<i64: 1, 1, 0, 0>, value = 5.0e-01 : f64} : (tensor<1x3x8x8xf32>) -> tensor<1x3x9x9xf32>
  %1 = kpu.pad %0 {pads = array<i64: 2, 0, 1, 0>} : (tensor<1x3x9x9xf32>) -> tensor<1x3x12x9xf32>
  func.return %1 : tensor<1x3x12x9xf32>
}

// -----

// CHECK-LABEL: @crop_of_crop
// CHECK-NEXT: %{{.*}} = kpu.crop %x {crops = array<i64: 1, 2, 1, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x6x6xf32>
// CHECK-NEXT: func.return
func.func @crop_of_crop(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x6x6xf32> {
  %0 = kpu.crop %x {crops = array<i64: 1, 1, 0, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x7x7xf32>
  %1 = kpu.crop %0 {crops = array<i64: 0, 1, 1, 0>} : (tensor<1x3x7x7xf32>) -> tensor<1x3x6x6xf32>
  func.return %1 : tensor<1x3x6x6xf32>
}

// -----

// CHECK-LABEL: @crop_of_pad
// CHECK-NEXT: %[[CROP:.*]] = kpu.crop %x {crops = array<i64: 0, 1, 0, 0>}
// CHECK-NEXT: %{{.*}} = kpu.pad %[[CROP]] {pads = array<i64: 1, 0, 0, 3>}
// CHECK-NEXT: func.return
func.func @crop_of_pad(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x9x10xf32> {
  %0 = kpu.pad %x {pads = array<i64: 2, 1, 1, 3>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x11x12xf32>
  %1 = kpu.crop %0 {crops = array<i64: 1, 2, 1, 0>} : (tensor<1x3x11x12xf32>) -> tensor<1x3x9x10xf32>
  func.return %1 : tensor<1x3x9x10xf32>
}

// -----

// A crop that leaves nothing but padding stays.
// CHECK-LABEL: @crop_through
// CHECK-NEXT: kpu.pad
// CHECK-NEXT: kpu.crop
func.func @crop_through(%x: tensor<1x3x4x4xf32>) -> tensor<1x3x4x4xf32> {
  %0 = kpu.pad %x {pads = array<i64: 1, 0, 9, 0>} : (tensor<1x3x4x4xf32>) -> tensor<1x3x14x4xf32>
  %1 = kpu.crop %0 {crops = array<i64: 10, 0, 0, 0>} : (tensor<1x3x14x4xf32>) -> tensor<1x3x4x4xf32>
  func.return %1 : tensor<1x3x4x4xf32>
}

// -----

// CHECK-LABEL: @slice_of_slice
// CHECK-NEXT: %{{.*}} = kpu.strided_slice %x {begin = array<i64: 3, 2>, strides = array<i64: 4, 3>} : (tensor<1x3x16x16xf32>) -> tensor<1x3x4x5xf32>
func.func @slice_of_slice(%x: tensor<1x3x16x16xf32>) -> tensor<1x3x4x5xf32> {
  %0 = kpu.strided_slice %x {begin = array<i64: 1, 2>, strides = array<i64: 2, 1>} : (tensor<1x3x16x16xf32>) -> tensor<1x3x8x14xf32>
  %1 = kpu.strided_slice %0 {begin = array<i64: 1, 0>, strides = array<i64: 2, 3>} : (tensor<1x3x8x14xf32>) -> tensor<1x3x4x5xf32>
  func.return %1 : tensor<1x3x4x5xf32>
}

// -----

// CHECK-LABEL: @blocks
// CHECK-NEXT: %[[S:.*]] = kpu.space_to_batch %x {block_shape = array<i64: 2, 2>, pads = array<i64: 2, 1, 2, 1>}
// CHECK-NEXT: %{{.*}} = kpu.batch_to_space %y {block_shape = array<i64: 2, 2>, crops = array<i64: 2, 1, 0, 1>}
// CHECK-NEXT: func.return %[[S]]
func.func @blocks(%x: tensor<1x3x8x8xf32>, %y: tensor<4x3x8x8xf32>) -> (tensor<4x3x6x5xf32>, tensor<1x3x14x14xf32>) {
  %0 = kpu.pad %x {pads = array<i64: 1, 0, 1, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x10x8xf32>
  %1 = kpu.space_to_batch %0 {block_shape = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x3x10x8xf32>) -> tensor<4x3x6x5xf32>
  %2 = kpu.batch_to_space %y {block_shape = array<i64: 2, 2>, crops = array<i64: 1, 1, 0, 0>} : (tensor<4x3x8x8xf32>) -> tensor<1x3x15x15xf32>
  %3 = kpu.crop %2 {crops = array<i64: 1, 0, 0, 1>} : (tensor<1x3x15x15xf32>) -> tensor<1x3x14x14xf32>
  func.return %1, %3 : tensor<4x3x6x5xf32>, tensor<1x3x14x14xf32>
}

// -----

// A dilated convolution whose middle has gone leaves nothing.
// CHECK-LABEL: @inverse_blocks
// CHECK-NEXT: func.return %x
func.func @inverse_blocks(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> {
  %0 = kpu.space_to_batch %x {block_shape = array<i64: 2, 2>, pads = array<i64: 2, 1, 2, 1>} : (tensor<1x3x8x8xf32>) -> tensor<4x3x6x5xf32>
  %1 = kpu.batch_to_space %0 {block_shape = array<i64: 2, 2>, crops = array<i64: 2, 1, 2, 1>} : (tensor<4x3x6x5xf32>) -> tensor<1x3x8x8xf32>
  func.return %1 : tensor<1x3x8x8xf32>
}

// -----

// CHECK-LABEL: @both_rams
// CHECK-NEXT: func.return %x, %y
func.func @both_rams(%x: !kpu.fmap<1x3x8x8, 5.0e-01, 3>, %y: tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>)
    -> (!kpu.fmap<1x3x8x8, 5.0e-01, 3>, tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>) {
  %0 = kpu.download %x : (!kpu.fmap<1x3x8x8, 5.0e-01, 3>) -> tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>
  %1 = kpu.upload %0 : (tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>) -> !kpu.fmap<1x3x8x8, 5.0e-01, 3>
  %2 = kpu.upload %y : (tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>) -> !kpu.fmap<1x3x8x8, 5.0e-01, 3>
  %3 = kpu.download %2 : (!kpu.fmap<1x3x8x8, 5.0e-01, 3>) -> tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>
  func.return %1, %3 : !kpu.fmap<1x3x8x8, 5.0e-01, 3>, tensor<1x3x8x8x!ktensor.quantized<ui8, 5.0e-01, 3>>
}

// -----

// Unused layers vanish, equal ones are one after cse.
// CHECK-LABEL: @pure
// CHECK-NEXT: func.return %x
func.func @pure(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<4xf32>) -> tensor<1x3x8x8xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x8x8xf32>
  func.return %x : tensor<1x3x8x8xf32>
}
