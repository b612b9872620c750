// RUN: kpu-opt %s -p 'ktensor-keep-float{layers="conv*","sum"}' | filecheck %s
// RUN: kpu-opt %s -p 'ktensor-keep-float{layers="conv*","sum"},kpu-legalize' | filecheck %s --check-prefix=LEGAL
// RUN: exits 2 kpu-opt %s -p 'ktensor-keep-float{layers="convx"}' 2>&1 | filecheck %s --check-prefix=UNKNOWN

// UNKNOWN:      error: there is no layer 'convx' to keep in float
// UNKNOWN-NEXT: hint: did you mean conv1

// CHECK-LABEL: @main
// LEGAL-LABEL: @main
func.func @main(%x: tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32> {
  %w = ktensor.constant dense<0.5> : tensor<4x4x3x3xf32>

  // The function right behind a layer stays with it.
  // CHECK:      ktensor.conv2d %x, %w {kpu.reason = "it was asked to stay in float",
  // CHECK-NEXT: ktensor.activation<relu> {{.*}}kpu.reason = "it was asked to stay in float"
  // LEGAL:      ktensor.conv2d
  // LEGAL-NEXT: ktensor.activation
  %a = ktensor.conv2d %x, %w {pads = array<i64: 1, 1, 1, 1>}
    : (tensor<1x4x8x8xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x8x8xf32> loc("conv1")
  %b = ktensor.activation<relu> %a : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32> loc("relu1")

  // Others are layers of the KPU.
  // CHECK-NEXT: ktensor.conv2d {{%.+}}, %w {pads =
  // LEGAL:      kpu.conv2d
  %c = ktensor.conv2d %b, %w {pads = array<i64: 1, 1, 1, 1>}
    : (tensor<1x4x8x8xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x8x8xf32> loc("other")

  // CHECK-NEXT: ktensor.binary<add> {{.*}}kpu.reason = "it was asked to stay in float"
  // LEGAL-NOT:  kpu.conv2d
  // LEGAL:      ktensor.binary
  %d = ktensor.binary<add> %c, %b
    : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32> loc("sum")
  func.return %d : tensor<1x4x8x8xf32>
}
