// RUN: kpu-opt %s -p 'kpu-legalize-flattened{flattened=kpu}' --split-input-file | filecheck %s
// RUN: kpu-opt %s -p kpu-legalize-flattened --split-input-file | filecheck %s --check-prefix=AUTO

// Four copies see all of 4x4 pixels around the pixel (1, 1).
// CHECK-LABEL: @flattened
// CHECK-COUNT-3: kpu.conv2d {{.*}}{kpu.moves, depthwise = true}
// CHECK: kpu.concat
// CHECK-SAME: -> tensor<1x16x4x4xf32>
// CHECK: kpu.conv2d {{.*}} -> tensor<1x2x4x4xf32>
// CHECK: kpu.crop %{{.*}} {crops = array<i64: 1, 1, 2, 2>}
// CHECK: ktensor.reshape
// CHECK-SAME: -> tensor<1x2xf32>
// CHECK-NOT: ktensor.matmul
// AUTO-LABEL: @flattened
// AUTO: ktensor.matmul
func.func @flattened(%x: tensor<1x4x4x4xf32>, %w: tensor<4x4x1x1xf32>) -> tensor<1x2xf32> {
  %v = ktensor.constant dense<1.0> : tensor<64x2xf32>
  %f = ktensor.conv2d %x, %w : (tensor<1x4x4x4xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x4x4xf32>
  %r = ktensor.reshape %f : (tensor<1x4x4x4xf32>) -> tensor<1x64xf32>
  %y = ktensor.matmul %r, %v : (tensor<1x64xf32>, tensor<64x2xf32>) -> tensor<1x2xf32>
  func.return %y : tensor<1x2xf32>
}

// -----

// Of a map that is not made by the KPU, and of several rows, nothing changes.
// CHECK-LABEL: @others
// CHECK-COUNT-2: ktensor.matmul
func.func @others(%x: tensor<1x4x4x4xf32>, %y: tensor<2x4x4x4xf32>, %w: tensor<4x4x1x1xf32>) -> (tensor<1x2xf32>, tensor<2x2xf32>) {
  %v = ktensor.constant dense<1.0> : tensor<64x2xf32>
  %r = ktensor.reshape %x : (tensor<1x4x4x4xf32>) -> tensor<1x64xf32>
  %0 = ktensor.matmul %r, %v : (tensor<1x64xf32>, tensor<64x2xf32>) -> tensor<1x2xf32>
  %f = ktensor.conv2d %y, %w : (tensor<2x4x4x4xf32>, tensor<4x4x1x1xf32>) -> tensor<2x4x4x4xf32>
  %s = ktensor.reshape %f : (tensor<2x4x4x4xf32>) -> tensor<2x64xf32>
  %1 = ktensor.matmul %s, %v : (tensor<2x64xf32>, tensor<64x2xf32>) -> tensor<2x2xf32>
  func.return %0, %1 : tensor<1x2xf32>, tensor<2x2xf32>
}
