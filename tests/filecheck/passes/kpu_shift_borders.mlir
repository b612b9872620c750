// RUN: kpu-opt %s -p 'kpu-shift-borders{borders=shift}' --split-input-file | filecheck %s
// RUN: kpu-opt %s -p kpu-shift-borders --split-input-file | filecheck %s --check-prefix=AUTO

// So small a map makes a shorter trip through main RAM.
// AUTO-NOT: depthwise


// A 3x3 map in 4x4: down and right, where the last row and column are lost, and back, by which zeros come in.
// CHECK-LABEL: @small
// CHECK: %[[first:.*]] = ktensor.constant dense<[{{\[}}{{\[}}[1.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00]
// CHECK: %[[f:.*]] = kpu.conv2d %{{.*}}, %[[first]], %{{.*}} {kpu.moves, depthwise = true}
// CHECK: %[[second:.*]] = ktensor.constant dense<[{{\[}}{{\[}}[0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 1.000000e+00]
// CHECK: %[[g:.*]] = kpu.conv2d %[[f]], %[[second]], %{{.*}} {kpu.moves, depthwise = true}
// CHECK-NOT: kpu.crop
// CHECK: func.return %[[g]]
func.func @small(%x: tensor<1x2x4x4xf32>, %w: tensor<2x2x1x1xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4xf32> {
  %f = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %c = kpu.crop %f {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x3x3xf32>
  %p = kpu.pad %c {pads = array<i64: 0, 0, 1, 1>} : (tensor<1x2x3x3xf32>) -> tensor<1x2x4x4xf32>
  func.return %p : tensor<1x2x4x4xf32>
}

// -----

// What the paddings exceed the crops by is padded afterwards.
// CHECK-LABEL: @grown
// CHECK: kpu.conv2d {{.*}}depthwise = true
// CHECK: kpu.pad %{{.*}} {pads = array<i64: 0, 0, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x5x5xf32>
func.func @grown(%x: tensor<1x2x4x4xf32>, %w: tensor<2x2x1x1xf32>, %b: tensor<2xf32>) -> tensor<1x2x5x5xf32> {
  %f = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
  %c = kpu.crop %f {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x3x3xf32>
  %p = kpu.pad %c {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x2x3x3xf32>) -> tensor<1x2x5x5xf32>
  func.return %p : tensor<1x2x5x5xf32>
}

// -----

// What the CPU has made stays its own.
// CHECK-LABEL: @cpu
// CHECK: kpu.crop
// CHECK: kpu.pad
func.func @cpu(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> {
  %f = ktensor.activation<exp> %x : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
  %c = kpu.crop %f {crops = array<i64: 0, 0, 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x3x3xf32>
  %p = kpu.pad %c {pads = array<i64: 0, 0, 1, 1>} : (tensor<1x2x3x3xf32>) -> tensor<1x2x4x4xf32>
  func.return %p : tensor<1x2x4x4xf32>
}
