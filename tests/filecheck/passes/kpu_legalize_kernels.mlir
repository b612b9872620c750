// RUN: kpu-opt %s -p kpu-legalize-kernels --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'kpu-legalize-kernels{dilation=space-to-batch}' --split-input-file | filecheck %s --check-prefix=PHASES
// RUN: kpu-opt %s -p 'kpu-legalize-kernels{depthwise=images}' --split-input-file | filecheck %s --check-prefix=IMAGES

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

// -----

// A depthwise one: nine copies of each block of channels, by one small layer for all blocks, partial sums of all in one
// depthwise layer, and sums of those of each block, again by one layer.
// IMAGES-LABEL: @depthwise
// IMAGES: %[[x:.*]] = kpu.images %x {count = [[n:[0-9]+]] : i64} : (tensor<1x96x10x10xf32>)
// IMAGES: %[[c:.*]] = kpu.conv2d %[[x]], {{.*}}kpu.moves
// IMAGES: %[[d:.*]] = kpu.images %[[c]] {count = 1 : i64} : {{.*}} -> tensor<1x864x10x10xf32>
// IMAGES: %[[p:.*]] = kpu.conv2d %[[d]], {{.*}}depthwise = true
// IMAGES: %[[q:.*]] = kpu.images %[[p]] {count = [[n]] : i64}
// IMAGES: %[[s:.*]] = kpu.conv2d %[[q]],
// IMAGES: %[[y:.*]] = kpu.images %[[s]] {count = 1 : i64} : {{.*}} -> tensor<1x96x10x10xf32>
// IMAGES: func.return %[[y]]
func.func @depthwise(%x: tensor<1x96x10x10xf32>) -> tensor<1x96x10x10xf32> {
  %w = ktensor.constant dense<0.5> : tensor<96x1x5x5xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 2, 2, 2, 2>, groups = 96 : i64} : (tensor<1x96x10x10xf32>, tensor<96x1x5x5xf32>) -> tensor<1x96x10x10xf32>
  func.return %y : tensor<1x96x10x10xf32>
}

// -----

// Padding of two columns in front would make rows of 64 pixels longer than their lines; a copy moved by one does not.
// CHECK-LABEL: @causal
// CHECK: %[[m:.*]] = kpu.conv2d %x, {{.*}} {kpu.moves, depthwise = true} : {{.*}} -> tensor<1x16x8x64xf32>
// CHECK-NOT: pad
// CHECK: kpu.concat
// CHECK: kpu.conv2d {{.*}} -> tensor<1x16x8x64xf32>
// CHECK-NEXT: func.return
func.func @causal(%x: tensor<1x16x8x64xf32>) -> tensor<1x16x8x64xf32> {
  %w = ktensor.constant dense<0.5> : tensor<16x16x1x3xf32>
  %y = ktensor.conv2d %x, %w {pads = array<i64: 0, 2, 0, 0>} : (tensor<1x16x8x64xf32>, tensor<16x16x1x3xf32>) -> tensor<1x16x8x64xf32>
  func.return %y : tensor<1x16x8x64xf32>
}
