// RUN: kpu-opt %s -p kbuf-legalize-v3 | filecheck %s
// RUN: kpu-opt %s -p kbuf-legalize-v3,kbuf-legalize-v3 | filecheck %s

// The input comes in KPU RAM, and a first layer sends it to main RAM. Means over whole maps and softmax have layers of
// their own; a crop to the first pixels is taken for one, and a slice is a copy of ranges.

builtin.module attributes {kbuf.version = "v3"} {
  func.func @main() {
    %x = kbuf.alloc : memref<1x2x4x4xui8, #kbuf.space<main>>
    kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 2, 4, 4>, name = "image"} : memref<1x2x4x4xui8, #kbuf.space<main>>
    %f = kbuf.alloc : memref<1x2x4x4xf32, #kbuf.space<main>>
    kbuf.dequantize %x -> %f {zero_point = 128 : i64, scale = 2.0 : f32} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x4x4xf32, #kbuf.space<main>>
    %m = kbuf.alloc : memref<1x2x1x1xf32, #kbuf.space<main>>
    kbuf.reduce %f -> %m {op = #kbuf.reduce_kind<mean>, in_shape = array<i64: 1, 2, 4, 4>, out_shape = array<i64: 1, 2, 1, 1>, init = 0.0 : f32} : memref<1x2x4x4xf32, #kbuf.space<main>> -> memref<1x2x1x1xf32, #kbuf.space<main>>
    %s = kbuf.alloc : memref<1x2x1x1xf32, #kbuf.space<main>>
    kbuf.softmax %m -> %s {inner_size = 2 : i64, outer_size = 1 : i64, beta = 1.0 : f32} : memref<1x2x1x1xf32, #kbuf.space<main>> -> memref<1x2x1x1xf32, #kbuf.space<main>>
    %c = kbuf.alloc : memref<1x2x1x1xui8, #kbuf.space<main>>
    kbuf.pad %x -> %c {in_shape = array<i64: 1, 2, 4, 4>, paddings = array<i64: 0, 0, 0, 0, 0, -3, 0, -3>, value = dense<0> : tensor<4xui8>} : memref<1x2x4x4xui8, #kbuf.space<main>> -> memref<1x2x1x1xui8, #kbuf.space<main>>
    kbuf.output %s {index = 0 : i64} : memref<1x2x1x1xf32, #kbuf.space<main>>
    kbuf.output %c {index = 1 : i64} : memref<1x2x1x1xui8, #kbuf.space<main>>
    func.return
  }
}

// CHECK:      %[[MAIN:.*]] = kbuf.alloc : memref<1x2x4x4xui8, #kbuf.space<main>>
// CHECK:      %[[INPUT:.*]] = kbuf.alloc : memref<1x2x4x4xui8, #kbuf.space<kpu>>
// CHECK-NEXT: kbuf.input %[[INPUT]] {{.*}}name = "image"
// CHECK-NEXT: %[[COPY:.*]] = kbuf.alloc : memref<1x2x4x4xui8, #kbuf.space<kpu>>
// CHECK-NEXT: kbuf.kpu_conv2d %[[INPUT]] -> %[[COPY]] main %[[MAIN]]
// CHECK:      kbuf.v3_dequantize %[[MAIN]] -> %{{.*}} {count = 32 : i64, scale = 5.000000e-01 : f32, bias = -6.400000e+01 : f32}
// CHECK:      kbuf.v3_global_average_pool2d %{{.*}} -> %{{.*}} {{{.*}}channels = 2 : i64, kernel_size = 16 : i64}
// CHECK:      kbuf.v3_softmax %{{.*}} -> %{{.*}} {{{.*}}channels = 2 : i64}
// CHECK:      kbuf.v3_k210_remove_padding %[[MAIN]] -> %{{.*}} {{{.*}}channels = 2 : i64}
