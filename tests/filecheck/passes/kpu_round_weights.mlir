// RUN: kpu-opt %s -p 'kpu-round-weights{dataset="%S/../../../examples/digits/calibration"},dce' | filecheck %s
// RUN: kpu-opt %s -p kpu-round-weights | filecheck %s --check-prefix=NEAREST

// Without a dataset nothing changes.
// NEAREST-NOT: kpu.weight_scale

// Every weight becomes a whole number of steps, and the bias makes up for what that changes on average.
// CHECK: func.func @main
// CHECK: %1 = ktensor.constant dense<{{.*}}> : tensor<1x1x3x3xf32>
// CHECK: %2 = ktensor.constant dense<{{.*}}e-0{{.*}}> : tensor<1xf32>
// CHECK: kpu.conv2d %0, %1, %2 {kpu.weight_scale = dense<{{.*}}> : tensor<1xf64>}
func.func @main(%x: tensor<1x1x8x8x!ktensor.quantized<ui8, 0.00392156862745098, 0>> {ktensor.name = "image"}) -> tensor<1x1x8x8x!ktensor.quantized<ui8, 0.02, 128>> {
  %0 = kpu.upload %x : (tensor<1x1x8x8x!ktensor.quantized<ui8, 0.00392156862745098, 0>>) -> !kpu.fmap<1x1x8x8, 0.00392156862745098, 0>
  %w = ktensor.constant dense<[[[[0.3141, -0.4711, 0.8317], [0.5923, -0.6137, 0.2946], [0.9772, 0.4369, -0.7388]]]]> : tensor<1x1x3x3xf32>
  %b = ktensor.constant dense<[0.0]> : tensor<1xf32>
  %1 = kpu.conv2d %0, %w, %b : (!kpu.fmap<1x1x8x8, 0.00392156862745098, 0>, tensor<1x1x3x3xf32>, tensor<1xf32>) -> !kpu.fmap<1x1x8x8, 0.02, 128>
  %2 = kpu.download %1 : (!kpu.fmap<1x1x8x8, 0.02, 128>) -> tensor<1x1x8x8x!ktensor.quantized<ui8, 0.02, 128>>
  func.return %2 : tensor<1x1x8x8x!ktensor.quantized<ui8, 0.02, 128>>
}
