// RUN: kpu-opt %s | filecheck %s
// RUN: kpu-opt %s -o %t.mlir --print-debuginfo
// RUN: kpu-opt %t.mlir -p canonicalize,dce --timing --print-debuginfo | filecheck %s --check-prefix=LOCATION
// RUN: kpu-opt %s -p dce --print-ir-after 2>&1 | filecheck %s --check-prefix=AFTER
// RUN: exits 2 kpu-opt %s -p canonicalise 2>&1 | filecheck %s --check-prefix=PASS
// RUN: exits 2 kpu-opt %s -p dce{x=1} 2>&1 | filecheck %s --check-prefix=OPTION
// RUN: exits 2 kpu-opt %s -p dce{ 2>&1 | filecheck %s --check-prefix=PIPELINE
// RUN: exits 2 kpu-opt %s --no-such-option 2>&1 | filecheck %s --check-prefix=USAGE
// RUN: exits 1 kpu-opt %S/absent.mlir 2>&1 | filecheck %s --check-prefix=ABSENT
// RUN: kpu-opt --list-passes | filecheck %s --check-prefix=LIST

// CHECK:      builtin.module {
// CHECK-NEXT:   %weights = arith.constant dense<"0x00
// CHECK-NEXT:   %ones = arith.constant dense<1.000000e+00> : tensor<4x8xf32>
// CHECK-NEXT:   %signs = arith.constant dense<"0x0000000000000080"> : tensor<2xf32>
// CHECK-NEXT:   "test.op"(%weights, %ones, %signs)
// LOCATION:   "test.op"({{.*}}) : ({{.*}}) -> () loc("conv1")
// AFTER:      // -----// IR after dce //----- //
// AFTER:      arith.constant dense_resource<__elided_{{[0-9a-f]+}}__> : tensor<128xi8>
// AFTER:      arith.constant dense<"0x0001
// PASS:       error: unknown pass 'canonicalise'
// PASS-NEXT:  hint: did you mean canonicalize
// OPTION:     error: pass 'dce': Provided arguments ["x"] not found
// PIPELINE:   error: not a pass pipeline: 'dce{'
// USAGE:      error: unrecognized arguments: --no-such-option
// USAGE-NEXT: hint: see kpu-opt --help
// ABSENT:     error: {{.*}}absent.mlir: no such file
// LIST:       canonicalize
%weights = arith.constant dense<"0x000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F606162636465666768696A6B6C6D6E6F707172737475767778797A7B7C7D7E7F"> : tensor<128xi8>
%ones = arith.constant dense<1.0> : tensor<4x8xf32>
%signs = arith.constant dense<"0x0000000000000080"> : tensor<2xf32>
"test.op"(%weights, %ones, %signs) : (tensor<128xi8>, tensor<4x8xf32>, tensor<2xf32>) -> () loc("conv1")
