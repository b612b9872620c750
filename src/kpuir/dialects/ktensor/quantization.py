"""From real numbers to bytes and back."""

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import AnyFloat, Float64Type, FloatAttr, IntegerAttr, TensorType, f32, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def

from kpuir.dialects.ktensor.attributes import QuantizedType, float_attr, int_attr
from kpuir.dialects.ktensor.base import KTensorOp, Value, element_of, require, shape_of, tensor


@irdl_op_definition
class QuantizeOp(KTensorOp):
    """`clamp(round_half_even(x * multiplier / scale) + zero_point + addend, 0, 255)`; the result's scale, zero point.

    Example: `%q = ktensor.quantize %x : (tensor<4xf32>) -> tensor<4x!ktensor.quantized<ui8, 5.000000e-01, 3>>`.
    A `multiplier` other than 1 and an `addend` other than 0, in codes, give the bytes of `x * multiplier + addend *
    scale`, of which only a part of the range of x may be in 0..255.
    """

    name = "ktensor.quantize"
    input = operand_def(TensorType)
    multiplier = prop_def(FloatAttr[Float64Type], default_value=float_attr(1.0))
    addend = prop_def(IntegerAttr.constr(i64), default_value=int_attr(0))

    def __init__(self, input: Value, element: QuantizedType, multiplier: float = 1.0, addend: int = 0) -> None:
        result = tensor(element, shape_of(input))
        numbers = {"multiplier": float_attr(multiplier), "addend": int_attr(addend)}
        IRDLOperation.__init__(self, operands=[input], properties=numbers, result_types=[result])

    @property
    def element(self) -> QuantizedType:
        """The quantized element type of the result."""
        element = element_of(self.output)
        assert isinstance(element, QuantizedType)
        return element

    @property
    def is_plain(self) -> bool:
        """Whether the bytes are those of the input itself, neither multiplied nor added to."""
        return self.multiplier.value.data == 1 and self.addend.value.data == 0

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: the given element type, the input's shape."""
        source, result = element_of(self.input), element_of(self.output)
        require(isinstance(source, AnyFloat), "input must have float elements, but has {}", source)
        require(isinstance(result, QuantizedType), "result must have quantized elements, but has {}", result)
        multiplier = self.multiplier.value.data
        require(
            multiplier != 0 and math.isfinite(multiplier), "multiplier must be finite and not 0, but is {}", multiplier
        )
        return tensor(result, shape_of(self.input))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Quantizing a dequantized value again with the same scale and zero point gives back its bytes."""
        inner = self.input.owner
        if not isinstance(inner, DequantizeOp) or inner.input.type != self.output.type or not self.is_plain:
            return None
        return (inner.input,)


@irdl_op_definition
class DequantizeOp(KTensorOp):
    """`(q - zero_point) * scale` with scale and zero point of the input's type.

    Example: `%x = ktensor.dequantize %q : (tensor<4x!ktensor.quantized<ui8, 5.000000e-01, 3>>) -> tensor<4xf32>`.
    """

    name = "ktensor.dequantize"
    input = operand_def(TensorType)

    def __init__(self, input: Value) -> None:
        self.set_up([input], {})

    @property
    def element(self) -> QuantizedType:
        """The quantized element type of the input."""
        element = element_of(self.input)
        assert isinstance(element, QuantizedType)
        return element

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: f32, the input's shape."""
        source = element_of(self.input)
        require(isinstance(source, QuantizedType), "input must have quantized elements, but has {}", source)
        return tensor(f32, shape_of(self.input))
