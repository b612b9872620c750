// RUN: kpu-opt %s -p kpu-legalize-kernels --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'kpu-legalize-kernels{dilation=space-to-batch}' --split-input-file | filecheck %s --check-prefix=PHASES

// Two copies, moved by a column each, made by one layer, serve five columns.
// CHECK-LABEL: @row
// CHECK: kpu.conv2d {{.*}}kpu.moves{{.*}} -> tensor<1x4x8x20xf32>
// CHECK: kpu.conv2d {{.*}} -> tensor<1x4x8x20xf32>
// CHECK-NOT: ktensor.conv2d
func.func @row(%x: tensor<1x2x8x20xf32>) -> tensor<1x4x8x20xf32> {
  %w = ktensor.constant dense<0.5> : tensor<4x2x1x5xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 0, 2, 0, 2>} : (tensor<1x2x8x20xf32>, tensor<4x2x1x5xf32>) -> tensor<1x4x8x20xf32>
  func.return %y : tensor<1x4x8x20xf32>
}

// -----

// A dilated kernel on copies, or on the phases of the map.
// CHECK-LABEL: @dilated
// CHECK: kpu.concat
// CHECK-NOT: ktensor.conv2d
// PHASES-LABEL: @dilated
// PHASES: kpu.space_to_batch %x {block_shape = array<i64: 2, 2>}
// PHASES: kpu.conv2d {{.*}} -> tensor<4x4x6x6xf32>
// PHASES: kpu.batch_to_space %{{.*}} {block_shape = array<i64: 2, 2>}
func.func @dilated(%x: tensor<1x2x12x12xf32>) -> tensor<1x4x12x12xf32> {
  %w = ktensor.constant dense<0.5> : tensor<4x2x3x3xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 2, 2, 2, 2>, dilations = array<i64: 2, 2>} : (tensor<1x2x12x12xf32>, tensor<4x2x3x3xf32>) -> tensor<1x4x12x12xf32>
  func.return %y : tensor<1x4x12x12xf32>
}

// -----

// CHECK-LABEL: @too_wide
// CHECK: kpu.reason = "the input is 600 wide, the KPU takes 4 to 512"
func.func @too_wide(%x: tensor<1x2x8x600xf32>) -> tensor<1x4x8x600xf32> {
  %w = ktensor.constant dense<0.5> : tensor<4x2x1x5xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 0, 2, 0, 2>} : (tensor<1x2x8x600xf32>, tensor<4x2x1x5xf32>) -> tensor<1x4x8x600xf32>
  func.return %y : tensor<1x4x8x600xf32>
}

// -----

// CHECK-LABEL: @computed
// CHECK: kpu.reason = "the weights are computed by the model; the KPU needs constants"
func.func @computed(%x: tensor<1x2x8x8xf32>, %w: tensor<4x2x5x5xf32>) -> tensor<1x4x4x4xf32> {
  %y = ktensor.conv2d %x, %w : (tensor<1x2x8x8xf32>, tensor<4x2x5x5xf32>) -> tensor<1x4x4x4xf32>
  func.return %y : tensor<1x4x4x4xf32>
}
