"""Functions of single elements, and softmax."""

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import Float64Type, FloatAttr, IntegerAttr, TensorType, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects.ktensor.attributes import (
    ActivationAttr,
    ActivationKind,
    BinaryKind,
    BinaryKindAttr,
    QuantizedType,
    UnaryKind,
    UnaryKindAttr,
    float_attr,
    int_attr,
)
from kpuir.dialects.ktensor.base import (
    KTensorOp,
    Value,
    broadcast_shapes,
    element_of,
    is_quantized,
    number_of,
    require,
    shape_of,
    splat_of,
    tensor,
)


@irdl_op_definition
class UnaryOp(KTensorOp):
    """A function of each element; `round` rounds half to even, `square` is x * x, `rsqrt` 1 / sqrt(x).

    Example: `%y = ktensor.unary<exp> %x : (tensor<1x8xf32>) -> tensor<1x8xf32>`.
    """

    name = "ktensor.unary"
    input = operand_def(TensorType)
    kind = prop_def(UnaryKindAttr)

    assembly_format = "`` $kind $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, kind: UnaryKind | str, input: Value) -> None:
        self.set_up([input], {"kind": UnaryKindAttr(UnaryKind(kind))})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: that of the input."""
        return tensor(number_of(self.input, "input"), shape_of(self.input))


@irdl_op_definition
class BinaryOp(KTensorOp):
    """A function of two elements, operands broadcast as in numpy.

    Quantized operands have their own scale and zero point each and so has the result, whose type is then given:
    `output = quantize(kind(dequantize(lhs), dequantize(rhs)))`.

    Example: `%y = ktensor.binary<add> %x, %c : (tensor<1x8x4x4xf32>, tensor<8x1x1xf32>) -> tensor<1x8x4x4xf32>`.
    """

    name = "ktensor.binary"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    kind = prop_def(BinaryKindAttr)

    assembly_format = "`` $kind $lhs `,` $rhs attr-dict `:` functional-type(operands, results)"

    def __init__(
        self, kind: BinaryKind | str, lhs: Value, rhs: Value, *, result_type: TensorType[Attribute] | None = None
    ) -> None:
        properties = {"kind": BinaryKindAttr(BinaryKind(kind))}
        if result_type is None:
            self.set_up([lhs, rhs], {**properties})
            return
        IRDLOperation.__init__(self, operands=[lhs, rhs], properties=properties, result_types=[result_type])

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output; its scale is the given one where elements are quantized."""
        shape = broadcast_shapes(shape_of(self.lhs), shape_of(self.rhs))
        lhs, rhs, output = element_of(self.lhs), element_of(self.rhs), element_of(self.output)
        if not isinstance(lhs, QuantizedType) and not isinstance(rhs, QuantizedType):
            require(lhs == rhs, "rhs has elements of type {}, but lhs of type {}", rhs, lhs)
            return tensor(lhs, shape)
        if all(isinstance(element, QuantizedType) for element in (lhs, rhs, output)):
            return tensor(output, shape)
        raise VerifyException(f"operands and result must all be quantized, but are {lhs}, {rhs} and {output}")

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """`x + 0`, `0 + x`, `x - 0`, `x * 1`, `1 * x` and `x / 1` are x."""
        kind = self.kind.data
        neutral = {BinaryKind.ADD: 0.0, BinaryKind.SUB: 0.0, BinaryKind.MUL: 1.0, BinaryKind.DIV: 1.0}.get(kind)
        if neutral is None or is_quantized(self.output):
            return None
        if self.lhs.type == self.output.type and splat_of(self.rhs) == neutral:
            return (self.lhs,)
        commutes = kind in (BinaryKind.ADD, BinaryKind.MUL)
        if commutes and self.rhs.type == self.output.type and splat_of(self.lhs) == neutral:
            return (self.rhs,)
        return None


@irdl_op_definition
class ActivationOp(KTensorOp):
    """An activation function of each element: see `#ktensor.activation` for the formulas.

    Example: `%y = ktensor.activation<leaky_relu, 1.000000e-01> %x : (tensor<1x8xf32>) -> tensor<1x8xf32>`.
    """

    name = "ktensor.activation"
    input = operand_def(TensorType)
    function = prop_def(ActivationAttr)

    assembly_format = "`` $function $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: Value, function: ActivationAttr) -> None:
        self.set_up([input], {"function": function})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: that of the input."""
        return tensor(number_of(self.input, "input"), shape_of(self.input))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """A function that changes nothing, or that its input has gone through already, is not needed."""
        if self.function in _NO_CHANGE:
            return (self.input,)
        inner = self.input.owner
        twice = isinstance(inner, ActivationOp) and inner.function == self.function
        return (self.input,) if twice and self.function.kind in _IDEMPOTENT else None


_NO_CHANGE = {
    ActivationAttr.of("add", 0.0),
    ActivationAttr.of("sub", 0.0),
    ActivationAttr.of("mul", 1.0),
    ActivationAttr.of("div", 1.0),
    ActivationAttr.of("leaky_relu", 1.0),
    ActivationAttr.of("clamp", -math.inf, math.inf),
}
_IDEMPOTENT = {
    ActivationKind.RELU,
    ActivationKind.RELU6,
    ActivationKind.CLAMP,
    ActivationKind.FAKE_QUANTIZE,
    ActivationKind.MIN,
    ActivationKind.MAX,
    ActivationKind.ABS,
    ActivationKind.CEIL,
    ActivationKind.FLOOR,
    ActivationKind.ROUND,
}


@irdl_op_definition
class SelectOp(KTensorOp):
    """`lhs` where `condition` is 1 and `rhs` where it is 0, operands broadcast as in numpy.

    Example: `%y = ktensor.select %c, %x, %z :
    (tensor<1x8xf32>, tensor<1x8xf32>, tensor<1x1xf32>) -> tensor<1x8xf32>`.
    """

    name = "ktensor.select"
    condition = operand_def(TensorType)
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)

    def __init__(self, condition: Value, lhs: Value, rhs: Value) -> None:
        self.set_up([condition, lhs, rhs], {})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output."""
        condition, lhs, rhs = (
            number_of(value, what)
            for value, what in ((self.condition, "condition"), (self.lhs, "lhs"), (self.rhs, "rhs"))
        )
        require(condition == lhs == rhs, "operands have elements of types {}, {} and {}", condition, lhs, rhs)
        shape = broadcast_shapes(shape_of(self.lhs), shape_of(self.rhs))
        return tensor(lhs, broadcast_shapes(shape_of(self.condition), shape))


@irdl_op_definition
class PReluOp(KTensorOp):
    """`x if x >= 0 else slope * x`, the slope broadcast to the input (commonly [C, 1, 1]).

    Example: `%y = ktensor.prelu %x, %slope : (tensor<1x8x4x4xf32>, tensor<8x1x1xf32>) -> tensor<1x8x4x4xf32>`.
    """

    name = "ktensor.prelu"
    input = operand_def(TensorType)
    slope = operand_def(TensorType)

    def __init__(self, input: Value, slope: Value) -> None:
        self.set_up([input, slope], {})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: that of the input."""
        shape, slope = shape_of(self.input), shape_of(self.slope)
        require(
            broadcast_shapes(shape, slope) == shape,
            f"slope {list(slope)} does not broadcast to the input {list(shape)}",
        )
        element, other = number_of(self.input, "input"), number_of(self.slope, "slope")
        require(element == other, "slope has elements of type {}, but the input of type {}", other, element)
        return tensor(element, shape)


@irdl_op_definition
class SoftmaxOp(KTensorOp):
    """`exp(beta * x)` over the sum of it along `axis`.

    Example: `%y = ktensor.softmax %x {axis = 1 : i64} : (tensor<1x10xf32>) -> tensor<1x10xf32>`.
    """

    name = "ktensor.softmax"
    input = operand_def(TensorType)
    axis = prop_def(IntegerAttr.constr(i64))
    beta = prop_def(FloatAttr[Float64Type], default_value=float_attr(1.0))

    def __init__(self, input: Value, axis: int, beta: float = 1.0) -> None:
        self.set_up([input], {"axis": int_attr(axis), "beta": float_attr(beta)})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: that of the input."""
        shape, axis = shape_of(self.input), self.axis.value.data
        require(0 <= axis < len(shape), f"axis must lie in 0..{len(shape) - 1}, but is {axis}")
        return tensor(number_of(self.input, "input"), shape)
