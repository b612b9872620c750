// RUN: kpu-opt -p kbuf-raise %s | filecheck %s

// Rows of two tensors side by side, and all of it a second time from its own first half.
builtin.module attributes {kbuf.version = "v5"} {
  func.func @main() {
    %x = kbuf.alloc : memref<2x3xf32, #kbuf.space<main>>
    kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 1, 2, 3>} : memref<2x3xf32, #kbuf.space<main>>
    %y = kbuf.alloc : memref<2x1xf32, #kbuf.space<main>>
    kbuf.input %y {index = 1 : i64, shape = array<i64: 1, 1, 2, 1>} : memref<2x1xf32, #kbuf.space<main>>
    %z = kbuf.alloc : memref<16xf32, #kbuf.space<main>>
    %a = kbuf.subview %z : memref<16xf32, #kbuf.space<main>> -> memref<7xf32, #kbuf.space<main>>
    kbuf.v5_tensor(%x, %a) {function = "copy", fields = {dt = "float32", sh = array<i64: 2, 3>, st = array<i64: 3, 1>, std = array<i64: 4, 1>}, numbers = {}} : memref<2x3xf32, #kbuf.space<main>>, memref<7xf32, #kbuf.space<main>>
    %b = kbuf.subview %z {byte_offset = 12 : i64} : memref<16xf32, #kbuf.space<main>> -> memref<5xf32, #kbuf.space<main>>
    kbuf.v5_tensor(%y, %b) {function = "copy", fields = {dt = "float32", sh = array<i64: 2, 1>, st = array<i64: 1, 1>, std = array<i64: 4, 1>}, numbers = {}} : memref<2x1xf32, #kbuf.space<main>>, memref<5xf32, #kbuf.space<main>>
    %c = kbuf.subview %z : memref<16xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
    %d = kbuf.subview %z {byte_offset = 32 : i64} : memref<16xf32, #kbuf.space<main>> -> memref<8xf32, #kbuf.space<main>>
    kbuf.v5_tensor(%c, %d) {function = "copy", fields = {dt = "float32", sh = array<i64: 8>, st = array<i64: 1>, std = array<i64: 1>}, numbers = {}} : memref<8xf32, #kbuf.space<main>>, memref<8xf32, #kbuf.space<main>>
    kbuf.output %z {index = 0 : i64} : memref<16xf32, #kbuf.space<main>>
    func.return
  }
}

// CHECK-NOT:  v5_tensor
// CHECK:      kbuf.concat {{.*}} -> %{{.*}} {inner_size = 4 : i64, outer_size = 1 : i64, dims = array<i64: 3, 1, 3, 1, 3, 1, 3, 1>}
// CHECK-NEXT: kbuf.output
