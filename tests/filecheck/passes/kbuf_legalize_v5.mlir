// RUN: kpu-opt -p kbuf-legalize-v5 %s | filecheck %s

builtin.module attributes {kbuf.version = "v5"} {
  func.func @main() {
    %x = kbuf.alloc : memref<1x2x2x4xui8, #kbuf.space<main>>
    kbuf.input %x {index = 0 : i64, shape = array<i64: 1, 2, 2, 4>} : memref<1x2x2x4xui8, #kbuf.space<main>>
    %f = kbuf.alloc : memref<16xf32, #kbuf.space<main>>
    kbuf.dequantize %x -> %f {zero_point = 128 : i64, scale = 4.000000e+00 : f32} : memref<1x2x2x4xui8, #kbuf.space<main>> -> memref<16xf32, #kbuf.space<main>>
    %y = kbuf.alloc : memref<16xf32, #kbuf.space<main>>
    kbuf.unary %f -> %y {op = #kbuf.unary_kind<exp>} : memref<16xf32, #kbuf.space<main>> -> memref<16xf32, #kbuf.space<main>>
    kbuf.output %y {index = 0 : i64} : memref<16xf32, #kbuf.space<main>>
    func.return
  }
}

// CHECK:      %[[X:.*]] = kbuf.alloc {offset = 0 : i64} : memref<1x2x2x4xui8, #kbuf.space<input>>
// CHECK-NEXT: kbuf.input %[[X]]
// CHECK:      kbuf.v5_tensor(%[[X]], %[[F:.*]]) {function = "dequantize", fields = {dt = "uint8", dt_d = "float32", {{.*}}}, numbers = {scale = 2.500000e-01 : f32, bias = -3.200000e+01 : f32}}
// CHECK-NEXT: %[[Y:.*]] = kbuf.alloc {offset = 0 : i64} : memref<16xf32, #kbuf.space<output>>
// CHECK-NEXT: kbuf.v5_tensor(%[[F]], %[[Y]]) {function = "unary", {{.*}}op = 5 : i64}
// CHECK-NEXT: kbuf.output %[[Y]]
