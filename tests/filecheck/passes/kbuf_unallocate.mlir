// RUN: kpu-opt -p kbuf-unallocate %s | filecheck %s

builtin.module attributes {kbuf.version = "v4", kbuf.main_bytes = 64 : i64, kbuf.constant_bytes = 16 : i64} {
  func.func @main() {
    %pool = kbuf.constant dense<[0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xui8> {offset = 0 : i64} : memref<16xui8, #kbuf.space<const>>
    %two = kbuf.subview %pool {byte_offset = 4 : i64} : memref<16xui8, #kbuf.space<const>> -> memref<1xf32, #kbuf.space<const>>
    %x = kbuf.alloc {offset = 0 : i64} : memref<4xf32, #kbuf.space<main>>
    kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 1, 4>} : memref<4xf32, #kbuf.space<main>>
    kbuf.unary %x -> %x {op = #kbuf.unary_kind<exp>} : memref<4xf32, #kbuf.space<main>> -> memref<4xf32, #kbuf.space<main>>
    %last = kbuf.alloc {offset = 8 : i64} : memref<2xf32, #kbuf.space<main>>
    %y = kbuf.alloc {offset = 16 : i64} : memref<1x1x1x2xf32, #kbuf.space<main>>
    kbuf.binary %last, %two -> %y {op = #kbuf.binary_kind<mul>, a_shape = array<i64: 1, 1, 1, 2>, b_shape = array<i64: 1, 1, 1, 1>, out_shape = array<i64: 1, 1, 1, 2>} : memref<2xf32, #kbuf.space<main>>, memref<1xf32, #kbuf.space<const>> -> memref<1x1x1x2xf32, #kbuf.space<main>>
    kbuf.output %y {index = 0 : i64} : memref<1x1x1x2xf32, #kbuf.space<main>>
    func.return
  }
}

// CHECK:      builtin.module attributes {kbuf.version = "v4"}
// CHECK:      %[[X:.*]] = kbuf.alloc : memref<4xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.input %[[X]]
// CHECK-NEXT: %[[E:.*]] = kbuf.alloc : memref<4xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.unary %[[X]] -> %[[E]]
// CHECK-DAG:  %[[L:.*]] = kbuf.subview %[[E]] {byte_offset = 8 : i64} : memref<4xf32, #kbuf.space<main>> -> memref<2xf32, #kbuf.space<main>>
// CHECK-DAG:  %[[Y:.*]] = kbuf.alloc : memref<1x1x1x2xf32, #kbuf.space<main>>
// CHECK-DAG:  %[[C:.*]] = kbuf.constant dense<2.000000e+00> : tensor<1xf32> : memref<1xf32, #kbuf.space<const>>
// CHECK:      kbuf.binary %[[L]], %[[C]] -> %[[Y]]
// CHECK-NEXT: kbuf.output %[[Y]]
