"""Where importers put their operations: shorthands for what layers are composed of."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COPIES = 256
"""Inputs of one concatenation: each becomes an entry of the runtime's instruction."""
_MAX_ELEMENTS = 1 << 26


class Emitter(ABC):
    """A layer being imported: the operations that are put are named after it."""

    @abstractmethod
    def emit(self, op: ktensor.KTensorOp) -> SSAValue:
        """Append an op, named after the layer, and return its result."""

    @abstractmethod
    def constant(self, values: Any, name: str = "") -> SSAValue:
        """A float32 constant."""

    @abstractmethod
    def refuse(self, reason: str, nearest: str = "") -> NoReturn:
        """Give up on the layer: `reason` says what is in the way, `nearest` the form that works."""
        raise NotImplementedError

    @abstractmethod
    def invalid(self, message: str) -> InvalidInputError:
        """The error of a layer that contradicts itself."""

    def binary(self, kind: str, lhs: SSAValue, rhs: "SSAValue | float | NDArray[Any]") -> SSAValue:
        """`lhs kind rhs` with numpy's broadcasting; a number becomes a constant."""
        right = rhs if isinstance(rhs, SSAValue) else self.constant(rhs)
        return self.emit(ktensor.BinaryOp(kind, lhs, right))

    def rbinary(self, kind: str, lhs: float, rhs: SSAValue) -> SSAValue:
        """`lhs kind rhs` with a number on the left."""
        return self.emit(ktensor.BinaryOp(kind, self.constant(lhs), rhs))

    def truncated(self, value: SSAValue) -> SSAValue:
        """Rounded towards 0, as conversions to integers are."""
        return self.binary("mul", self.unary("sign", value), self.unary("floor", self.unary("abs", value)))

    def modulo(self, value: SSAValue, bits: int, unsigned: bool) -> SSAValue:
        """Whole numbers as 8 or 16 bits hold them; more are not expected to overflow."""
        if bits > 16:
            return value
        if unsigned:
            return self.binary("floor_mod", value, float(2**bits))
        shifted = self.binary("floor_mod", self.binary("add", value, 2.0 ** (bits - 1)), float(2**bits))
        return self.binary("sub", shifted, 2.0 ** (bits - 1))

    def select(self, condition: SSAValue, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """`lhs` where the condition is 1, `rhs` where it is 0."""
        return self.emit(ktensor.SelectOp(condition, lhs, rhs))

    def unary(self, kind: str, value: SSAValue) -> SSAValue:
        """A function of each element."""
        return self.emit(ktensor.UnaryOp(kind, value))

    def activation(self, value: SSAValue, kind: str, *params: float) -> SSAValue:
        """An activation function of each element."""
        return self.emit(ktensor.ActivationOp(value, ktensor.ActivationAttr.of(kind, *params)))

    def reduce(self, kind: str, value: SSAValue, axes: Sequence[int], keep_dims: bool = True) -> SSAValue:
        """Mean, max, min or sum over some axes."""
        if not axes:
            return value
        return self.emit(ktensor.ReduceOp(kind, value, axes, keep_dims=keep_dims))

    def reshape(self, value: SSAValue, shape: Sequence[int]) -> SSAValue:
        """The value with another shape of as many elements; the value itself where the shape is its own."""
        old = ktensor.shape_of(value)
        if old == tuple(shape):
            return value
        if math.prod(old) != math.prod(shape) or min(shape, default=1) < 1:
            raise self.invalid(f"cannot turn {list(old)} ({math.prod(old)} elements) into {list(shape)}")
        return self.emit(ktensor.ReshapeOp(value, shape))

    def transpose(self, value: SSAValue, permutation: Sequence[int]) -> SSAValue:
        """The axes in another order; the value itself where the order is its own."""
        if list(permutation) == list(range(len(permutation))):
            return value
        return self.emit(ktensor.TransposeOp(value, permutation))

    def concat(self, values: Sequence[SSAValue], axis: int) -> SSAValue:
        """The values one after the other; the value itself where there is one."""
        return values[0] if len(values) == 1 else self.emit(ktensor.ConcatOp(values, axis))

    def cut(self, value: SSAValue, axis: int, start: int, end: int, step: int = 1) -> SSAValue:
        """Elements `start:end:step` of one axis, resolved as `ktensor.slice` wants them."""
        shape = ktensor.shape_of(value)
        if (start, end, step) == (0, shape[axis], 1):
            return value
        starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
        starts[axis], ends[axis], steps[axis] = start, end, step
        return self.emit(ktensor.SliceOp(value, starts, ends, steps))

    def repeat(self, value: SSAValue, axis: int, count: int) -> SSAValue:
        """The value `count` times along one axis; refuses the node where that makes an absurdly large tensor."""
        if count * math.prod(ktensor.shape_of(value)) > _MAX_ELEMENTS or count > MAX_COPIES:
            self.refuse(f"axis {axis} is repeated {count} times", f"up to {MAX_COPIES} times")
        return self.concat([value] * count, axis)
