// RUN: kpu-opt %s -p kpu-select-registers,dce --split-input-file | filecheck %s
// RUN: kpu-opt %s -p 'kpu-select-registers{weight_bits=16},dce' --split-input-file | filecheck %s --check-prefix=WIDE

// One output step is two steps of input times weight: weights 127/128 of full scale, a slope of exactly 1.
// CHECK-LABEL: func.func @main(%x: !kpu.fmap<1x1x4x4, 1.000000e+00, 0>) -> !kpu.fmap<1x1x4x4, 2.000000e+00, 0> {
// CHECK-NEXT: %0 = kpu.layer %x {kernel_size = 1 : i64, pad_value = 0 : i64, arg_x = 0 : i64, shr_x = 0 : i64, arg_w = 0 : i64, shr_w = 0 : i64, arg_add = 0 : i64, weights = dense<255> : tensor<1x1x1x1xui8>, bn_mul = dense<16448> : tensor<1xi32>, bn_shift = dense<15> : tensor<1xui8>, bn_add = dense<1> : tensor<1xi32>, act_start = dense<[-34359738368, 0, 34359738353, 34359738354, 34359738355, 34359738356, 34359738357, 34359738358, 34359738359, 34359738360, 34359738361, 34359738362, 34359738363, 34359738364, 34359738365, 34359738366]> : tensor<16xi64>, act_mul = dense<[0, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi16>, act_shift = dense<[0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xui8>, act_add = dense<[0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]> : tensor<16xui8>} : (!kpu.fmap<1x1x4x4, 1.000000e+00, 0>) -> !kpu.fmap<1x1x4x4, 2.000000e+00, 0>
// CHECK-NEXT: func.return %0 : !kpu.fmap<1x1x4x4, 2.000000e+00, 0>
// With 16 bits the scale is one at which the batch-norm multiplier is a whole number.
// WIDE: weights = dense<65520> : tensor<1x1x1x1xui16>, bn_mul = dense<4097> : tensor<1xi32>, bn_shift = dense<15>
func.func @main(%x: !kpu.fmap<1x1x4x4, 1.0, 0>) -> !kpu.fmap<1x1x4x4, 2.0, 0> {
  %w = ktensor.constant dense<1.0> : tensor<1x1x1x1xf32>
  %b = ktensor.constant dense<0.0> : tensor<1xf32>
  %0 = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]} : (!kpu.fmap<1x1x4x4, 1.0, 0>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> !kpu.fmap<1x1x4x4, 2.0, 0>
  func.return %0 : !kpu.fmap<1x1x4x4, 2.0, 0>
}
