"""Ops that move elements without changing them; all accept quantized elements."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, Float64Type, FloatAttr, IntegerAttr, TensorType, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def, traits_def, var_operand_def

from kpuir.dialects.ktensor.attributes import IntArray, float_attr, int_array, int_attr
from kpuir.dialects.ktensor.base import (
    KTensorOp,
    MovesElements,
    Value,
    constant_of,
    dense_of,
    element_of,
    require,
    require_ints,
    shape_of,
    tensor,
)
from kpuir.ir.arrays import to_dense

if TYPE_CHECKING:
    from numpy.typing import NDArray


@irdl_op_definition
class ConcatOp(KTensorOp):
    """The inputs one after the other along `axis`; all have the same element type.

    Example: `%z = ktensor.concat %x, %y {axis = 1 : i64} :
    (tensor<1x3x4x4xf32>, tensor<1x5x4x4xf32>) -> tensor<1x8x4x4xf32>`.
    """

    name = "ktensor.concat"
    inputs = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr.constr(i64))

    def __init__(self, inputs: Sequence[Value], axis: int) -> None:
        self.set_up([list(inputs)], {"axis": int_attr(axis)})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output."""
        require(len(self.inputs) > 0, "concat needs at least one input")
        first, element, axis = shape_of(self.inputs[0]), element_of(self.inputs[0]), self.axis.value.data
        require(0 <= axis < len(first), f"axis must lie in 0..{len(first) - 1}, but is {axis}")
        for value in self.inputs:
            shape = shape_of(value)
            same = len(shape) == len(first) and shape[:axis] + shape[axis + 1 :] == first[:axis] + first[axis + 1 :]
            require(same, f"inputs {list(first)} and {list(shape)} differ in more than axis {axis}")
            found = element_of(value)
            require(found == element, "inputs have different element types {} and {}", element, found)
        total = sum(shape_of(value)[axis] for value in self.inputs)
        return tensor(element, (*first[:axis], total, *first[axis + 1 :]))

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """One input alone is the result; constants are joined."""
        if len(self.inputs) == 1:
            return (self.inputs[0],)
        arrays = [constant_of(value) for value in self.inputs]
        if any(array is None for array in arrays):
            return None
        import numpy as np

        return (to_dense(np.concatenate(cast("list[NDArray[Any]]", arrays), self.axis.value.data)),)


@irdl_op_definition
class ReshapeOp(KTensorOp):
    """The same elements in the same (row-major) order with another shape, that of the result type.

    Example: `%y = ktensor.reshape %x : (tensor<1x8x4x4xf32>) -> tensor<1x128xf32>`.
    """

    name = "ktensor.reshape"
    traits = traits_def(MovesElements())
    input = operand_def(TensorType)

    def __init__(self, input: Value, shape: Sequence[int]) -> None:
        result = tensor(element_of(input), shape)
        IRDLOperation.__init__(self, operands=[input], result_types=[result])

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: the given shape."""
        old, new = shape_of(self.input), shape_of(self.output)
        require(
            math.prod(old) == math.prod(new),
            f"input {list(old)} has {math.prod(old)} elements, but the result {list(new)} has {math.prod(new)}",
        )
        return tensor(element_of(self.input), new)

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """A reshape to the same shape is nothing; the bytes of a constant stay as they are."""
        if self.input.type == self.output.type:
            return (self.input,)
        dense = dense_of(self.input)
        if dense is None:
            return None
        stored = TensorType(dense.get_element_type(), shape_of(self.output))
        return (DenseIntOrFPElementsAttr(stored, dense.data),)


@irdl_op_definition
class TransposeOp(KTensorOp):
    """The axes in another order: axis i of the output is axis `permutation[i]` of the input.

    Example: `%y = ktensor.transpose %x {permutation = array<i64: 0, 3, 1, 2>} :
    (tensor<1x4x5x3xf32>) -> tensor<1x3x4x5xf32>`.
    """

    name = "ktensor.transpose"
    traits = traits_def(MovesElements())
    input = operand_def(TensorType)
    permutation = prop_def(IntArray.constr(i64))

    def __init__(self, input: Value, permutation: Sequence[int]) -> None:
        self.set_up([input], {"permutation": int_array(permutation)})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output."""
        shape, permutation = shape_of(self.input), self.permutation.get_values()
        require(
            sorted(permutation) == list(range(len(shape))),
            f"permutation {list(permutation)} is not one of the {len(shape)} axes of {list(shape)}",
        )
        return tensor(element_of(self.input), [shape[axis] for axis in permutation])

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Axes in their own order are not moved; constants are."""
        permutation = self.permutation.get_values()
        if list(permutation) == sorted(permutation):
            return (self.input,)
        array = constant_of(self.input)
        return None if array is None else (to_dense(array.transpose(permutation)),)


@irdl_op_definition
class PadOp(KTensorOp):
    """`low[i]` elements before and `high[i]` after the input along each axis i.

    `value` is what they hold, a real number also where the elements are quantized.

    Example: `%y = ktensor.pad %x {low = array<i64: 0, 0, 1, 1>, high = array<i64: 0, 0, 0, 0>} :
    (tensor<1x3x4x4xf32>) -> tensor<1x3x5x5xf32>`.
    """

    name = "ktensor.pad"
    input = operand_def(TensorType)
    low = prop_def(IntArray.constr(i64))
    high = prop_def(IntArray.constr(i64))
    value = prop_def(FloatAttr[Float64Type], default_value=float_attr(0.0))

    def __init__(self, input: Value, low: Sequence[int], high: Sequence[int], value: float = 0.0) -> None:
        self.set_up([input], {"low": int_array(low), "high": int_array(high), "value": float_attr(value)})

    @property
    def pad_value(self) -> float:
        """`value` as a number."""
        return self.value.value.data

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output."""
        shape = shape_of(self.input)
        for values, what in ((self.low, "low"), (self.high, "high")):
            require_ints(values, len(shape), 0, what)
        sizes = zip(shape, self.low.get_values(), self.high.get_values(), strict=True)
        return tensor(element_of(self.input), [size + low + high for size, low, high in sizes])

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Padding by nothing is nothing."""
        return (self.input,) if self.input.type == self.output.type else None


@irdl_op_definition
class SliceOp(KTensorOp):
    """Elements `starts[i], starts[i] + steps[i], ...` up to and without `ends[i]` along each axis i.

    With a negative step `ends[i]` is -1 to include element 0. Everything else lies within the input.

    Example: `%y = ktensor.slice %x {starts = array<i64: 0, 1>, ends = array<i64: 4, 8>, steps = array<i64: 1, 2>} :
    (tensor<4x8xf32>) -> tensor<4x4xf32>`.
    """

    name = "ktensor.slice"
    traits = traits_def(MovesElements())
    input = operand_def(TensorType)
    starts = prop_def(IntArray.constr(i64))
    ends = prop_def(IntArray.constr(i64))
    steps = prop_def(IntArray.constr(i64))

    def __init__(
        self, input: Value, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int] | None = None
    ) -> None:
        steps = [1] * len(shape_of(SSAValue.get(input))) if steps is None else steps
        self.set_up([input], {"starts": int_array(starts), "ends": int_array(ends), "steps": int_array(steps)})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output."""
        shape = shape_of(self.input)
        for values, what in ((self.starts, "starts"), (self.ends, "ends"), (self.steps, "steps")):
            found = values.get_values()
            require(len(found) == len(shape), f"{what} must have {len(shape)} values, but is {list(found)}")
        axes = zip(shape, self.starts.get_values(), self.ends.get_values(), self.steps.get_values(), strict=True)
        return tensor(element_of(self.input), [slice_size(*axis) for axis in axes])

    @property
    def slices(self) -> tuple[slice, ...]:
        """Python slices, one for each axis."""
        axes = zip(self.starts.get_values(), self.ends.get_values(), self.steps.get_values(), strict=True)
        return tuple(slice(start, None if end < 0 else end, step) for start, end, step in axes)

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """All elements in order are the input; constants are cut."""
        if self.input.type == self.output.type and min(self.steps.get_values(), default=1) > 0:
            return (self.input,)
        array = constant_of(self.input)
        return None if array is None else (to_dense(array[self.slices]),)


def slice_size(size: int, start: int, end: int, step: int) -> int:
    """How many elements `start:end:step` takes from an axis. Raises VerifyException unless it is within the axis."""
    require(step != 0, "steps must not be 0")
    low, high = (0, size) if step > 0 else (-1, size - 1)
    inside = 0 <= start < size and low <= end <= high
    require(inside, f"slice {start}:{end}:{step} does not lie within an axis of {size} elements")
    count = len(range(start, end, step))
    require(count > 0, f"slice {start}:{end}:{step} takes no element")
    return count
