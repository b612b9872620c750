// RUN: kpu-opt -p 'kbuf-raise{version="v5"}' %s | filecheck %s

builtin.module attributes {kbuf.version = "v3", kbuf.flags = 1 : i64} {
  func.func @main() {
    %x = kbuf.alloc : memref<8xui8, #kbuf.space<main>>
    kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 1, 8>} : memref<8xui8, #kbuf.space<main>>
    %f = kbuf.alloc : memref<8xf32, #kbuf.space<main>>
    kbuf.v3_dequantize %x -> %f {count = 8 : i64, scale = 5.000000e-01 : f32, bias = -6.400000e+01 : f32} : memref<8xui8, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
    %y = kbuf.alloc : memref<8xf32, #kbuf.space<main>>
    kbuf.v3_l2_normalization %f -> %y {channels = 8 : i64} : memref<8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
    kbuf.output %y {index = 0 : i64} : memref<8xf32, #kbuf.space<main>>
    func.return
  }
}

// CHECK:      builtin.module attributes {kbuf.version = "v5"} {
// CHECK:      kbuf.dequantize %{{.*}} -> %[[F:.*]] {zero_point = 128 : i64, scale = 2.000000e+00 : f32}
// CHECK:      kbuf.unary %[[F]] -> %[[S:.*]] {op = #kbuf.unary_kind<square>}
// CHECK-NEXT: kbuf.reduce %[[S]] -> %[[T:.*]] {op = #kbuf.reduce_kind<sum>
// CHECK:      kbuf.binary %[[T]], %{{.*}} -> %[[B:.*]] {op = #kbuf.binary_kind<max>
// CHECK-NEXT: kbuf.unary %[[B]] -> %[[R:.*]] {op = #kbuf.unary_kind<rsqrt>}
// CHECK-NEXT: kbuf.binary %[[F]], %[[R]] -> %{{.*}} {op = #kbuf.binary_kind<mul>
