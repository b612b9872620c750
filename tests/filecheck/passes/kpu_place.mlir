// RUN: kpu-opt %s -p kpu-place,dce --split-input-file | filecheck %s

// One upload, nothing leaves KPU RAM in between, one download.
// CHECK-LABEL: func.func @main(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>, %w: tensor<2x2x1x1xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>> {
// CHECK-NEXT: %0 = kpu.upload %x : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> !kpu.fmap<1x2x4x4, 1.000000e+00, 0>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b : (!kpu.fmap<1x2x4x4, 1.000000e+00, 0>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> !kpu.fmap<1x2x4x4, 2.000000e+00, 0>
// CHECK-NEXT: %2 = kpu.conv2d %1, %w, %b : (!kpu.fmap<1x2x4x4, 2.000000e+00, 0>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> !kpu.fmap<1x2x4x4, 4.000000e+00, 0>
// CHECK-NEXT: %3 = kpu.download %2 : (!kpu.fmap<1x2x4x4, 4.000000e+00, 0>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>>
// CHECK-NEXT: func.return %3 : tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>>
func.func @main(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.0, 0>>, %w: tensor<2x2x1x1xf32>, %b: tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 4.0, 0>> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.0, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 2.0, 0>>
  %1 = kpu.conv2d %0, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 2.0, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 4.0, 0>>
  func.return %1 : tensor<1x2x4x4x!ktensor.quantized<ui8, 4.0, 0>>
}

// -----

// Two layers share the upload of what both read.
// CHECK-LABEL: func.func @main(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>, %w: tensor<2x2x1x1xf32>, %b: tensor<2xf32>) -> (tensor<1x2x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>, tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>>) {
// CHECK-NEXT: %0 = kpu.upload %x : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.000000e+00, 0>>) -> !kpu.fmap<1x2x4x4, 1.000000e+00, 0>
// CHECK-NEXT: %1 = kpu.conv2d %0, %w, %b : (!kpu.fmap<1x2x4x4, 1.000000e+00, 0>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> !kpu.fmap<1x2x4x4, 2.000000e+00, 0>
// CHECK-NEXT: %2 = kpu.download %1 : (!kpu.fmap<1x2x4x4, 2.000000e+00, 0>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>
// CHECK-NEXT: %3 = kpu.conv2d %0, %w, %b : (!kpu.fmap<1x2x4x4, 1.000000e+00, 0>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> !kpu.fmap<1x2x4x4, 4.000000e+00, 0>
// CHECK-NEXT: %4 = kpu.download %3 : (!kpu.fmap<1x2x4x4, 4.000000e+00, 0>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>>
// CHECK-NEXT: func.return %2, %4 : tensor<1x2x4x4x!ktensor.quantized<ui8, 2.000000e+00, 0>>, tensor<1x2x4x4x!ktensor.quantized<ui8, 4.000000e+00, 0>>
func.func @main(%x: tensor<1x2x4x4x!ktensor.quantized<ui8, 1.0, 0>>, %w: tensor<2x2x1x1xf32>, %b: tensor<2xf32>) -> (tensor<1x2x4x4x!ktensor.quantized<ui8, 2.0, 0>>, tensor<1x2x4x4x!ktensor.quantized<ui8, 4.0, 0>>) {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.0, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 2.0, 0>>
  %1 = kpu.conv2d %x, %w, %b : (tensor<1x2x4x4x!ktensor.quantized<ui8, 1.0, 0>>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4x!ktensor.quantized<ui8, 4.0, 0>>
  func.return %0, %1 : tensor<1x2x4x4x!ktensor.quantized<ui8, 2.0, 0>>, tensor<1x2x4x4x!ktensor.quantized<ui8, 4.0, 0>>
}

// -----

// Pads, crops, views and concatenations between layers stay in KPU RAM; what is no layer's result is copied to get out.
// CHECK-LABEL: func.func @main
// CHECK: %[[f:.*]] = kpu.conv2d {{.*}} -> !kpu.fmap<1x8x8x8, 2.000000e+00, 0>
// CHECK: %[[p:.*]] = kpu.pad %[[f]] {pads = array<i64: 1, 0, 0, 0>} : (!kpu.fmap<1x8x8x8, 2.000000e+00, 0>) -> !kpu.fmap<1x8x9x8, 2.000000e+00, 0>
// CHECK: %[[c:.*]] = kpu.crop %[[p]] {crops = array<i64: 0, 0, 0, 1>}
// CHECK: %[[s:.*]] = kpu.channel_slice %[[c]] {begin = 4 : i64, channels = 4 : i64}
// CHECK: %[[j:.*]] = kpu.concat %[[s]], %[[c]]
// CHECK: %[[k:.*]] = kpu.conv2d %[[j]], %{{.*}}, %{{.*}} {kpu.moves, depthwise = true}
// CHECK: kpu.download %[[k]]
func.func @main(%x: tensor<1x8x8x8x!ktensor.quantized<ui8, 1.0, 0>>, %w: tensor<8x8x1x1xf32>, %b: tensor<8xf32>) -> tensor<1x12x9x7x!ktensor.quantized<ui8, 2.0, 0>> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x8x8x8x!ktensor.quantized<ui8, 1.0, 0>>, tensor<8x8x1x1xf32>, tensor<8xf32>) -> tensor<1x8x8x8x!ktensor.quantized<ui8, 2.0, 0>>
  %1 = kpu.pad %0 {pads = array<i64: 1, 0, 0, 0>} : (tensor<1x8x8x8x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x8x9x8x!ktensor.quantized<ui8, 2.0, 0>>
  %2 = kpu.crop %1 {crops = array<i64: 0, 0, 0, 1>} : (tensor<1x8x9x8x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x8x9x7x!ktensor.quantized<ui8, 2.0, 0>>
  %3 = kpu.channel_slice %2 {begin = 4 : i64, channels = 4 : i64} : (tensor<1x8x9x7x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x4x9x7x!ktensor.quantized<ui8, 2.0, 0>>
  %4 = kpu.concat %3, %2 : (tensor<1x4x9x7x!ktensor.quantized<ui8, 2.0, 0>>, tensor<1x8x9x7x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x12x9x7x!ktensor.quantized<ui8, 2.0, 0>>
  func.return %4 : tensor<1x12x9x7x!ktensor.quantized<ui8, 2.0, 0>>
}

// -----

// Of a map of which one pixel is wanted, four columns are copied and downloaded: less than all seven.
// CHECK-LABEL: func.func @narrow
// CHECK: %[[f:.*]] = kpu.conv2d
// CHECK: %[[c:.*]] = kpu.crop %[[f]] {crops = array<i64: 0, 0, 0, 3>} : {{.*}} -> !kpu.fmap<1x512x7x4
// CHECK: %[[k:.*]] = kpu.conv2d %[[c]], %{{.*}}, %{{.*}} {kpu.moves, depthwise = true}
// CHECK: %[[d:.*]] = kpu.download %[[k]]
// CHECK: kpu.crop %[[d]] {{.*}}crops = array<i64: 3, 3, 3, 0>
func.func @narrow(%x: tensor<1x8x7x7x!ktensor.quantized<ui8, 1.0, 0>>, %w: tensor<512x8x1x1xf32>, %b: tensor<512xf32>) -> tensor<1x512x1x1x!ktensor.quantized<ui8, 2.0, 0>> {
  %0 = kpu.conv2d %x, %w, %b : (tensor<1x8x7x7x!ktensor.quantized<ui8, 1.0, 0>>, tensor<512x8x1x1xf32>, tensor<512xf32>) -> tensor<1x512x7x7x!ktensor.quantized<ui8, 2.0, 0>>
  %1 = kpu.crop %0 {crops = array<i64: 3, 3, 3, 3>} : (tensor<1x512x7x7x!ktensor.quantized<ui8, 2.0, 0>>) -> tensor<1x512x1x1x!ktensor.quantized<ui8, 2.0, 0>>
  func.return %1 : tensor<1x512x1x1x!ktensor.quantized<ui8, 2.0, 0>>
}
