// RUN: kpu-opt %s -p ktensor-fuse-activations --print-debuginfo | filecheck %s

// CHECK: func.func @limits(%x: tensor<8xf32>
// CHECK-NEXT: %a = ktensor.activation<relu> %x {{.*}} loc("a")
// CHECK-NEXT: %b = ktensor.activation<relu6> %x {{.*}} loc("b")
// CHECK-NEXT: func.return %a, %b
func.func @limits(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
  %zero = ktensor.constant dense<0.0> : tensor<f32>
  %six = ktensor.constant dense<6.0> : tensor<1xf32>
  %a = ktensor.binary<max> %x, %zero : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32> loc("a")
  %b = ktensor.binary<min> %six, %a : (tensor<1xf32>, tensor<8xf32>) -> tensor<8xf32> loc("b")
  func.return %a, %b : tensor<8xf32>, tensor<8xf32>
}

// CHECK: func.func @gates(%x: tensor<8xf32>
// CHECK-NEXT: %b = ktensor.activation<swish> %x
// CHECK-NEXT: %f = ktensor.activation<hard_swish> %x
// CHECK-NEXT: %j = ktensor.activation<mish> %x
// CHECK-NEXT: func.return %b, %f, %j
func.func @gates(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) {
  %a = ktensor.activation<sigmoid> %x : (tensor<8xf32>) -> tensor<8xf32>
  %b = ktensor.binary<mul> %x, %a : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %three = ktensor.constant dense<3.0> : tensor<f32>
  %six = ktensor.constant dense<6.0> : tensor<f32>
  %c = ktensor.binary<add> %x, %three : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  %d = ktensor.activation<relu6> %c : (tensor<8xf32>) -> tensor<8xf32>
  %e = ktensor.binary<mul> %d, %x : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %f = ktensor.binary<div> %e, %six : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  %g = ktensor.activation<softplus> %x : (tensor<8xf32>) -> tensor<8xf32>
  %h = ktensor.unary<tanh> %g : (tensor<8xf32>) -> tensor<8xf32>
  %j = ktensor.binary<mul> %h, %x : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  func.return %b, %f, %j : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>
}

// CHECK: func.func @leaky(%x: tensor<8xf32>
// CHECK-NEXT: %b = ktensor.activation<leaky_relu, 2.500000e-01> %x
// CHECK-NEXT: func.return %b
func.func @leaky(%x: tensor<8xf32>) -> tensor<8xf32> {
  %quarter = ktensor.constant dense<0.25> : tensor<f32>
  %a = ktensor.binary<mul> %quarter, %x : (tensor<f32>, tensor<8xf32>) -> tensor<8xf32>
  %b = ktensor.binary<max> %x, %a : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  func.return %b : tensor<8xf32>
}

// One number added is not a function with a name, integers are not rounded, and max(x, 2 x) is no leaky relu.
// CHECK: func.func @stay(
// CHECK: ktensor.binary<add>
// CHECK: ktensor.binary<max>
// CHECK: ktensor.binary<max>
func.func @stay(%x: tensor<8xf32>, %i: tensor<8xi32>) -> (tensor<8xf32>, tensor<8xi32>, tensor<8xf32>) {
  %two = ktensor.constant dense<2.0> : tensor<f32>
  %zero = ktensor.constant dense<0> : tensor<i32>
  %a = ktensor.binary<add> %x, %two : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  %b = ktensor.binary<max> %i, %zero : (tensor<8xi32>, tensor<i32>) -> tensor<8xi32>
  %c = ktensor.binary<mul> %x, %two : (tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
  %d = ktensor.binary<max> %x, %c : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  func.return %a, %b, %d : tensor<8xf32>, tensor<8xi32>, tensor<8xf32>
}
