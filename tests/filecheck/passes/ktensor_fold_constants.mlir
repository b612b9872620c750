// RUN: kpu-opt %s -p ktensor-fold-constants --print-debuginfo | filecheck %s
// RUN: kpu-opt %s -p 'ktensor-fold-constants{max-elements=3}' | filecheck %s --check-prefix=LIMIT

// CHECK: func.func @main(%x: tensor<2x2xf32>
// CHECK-NEXT: %c = ktensor.constant dense<[1.500000e+00, 2.500000e+00]> : tensor<2xf32> loc("scale")
// CHECK-NEXT: %d = ktensor.constant dense<[3, 5]> : tensor<2xui8> -> tensor<2x!ktensor.quantized<ui8, 5.000000e-01, 0>>
// CHECK-NEXT: %y = ktensor.binary<mul> %x, %c
// LIMIT: ktensor.unary<sqrt>
// LIMIT: ktensor.constant dense<[3, 5]>
func.func @main(%x: tensor<2x2xf32>) -> (tensor<2x2xf32>, tensor<2x!ktensor.quantized<ui8, 0.5, 0>>) {
  %a = ktensor.constant dense<[[1.0, 4.0], [4.0, 9.0]]> : tensor<2x2xf32>
  %b = ktensor.unary<sqrt> %a : (tensor<2x2xf32>) -> tensor<2x2xf32>
  %c = ktensor.reduce<mean> %b {axes = array<i64: 1>, keep_dims = false} : (tensor<2x2xf32>) -> tensor<2xf32> loc("scale")
  %k = ktensor.constant dense<[1.5, 2.5]> : tensor<2xf32>
  %d = ktensor.quantize %k : (tensor<2xf32>) -> tensor<2x!ktensor.quantized<ui8, 0.5, 0>>
  %y = ktensor.binary<mul> %x, %c : (tensor<2x2xf32>, tensor<2xf32>) -> tensor<2x2xf32>
  func.return %y, %d : tensor<2x2xf32>, tensor<2x!ktensor.quantized<ui8, 0.5, 0>>
}
