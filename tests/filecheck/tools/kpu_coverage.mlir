// RUN: kpu-opt %s -p kpu-coverage | filecheck %s
// RUN: kpu-opt %s -p kpu-coverage -t 'kpu-coverage{format=json}' | filecheck %s --check-prefix=JSON
// RUN: kpu-opt %s -p kpu-coverage -t 'kpu-coverage{format=html}' | filecheck %s --check-prefix=HTML
// RUN: kpu-opt %s -t kpu-coverage | filecheck %s --check-prefix=FLOAT
// RUN: exits 2 kpu-opt %s -t 'kpu-coverage{form=json}' 2>&1 | filecheck %s --check-prefix=OPTION

// Two layers, and between them what no layer can do: each crossing says for what it is.
// CHECK:      layer  op {{.*}} where {{.*}} ms  detour  why
// CHECK-NEXT: first  kpu_conv2d {{.*}} KPU {{.*}}
// CHECK-NEXT: first  kpu_download {{.*}} transfer {{.*}} binary<div> (gate) is on the CPU: the KPU has no div of two maps
// CHECK-NEXT: gate   dequantize {{.*}} CPU {{.*}} binary<div> (gate) is on the CPU
// CHECK-NEXT: gate   binary<div> {{.*}} CPU {{.*}} the KPU has no div of two maps
// CHECK-NEXT: hint: add maps, or multiply by constants
// CHECK-NEXT: last   quantize {{.*}} CPU {{.*}} binary<div> (gate) is on the CPU
// CHECK-NEXT: last   kpu_upload {{.*}} transfer {{.*}} binary<div> (gate) is on the CPU
// CHECK-NEXT: last   kpu_conv2d {{.*}} KPU
// CHECK-NEXT: last   kpu_download {{.*}} transfer {{.*}} output 'output0' is read from main RAM
// CHECK:      ms at 400 MHz: {{.*}} on the KPU, {{.*}} on the CPU, {{.*}} in 1 uploads and 2 downloads

// JSON:      "layers": [
// JSON:        "op": "binary<div>",
// JSON-NEXT:   "where": "CPU",
// JSON-NEXT:   "reason": "the KPU has no div of two maps, only sums, and products with constants",
// JSON-NEXT:   "hint": "add maps, or multiply by constants",
// JSON:      "totals": {
// JSON:        "kpu_layers": 2,
// JSON:        "uploads": 1,
// JSON-NEXT:   "downloads": 2

// HTML:      <!DOCTYPE html>
// HTML:      <tr class="CPU"><td>gate</td><td>binary&lt;div&gt;</td><td>CPU</td>

// Before lowering there are places and reasons, and no times.
// FLOAT:      first  conv2d  KPU    0.000
// FLOAT-NEXT: gate   binary  CPU    0.000 {{.*}} the KPU adds and multiplies by constant weights only

// OPTION:      error: target 'kpu-coverage': Provided arguments ["form"] not found
func.func @main(%x: tensor<1x3x8x8xf32>, %g: tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> {
  %w = ktensor.constant dense<0.5> : tensor<3x3x3x3xf32>
  %b = ktensor.constant dense<0.0> : tensor<3xf32>
  %c = kpu.conv2d %x, %w, %b
    : (tensor<1x3x8x8xf32>, tensor<3x3x3x3xf32>, tensor<3xf32>) -> tensor<1x3x8x8xf32> loc("first")
  %m = ktensor.binary<div> %c, %g
    : (tensor<1x3x8x8xf32>, tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> loc("gate")
  %d = kpu.conv2d %m, %w, %b
    : (tensor<1x3x8x8xf32>, tensor<3x3x3x3xf32>, tensor<3xf32>) -> tensor<1x3x8x8xf32> loc("last")
  func.return %d : tensor<1x3x8x8xf32>
}
