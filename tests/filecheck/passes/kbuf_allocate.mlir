// RUN: kpu-opt %s -p kbuf-allocate | filecheck %s

// The first and the last buffer share bytes: the first is dead when the last is written.
// CHECK: builtin.module attributes {kbuf.main_bytes = 64 : i64, kbuf.constant_bytes = 0 : i64} {
// CHECK-LABEL: func.func @main() {
// CHECK-NEXT: %0 = kbuf.alloc {offset = 0 : i64} : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.input %0 {index = 0 : i64, shape = array<i64: 1, 1, 1, 8>} : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: %1 = kbuf.alloc {offset = 32 : i64} : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.unary %0 -> %1 {op = #kbuf.unary_kind<exp>} : memref<1x8xf32, #kbuf.space<main>> -> memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: %2 = kbuf.alloc {offset = 0 : i64} : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.unary %1 -> %2 {op = #kbuf.unary_kind<neg>} : memref<1x8xf32, #kbuf.space<main>> -> memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: kbuf.output %2 {index = 0 : i64} : memref<1x8xf32, #kbuf.space<main>>
// CHECK-NEXT: func.return
func.func @main() {
  %0 = kbuf.alloc : memref<1x8xf32, #kbuf.space<main>>
  kbuf.input %0 {index = 0 : i64, shape = array<i64: 1, 1, 1, 8>} : memref<1x8xf32, #kbuf.space<main>>
  %1 = kbuf.alloc : memref<1x8xf32, #kbuf.space<main>>
  kbuf.unary %0 -> %1 {op = #kbuf.unary_kind<exp>} : memref<1x8xf32, #kbuf.space<main>> -> memref<1x8xf32, #kbuf.space<main>>
  %2 = kbuf.alloc : memref<1x8xf32, #kbuf.space<main>>
  kbuf.unary %1 -> %2 {op = #kbuf.unary_kind<neg>} : memref<1x8xf32, #kbuf.space<main>> -> memref<1x8xf32, #kbuf.space<main>>
  kbuf.output %2 {index = 0 : i64} : memref<1x8xf32, #kbuf.space<main>>
  func.return
}
