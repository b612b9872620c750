// RUN: kpu-opt %s -p kpu-explain | filecheck %s
// RUN: exits 1 kpu-opt %s -p kpu-explain{require=true} 2>&1 | filecheck %s --check-prefix=REQUIRED
// RUN: kpu-opt %s -p kpu-explain,kpu-assume-ranges,kpu-quantize,kpu-place,kpu-select-registers,kbuf-lower \
// RUN:   | filecheck %s --check-prefix=LOWERED

// CHECK-LABEL: @main
func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> {
  %w = ktensor.constant dense<1.0> : tensor<3x3x1x1xf32>
  %v = ktensor.constant dense<0.5> : tensor<3x3x5x5xf32>
  %b = ktensor.constant dense<0.0> : tensor<3xf32>

  // A layer says nothing, what stands around it does.
  // CHECK:      kpu.pad %x {kpu.reason = "the KPU pads one pixel of a 3x3 convolution, nothing else",
  // CHECK-NEXT: kpu.conv2d {{%.+}}, %w, %b :
  %p = kpu.pad %x {pads = array<i64: 1, 1, 1, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x10x10xf32>
  %c = kpu.conv2d %p, %w, %b
    : (tensor<1x3x10x10xf32>, tensor<3x3x1x1xf32>, tensor<3xf32>) -> tensor<1x3x10x10xf32>

  // What legalization found is kept.
  // CHECK:      ktensor.conv2d
  // CHECK-SAME:   kpu.reason = "the kernel is 5x5, the KPU has 1x1 and 3x3"
  // REQUIRED:      error: 2 layers cannot run on the KPU:
  // REQUIRED-NEXT:   wide: ktensor.conv2d: the kernel is 5x5, the KPU has 1x1 and 3x3; use 1x1 or 3x3
  // REQUIRED-NEXT:   product: ktensor.matmul: the right operand is no constant matrix; store the weights
  // REQUIRED-NEXT: hint: it is an error because the KPU is required
  %d = ktensor.conv2d %c, %v {pads = array<i64: 1, 1, 1, 1>,
    kpu.reason = "the kernel is 5x5, the KPU has 1x1 and 3x3"}
    : (tensor<1x3x10x10xf32>, tensor<3x3x5x5xf32>) -> tensor<1x3x8x8xf32> loc("wide")
  %m = ktensor.matmul %d, %d {kpu.reason = "the right operand is no constant matrix"}
    : (tensor<1x3x8x8xf32>, tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> loc("product")

  // What has no reason of its own has that of its kind, and what it is decomposed into has it too.
  // CHECK:      ktensor.activation<sigmoid>
  // CHECK-SAME:   kpu.reason = "the KPU computes functions of one variable in its layers only
  // LOWERED:      kbuf.unary %
  // LOWERED-SAME:   kpu.reason = "the KPU computes functions of one variable in its layers only
  // LOWERED:      kbuf.unary %
  // LOWERED-SAME:   kpu.reason = "the KPU computes functions of one variable in its layers only
  %s = ktensor.activation<sigmoid> %m : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  func.return %s : tensor<1x3x8x8xf32>
}
