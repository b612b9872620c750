// RUN: kpu-opt %s -p 'kpu-legalize-global-pools{means=kpu}' --split-input-file | filecheck %s
// RUN: kpu-opt %s -p kpu-legalize-global-pools --split-input-file | filecheck %s --check-prefix=AUTO

// The mean of a 3x3 map and a matrix product: one 3x3 convolution, and a crop of its centre.
// CHECK-LABEL: @product
// CHECK: %[[f:.*]] = kpu.conv2d %x
// CHECK: %[[w:.*]] = ktensor.constant dense<0.222222224> : tensor<2x2x3x3xf32>
// CHECK: %[[y:.*]] = kpu.conv2d %[[f]], %[[w]], %{{.*}} {activation = [#ktensor.activation<relu>]}
// CHECK: %[[z:.*]] = kpu.crop %[[y]] {crops = array<i64: 1, 1, 2, 2>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>
// CHECK: func.return %[[z]]
func.func @product(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32> {
  %w = ktensor.constant dense<2.0> : tensor<2x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<2xf32>
  %f = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %c = kpu.crop %f {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x3x3xf32>
  %m = ktensor.average_pool2d %c {kernel_shape = array<i64: 3, 3>} : (tensor<1x2x3x3xf32>) -> tensor<1x2x1x1xf32>
  %p = kpu.pad %m {pads = array<i64: 0, 0, 3, 3>} : (tensor<1x2x1x1xf32>) -> tensor<1x2x4x4xf32>
  %y = kpu.conv2d %p, %w, %b {activation = [#ktensor.activation<relu>]} : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %z = kpu.crop %y {crops = array<i64: 0, 0, 3, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>
  func.return %z : tensor<1x2x1x1xf32>
}

// -----

// Blocks of rows become channels, which a last layer adds.
// CHECK-LABEL: @folded
// CHECK: kpu.fold_rows %{{.*}} {factor = 5 : i64} : (tensor<1x4x25x4xf32>) -> tensor<1x20x5x4xf32>
// CHECK: kpu.conv2d {{.*}}depthwise = true
// CHECK: kpu.conv2d {{.*}} -> tensor<1x4x5x4xf32>
// CHECK: kpu.crop %{{.*}} {crops = array<i64: 2, 2, 2, 1>}
// CHECK: ktensor.reshape
// AUTO-LABEL: @folded
// AUTO: ktensor.reduce<mean> %{{.*}} {kpu.reason = "the CPU takes
func.func @folded(%x: tensor<1x2x25x4xf32>) -> tensor<1x4xf32> {
  %w = ktensor.constant dense<2.0> : tensor<4x2x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<4xf32>
  %f = kpu.conv2d %x, %w, %b : (tensor<1x2x25x4xf32>, tensor<4x2x1x1xf32>, tensor<4xf32>) -> tensor<1x4x25x4xf32>
  %m = ktensor.reduce<mean> %f {axes = array<i64: 2, 3>, keep_dims = false} : (tensor<1x4x25x4xf32>) -> tensor<1x4xf32>
  func.return %m : tensor<1x4xf32>
}

// -----

// CHECK-LABEL: @refused
// CHECK: kpu.reason = "what is averaged is made by the CPU"
// CHECK: kpu.reason = "sums of 33x33 pixels, layers add up to 8 in a row without too much rounding"
// CHECK: kpu.reason = "2 images, the mean is taken of 1"
func.func @refused(%x: tensor<1x2x33x33xf32>, %z: tensor<2x2x8x8xf32>) -> (tensor<1x2x1x1xf32>, tensor<1x2x1x1xf32>, tensor<2x2x1x1xf32>) {
  %e = ktensor.activation<exp> %x : (tensor<1x2x33x33xf32>) -> tensor<1x2x33x33xf32>
  %0 = ktensor.average_pool2d %e {kernel_shape = array<i64: 33, 33>} : (tensor<1x2x33x33xf32>) -> tensor<1x2x1x1xf32>
  %1 = ktensor.average_pool2d %x {kernel_shape = array<i64: 33, 33>} : (tensor<1x2x33x33xf32>) -> tensor<1x2x1x1xf32>
  %2 = ktensor.average_pool2d %z {kernel_shape = array<i64: 8, 8>} : (tensor<2x2x8x8xf32>) -> tensor<2x2x1x1xf32>
  func.return %0, %1, %2 : tensor<1x2x1x1xf32>, tensor<1x2x1x1xf32>, tensor<2x2x1x1xf32>
}

// -----

// Zeros behind the map make its size even; 2x2 pixels are added and picked. Of the kernels for 7 pixels the one with a
// negative middle is between the others; the last has 196 / 169 of its weights.
// CHECK-LABEL: @odd
// CHECK: %[[p:.*]] = kpu.pad %x {pads = array<i64: 0, 0, 1, 1>} : (tensor<1x1x13x13xf32>) -> tensor<1x1x14x14xf32>
// CHECK: ktensor.constant dense<{{.*}} [0.000000e+00, 2.500000e-01, 2.500000e-01], [0.000000e+00, 2.500000e-01, 2.500000e-01]
// CHECK: kpu.conv2d %[[p]], %{{.*}}, %{{.*}} {pool = #kpu.pool<left_top_2_s2>}
// CHECK: ktensor.constant dense<{{\[\[}}{{\[\[}}0.10757{{[0-9]+}}, 0.04787{{[0-9]+}}, 0.10757
// CHECK: ktensor.constant dense<{{\[\[}}{{\[\[}}1.76354{{[0-9]+}}, -2.19910{{[0-9]+}}, 1.76354
// CHECK: ktensor.constant dense<{{\[\[}}{{\[\[}}0.12476{{[0-9]+}}, 0.22481{{[0-9]+}}, 0.12476
// CHECK: kpu.crop %{{.*}} {crops = array<i64: 3, 3, 3, 3>} : (tensor<1x1x7x7xf32>) -> tensor<1x1x1x1xf32>
func.func @odd(%x: tensor<1x1x13x13xf32>) -> tensor<1x1x1x1xf32> {
  %0 = ktensor.average_pool2d %x {kernel_shape = array<i64: 13, 13>} : (tensor<1x1x13x13xf32>) -> tensor<1x1x1x1xf32>
  func.return %0 : tensor<1x1x1x1xf32>
}
