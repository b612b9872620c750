// RUN: kpu-opt %s -p kpu-legalize-pools{pools=kpu} --split-input-file | filecheck %s

// Behind a depthwise layer: an identity layer pools.
// CHECK-LABEL: func.func @standing_alone(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {kpu.moves, pool = #kpu.pool<max_2_s2>} : (tensor<1x1x8x8xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: func.return %3 : tensor<1x1x4x4xf32>
func.func @standing_alone(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b {depthwise = true} : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x4x4xf32>
  func.return %1 : tensor<1x1x4x4xf32>
}

// -----

// Behind a crop of an odd number of rows: moved, pooled, cropped at the end.
// CHECK-LABEL: func.func @odd_crop(%x: tensor<1x1x12x12xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x5x5xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x12x12xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x12x12xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<{{\[\[}}{{\[\[}}0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 1.000000e+00]]]]> : tensor<1x1x3x3xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {pool = #kpu.pool<mean_2_s2>} : (tensor<1x1x12x12xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x6x6xf32>
// CHECK-NEXT: %4 = kpu.crop %3 {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x1x6x6xf32>) -> tensor<1x1x5x5xf32>
// CHECK-NEXT: func.return %4 : tensor<1x1x5x5xf32>
func.func @odd_crop(%x: tensor<1x1x12x12xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x5x5xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x12x12xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x12x12xf32>
  %1 = kpu.crop %0 {crops = array<i64: 1, 1, 1, 1>} : (tensor<1x1x12x12xf32>) -> tensor<1x1x10x10xf32>
  %2 = ktensor.average_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x10x10xf32>) -> tensor<1x1x5x5xf32>
  func.return %2 : tensor<1x1x5x5xf32>
}

// -----

// Behind a crop of an even number of rows: the convolution pools, and half as much is cropped.
// CHECK-LABEL: func.func @even_crop(%x: tensor<1x1x12x12xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s2>} : (tensor<1x1x12x12xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x6x6xf32>
// CHECK-NEXT: %1 = kpu.crop %0 {crops = array<i64: 1, 1, 1, 1>} : (tensor<1x1x6x6xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: func.return %1 : tensor<1x1x4x4xf32>
func.func @even_crop(%x: tensor<1x1x12x12xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x12x12xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x12x12xf32>
  %1 = kpu.crop %0 {crops = array<i64: 2, 2, 2, 2>} : (tensor<1x1x12x12xf32>) -> tensor<1x1x8x8xf32>
  %2 = ktensor.max_pool2d %1 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x4x4xf32>
  func.return %2 : tensor<1x1x4x4xf32>
}

// -----

// A result below 4x4: the map is padded.
// CHECK-LABEL: func.func @small(%x: tensor<1x1x6x6xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x3x3xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x6x6xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x6x6xf32>
// CHECK-NEXT: %1 = kpu.pad %0 {pads = array<i64: 0, 0, 2, 2>} : (tensor<1x1x6x6xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %4 = kpu.conv2d %1, %2, %3 {kpu.moves, pool = #kpu.pool<max_2_s2>} : (tensor<1x1x8x8xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: %5 = kpu.crop %4 {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x3x3xf32>
// CHECK-NEXT: func.return %5 : tensor<1x1x3x3xf32>
func.func @small(%x: tensor<1x1x6x6xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x3x3xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x6x6xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x6x6xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x6x6xf32>) -> tensor<1x1x3x3xf32>
  func.return %1 : tensor<1x1x3x3xf32>
}

// -----

// 3x3 at stride 2, padded in front as in ResNet: maxima of two by the convolution, and of two of them by a layer that looks back.
// CHECK-LABEL: func.func @resnet(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x4x4xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>], pool = #kpu.pool<max_2_s1>} : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00]]]]> : tensor<1x1x3x3xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {kpu.moves, pool = #kpu.pool<max_2_s2>} : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: func.return %3 : tensor<1x1x4x4xf32>
func.func @resnet(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x4x4xf32> {
  %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 3, 3>, strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x4x4xf32>
  func.return %1 : tensor<1x1x4x4xf32>
}

// -----

// Values that can be negative, but not below -1, are raised in front and lowered again by the last layer.
// CHECK-LABEL: func.func @bounded(%x: tensor<1x1x24x24xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x24x24xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<tanh>]} : (tensor<1x1x24x24xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x24x24xf32>
// CHECK-NEXT: %1 = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<1.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %3 = kpu.conv2d %0, %1, %2 {depthwise = true} : (tensor<1x1x24x24xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x24x24xf32>
// CHECK-NEXT: %4 = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %5 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %6 = kpu.conv2d %3, %4, %5 {kpu.moves, pool = #kpu.pool<max_2_s1>} : (tensor<1x1x24x24xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x24x24xf32>
// CHECK-NEXT: %7 = ktensor.constant dense<{{\[\[}}{{\[\[}}1.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00]]]]> : tensor<1x1x3x3xf32>
// CHECK-NEXT: %8 = ktensor.constant dense<-1.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %9 = kpu.conv2d %6, %7, %8 {pool = #kpu.pool<max_2_s1>} : (tensor<1x1x24x24xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x24x24xf32>
// CHECK-NEXT: func.return %9 : tensor<1x1x24x24xf32>
func.func @bounded(%x: tensor<1x1x24x24xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x24x24xf32> {
  %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<tanh>]} : (tensor<1x1x24x24xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x24x24xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x1x24x24xf32>) -> tensor<1x1x24x24xf32>
  func.return %1 : tensor<1x1x24x24xf32>
}

// -----

// Values of any sign are padded with a number below all of them.
// CHECK-LABEL: func.func @unbounded(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x8x8xf32> {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %1 = kpu.pad %0 {pads = array<i64: 1, 1, 1, 1>, value = -1.000000e+30 : f64} : (tensor<1x1x8x8xf32>) -> tensor<1x1x10x10xf32>
// CHECK-NEXT: %2 = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %3 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %4 = kpu.conv2d %1, %2, %3 {kpu.moves, pool = #kpu.pool<max_2_s1>} : (tensor<1x1x10x10xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x10x10xf32>
// CHECK-NEXT: %5 = ktensor.constant dense<1.000000e+00> : tensor<1x1x1x1xf32>
// CHECK-NEXT: %6 = ktensor.constant dense<0.000000e+00> : tensor<1xf32>
// CHECK-NEXT: %7 = kpu.conv2d %4, %5, %6 {kpu.moves, pool = #kpu.pool<max_2_s1>} : (tensor<1x1x10x10xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x1x10x10xf32>
// CHECK-NEXT: %8 = kpu.crop %7 {crops = array<i64: 0, 0, 2, 2>} : (tensor<1x1x10x10xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: func.return %8 : tensor<1x1x8x8xf32>
func.func @unbounded(%x: tensor<1x1x8x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1x8x8xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x8x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x8x8xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 3, 3>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x1x8x8xf32>) -> tensor<1x1x8x8xf32>
  func.return %1 : tensor<1x1x8x8xf32>
}

// -----

// The maximum of a whole map is that of ever smaller ones; of an odd number of rows, maxima of two neighbours come first.
// CHECK-LABEL: func.func @whole(%x: tensor<1x1x9x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1xf32> {
// CHECK-NEXT: %[[a:.*]] = kpu.conv2d %x, %w, %b {pool = #kpu.pool<max_2_s1>} : (tensor<1x1x9x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x9x8xf32>
// CHECK: %[[b:.*]] = kpu.conv2d %[[a]], %{{.*}}, %{{.*}} {kpu.moves, pool = #kpu.pool<max_2_s2>} : {{.*}} -> tensor<1x1x4x4xf32>
// CHECK: %[[c:.*]] = kpu.conv2d %[[b]], %{{.*}}, %{{.*}} {kpu.moves, pool = #kpu.pool<max_2_s1>}
// CHECK: %[[d:.*]] = kpu.conv2d %[[c]], %{{.*}}, %{{.*}} {kpu.moves, pool = #kpu.pool<max_2_s1>}
// CHECK: %[[e:.*]] = kpu.conv2d %[[d]], %{{.*}}, %{{.*}} {kpu.moves, pool = #kpu.pool<max_2_s1>}
// CHECK-NEXT: %[[f:.*]] = kpu.crop %[[e]] {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x1x1xf32>
// CHECK-NEXT: %[[g:.*]] = ktensor.reshape %[[f]] : (tensor<1x1x1x1xf32>) -> tensor<1x1xf32>
// CHECK-NEXT: func.return %[[g]] : tensor<1x1xf32>
func.func @whole(%x: tensor<1x1x9x8xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> tensor<1x1xf32> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x9x8xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x9x8xf32>
  %1 = ktensor.reduce<max> %0 {axes = array<i64: 2, 3>, keep_dims = false} : (tensor<1x1x9x8xf32>) -> tensor<1x1xf32>
  func.return %1 : tensor<1x1xf32>
}

// -----

// What cannot be made of pool codes, or is made by the CPU, stays.
// CHECK-LABEL: func.func @others(%x: tensor<1x1x9x9xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> (tensor<1x1x3x3xf32>, tensor<1x1x8x9xf32>, tensor<1x1x8x8xf32>, tensor<1x1x4x4xf32>, tensor<1x1x5x5xf32>, tensor<1x1x4x4xf32>) {
// CHECK-NEXT: %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x9x9xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x9x9xf32>
// CHECK-NEXT: %1 = ktensor.max_pool2d %0 {kpu.reason = "the stride is 3, pool codes have 1, 2 and 4", kernel_shape = array<i64: 3, 3>, strides = array<i64: 3, 3>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x3x3xf32>
// CHECK-NEXT: %2 = ktensor.max_pool2d %0 {kpu.reason = "a window of 2x1 with strides 1x1 has no pool code", kernel_shape = array<i64: 2, 1>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x8x9xf32>
// CHECK-NEXT: %3 = ktensor.average_pool2d %0 {kpu.reason = "padding of 1x1x1x1 is left out of the mean, layers weight all pixels alike", kernel_shape = array<i64: 4, 4>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x8x8xf32>
// CHECK-NEXT: %4 = ktensor.max_pool2d %0 {kpu.reason = "the window is dilated", kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>, dilations = array<i64: 2, 2>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: %5 = ktensor.average_pool2d %0 {kpu.reason = "padding of 0x0x1x1 is left out of the mean, layers weight all pixels alike", kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>, pads = array<i64: 0, 0, 1, 1>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x5x5xf32>
// CHECK-NEXT: %6 = ktensor.unary<sin> %0 : (tensor<1x1x9x9xf32>) -> tensor<1x1x9x9xf32>
// CHECK-NEXT: %7 = ktensor.max_pool2d %6 {kpu.reason = "what is pooled is made by the CPU", kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x4x4xf32>
// CHECK-NEXT: func.return %1, %2, %3, %4, %5, %7 : tensor<1x1x3x3xf32>, tensor<1x1x8x9xf32>, tensor<1x1x8x8xf32>, tensor<1x1x4x4xf32>, tensor<1x1x5x5xf32>, tensor<1x1x4x4xf32>
func.func @others(%x: tensor<1x1x9x9xf32>, %w: tensor<1x1x3x3xf32>, %b: tensor<1xf32>) -> (tensor<1x1x3x3xf32>, tensor<1x1x8x9xf32>, tensor<1x1x8x8xf32>, tensor<1x1x4x4xf32>, tensor<1x1x5x5xf32>, tensor<1x1x4x4xf32>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x1x9x9xf32>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> tensor<1x1x9x9xf32>
  %1 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 3, 3>, strides = array<i64: 3, 3>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x3x3xf32>
  %2 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 1>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x8x9xf32>
  %3 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 4, 4>, pads = array<i64: 1, 1, 1, 1>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x8x8xf32>
  %4 = ktensor.max_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>, dilations = array<i64: 2, 2>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x4x4xf32>
  %5 = ktensor.average_pool2d %0 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>, pads = array<i64: 0, 0, 1, 1>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x5x5xf32>
  %6 = ktensor.unary<sin> %0 : (tensor<1x1x9x9xf32>) -> tensor<1x1x9x9xf32>
  %7 = ktensor.max_pool2d %6 {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (tensor<1x1x9x9xf32>) -> tensor<1x1x4x4xf32>
  func.return %1, %2, %3, %4, %5, %7 : tensor<1x1x3x3xf32>, tensor<1x1x8x9xf32>, tensor<1x1x8x8xf32>, tensor<1x1x4x4xf32>, tensor<1x1x5x5xf32>, tensor<1x1x4x4xf32>
}
