// RUN: kpu-opt -p kbuf-in-place %s | filecheck %s

// What nobody reads again is overwritten; an input of the model is not, nor what is broadcast or read again.

builtin.module attributes {kbuf.version = "v4"} {
  func.func @main() {
    %x = kbuf.alloc : memref<1x1x1x8xf32, #kbuf.space<main>>
    kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 1, 8>} : memref<1x1x1x8xf32, #kbuf.space<main>>
    %a = kbuf.alloc : memref<1x1x1x8xf32, #kbuf.space<main>>
    kbuf.unary %x -> %a {op = #kbuf.unary_kind<exp>} : memref<1x1x1x8xf32, #kbuf.space<main>> -> memref<1x1x1x8xf32, #kbuf.space<main>>
    %b = kbuf.alloc : memref<8xf32, #kbuf.space<main>>
    kbuf.unary %a -> %b {op = #kbuf.unary_kind<neg>} : memref<1x1x1x8xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
    %c = kbuf.alloc : memref<1x1x1x8xf32, #kbuf.space<main>>
    kbuf.binary %a, %b -> %c {op = #kbuf.binary_kind<add>, a_shape = array<i64: 1, 1, 1, 8>, b_shape = array<i64: 1, 1, 1, 8>, out_shape = array<i64: 1, 1, 1, 8>} : memref<1x1x1x8xf32, #kbuf.space<main>>, memref<8xf32, #kbuf.space<main>> -> memref<1x1x1x8xf32, #kbuf.space<main>>
    kbuf.output %c {index = 0 : i64} : memref<1x1x1x8xf32, #kbuf.space<main>>
    func.return
  }
}

// CHECK:      %[[X:.*]] = kbuf.alloc
// CHECK-NEXT: kbuf.input %[[X]]
// CHECK-NEXT: %[[A:.*]] = kbuf.alloc : memref<1x1x1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.unary %[[X]] -> %[[A]] {op = #kbuf.unary_kind<exp>}
// CHECK-NEXT: %[[B:.*]] = kbuf.alloc : memref<8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.unary %[[A]] -> %[[B]] {op = #kbuf.unary_kind<neg>}
// CHECK-NEXT: kbuf.binary %[[A]], %[[B]] -> %[[A]] {op = #kbuf.binary_kind<add>
// CHECK-NEXT: kbuf.output %[[A]]
