// RUN: kpu-opt %s -p 'kpu-reorder-ports{inputs=NHWC outputs=NHWC}' | filecheck %s
// RUN: kpu-opt %s -p 'kpu-reorder-ports{inputs=model}' | filecheck %s --check-prefix=MODEL
// RUN: kpu-opt %s -p kpu-reorder-ports | filecheck %s --check-prefix=NONE

// CHECK: func.func @main(%x: tensor<1x8x6x3xf32> {ktensor.layout = "NCHW"}, %y: tensor<1x8x6x3xf32>, %v: tensor<1x3xf32>)
// CHECK-SAME: -> (tensor<1x8x6x3xf32> {ktensor.layout = "NCHW"}, tensor<1x3xf32>)
// CHECK-DAG: ktensor.transpose %x {permutation = array<i64: 0, 3, 1, 2>}
// CHECK-DAG: ktensor.transpose %y {permutation = array<i64: 0, 3, 1, 2>}
// CHECK: ktensor.transpose %{{.*}} {permutation = array<i64: 0, 2, 3, 1>}

// MODEL: func.func @main(%x: tensor<1x3x8x6xf32>, %y: tensor<1x8x6x3xf32>, %v: tensor<1x3xf32>)
// MODEL-SAME: -> (tensor<1x3x8x6xf32>, tensor<1x3xf32>)

// NONE: func.func @main(%x: tensor<1x3x8x6xf32>, %y: tensor<1x3x8x6xf32> {ktensor.layout = "NHWC"}, %v: tensor<1x3xf32>)
// NONE-NOT: transpose
func.func @main(%x: tensor<1x3x8x6xf32>, %y: tensor<1x3x8x6xf32> {ktensor.layout = "NHWC"}, %v: tensor<1x3xf32>) -> (tensor<1x3x8x6xf32>, tensor<1x3xf32>) {
  %z = ktensor.binary<add> %x, %y : (tensor<1x3x8x6xf32>, tensor<1x3x8x6xf32>) -> tensor<1x3x8x6xf32>
  return %z, %v : tensor<1x3x8x6xf32>, tensor<1x3xf32>
}
