"""What an operator's function sees of its layer: inputs, constants, options, and where to put its operations.

A value is an `SSAValue` (float32, computed when the model runs) or a numpy array (known at import: weights, and
whatever is folded from them, such as the shape arithmetic of a dynamic batch).
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.emitter import Emitter
from kpuir.importers.tflite.graph import DTYPES, MAX_ELEMENTS, WHOLE, Operator, Quantization, Tensor
from kpuir.ir.locations import named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Constant: TypeAlias = "NDArray[Any]"
Value: TypeAlias = "SSAValue | NDArray[Any]"
Result: TypeAlias = "SSAValue | NDArray[Any] | Sequence[SSAValue | NDArray[Any]]"
Handler: TypeAlias = "Callable[[Layer], Result]"


ZERO_POINTS = {"INT8": 128, "UINT8": 0}
"""What turns codes of these types into bytes."""
_MASKING = frozenset({"ADD", "SUB", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2"})
"""Operators whose constants may be infinite, to mask what is added or chosen; the largest number does the same."""
_FINITE = (-3.4028234663852886e38, 3.4028234663852886e38)
"""The range of float32."""


class NotExpressibleError(Exception):
    """The layer cannot be imported; the message is the reason. Collected, and reported with all others."""


class MissingInputError(Exception):
    """The layer reads the result of a layer that was already refused: nothing more is known of it."""


@dataclass
class Scope:
    """The function being built: its block, and what is known of each tensor of the graph by index."""

    tensors: tuple[Tensor, ...]
    block: Block
    values: "dict[int, Value]" = field(default_factory=dict)
    materialized: dict[int, SSAValue] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Layer(Emitter):
    """One operator of the model. Positions are those of the operator's inputs."""

    operator: Operator
    scope: Scope

    @property
    def name(self) -> str:
        """The layer's name in messages and locations."""
        return self.operator.layer

    @property
    def inputs(self) -> range:
        """The positions of all inputs."""
        return range(len(self.operator.inputs))

    def has(self, position: int) -> bool:
        """Whether an optional input is there."""
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def tensor(self, position: int) -> Tensor | None:
        """What the model says of an input, None where it is not there."""
        return self.scope.tensors[self.operator.inputs[position]] if self.has(position) else None

    def known(self, position: int) -> "Constant | None":
        """The input's value where it is known at import: integers and floats as stored, of codes the real numbers."""
        value = self._lookup(position)
        if isinstance(value, SSAValue):
            return None
        return self.real(position) if self.is_coded(position) and value.dtype.itemsize <= 2 else value

    def array(self, position: int, what: str) -> Constant:
        """The input's value, which must be known at import; `what` says what it is."""
        value = self.known(position)
        if value is None:
            raise NotExpressibleError(f"{self.operator.kind}: {what} is computed by the model, it must be constant")
        return value

    def integers(self, position: int, what: str) -> tuple[int, ...]:
        """A constant list of integers, such as axes or a shape; a scalar counts as a list of one."""
        array = self.array(position, what)
        if array.dtype.kind not in "iu" or array.size > 4096:
            raise InvalidInputError(f"{what} is {array.dtype} of {array.size} values", location=self.name)
        return tuple(int(v) for v in array.ravel().tolist())

    def real(self, position: int) -> "NDArray[np.float32] | None":
        """A constant input in float32 (float16 widened, int8 dequantized), None where it is computed.

        Raises InvalidInputError where it holds NaN.
        """
        value = self._lookup(position)
        if isinstance(value, SSAValue):
            return None
        return as_real(value, self.scope.tensors[self.operator.inputs[position]], self.name)

    def weights(self, position: int) -> "NDArray[np.float32] | None":
        """`real` for weights and biases, which must be finite too."""
        import numpy as np

        array = self.real(position)
        if array is not None and not np.isfinite(array).all():
            raise InvalidInputError("its weights hold infinite values", location=self.name)
        return array

    def value(self, position: int) -> SSAValue:
        """The input as an SSA value; a constant becomes a `ktensor.constant`, one per tensor of the model."""
        known = self._lookup(position)
        if isinstance(known, SSAValue):
            return known
        index = self.operator.inputs[position]
        if index not in self.scope.materialized:
            self.scope.materialized[index] = self._materialized(position)
        return self.scope.materialized[index]

    def shape(self, position: int) -> tuple[int, ...]:
        """The input's inferred shape (never the stored one)."""
        return shape_of(self._lookup(position))

    def rank4(self, position: int) -> tuple[int, int, int, int]:
        """The input's N, H, W, C."""
        shape = self.shape(position)
        if len(shape) != 4:
            message = f"{self.operator.kind} needs an input of 4 dimensions (N, H, W, C), this one has {list(shape)}"
            raise InvalidInputError(message, location=self.name)
        return shape

    def axis(self, value: int, rank: int) -> int:
        """An axis counted from the front. Raises InvalidInputError where there is no such axis."""
        if not -rank <= value < rank:
            raise InvalidInputError(f"axis {value} of a tensor of {rank} dimensions", location=self.name)
        return value % rank

    def option(self, name: str, default: Any = None) -> Any:
        """A scalar option by its flatbuffer name; the default where the operator came without options."""
        if self.operator.options is None and default is not None:
            return default
        read = getattr(self.operator.options, name, None)
        if read is None:
            raise InvalidInputError(f"{self.operator.kind} has no option {name}", location=self.name)
        value = read()
        if not math.isfinite(value):
            raise self.invalid(f"has {name} = {value}")
        return value

    def custom_options(self, count: int) -> tuple[int, ...]:
        """The first 32-bit integers among the options of a custom operator; all others must be 0."""
        stored: bytes = self.operator.options
        if len(stored) % 4 or len(stored) < 4 * count or any(stored[4 * count :]):
            self.refuse(f"its {len(stored)} bytes of options are not {count} integers")
        return struct.unpack_from(f"<{count}i", stored)

    def list_option(self, name: str) -> tuple[int, ...]:
        """A vector option, empty where it is absent."""
        read = getattr(self.operator.options, f"{name}AsNumpy", None)
        vector = 0 if read is None else read()
        return () if isinstance(vector, int) else tuple(vector.tolist())

    def positive(self, *names: str) -> tuple[int, ...]:
        """Options that must be 1 or more, such as strides."""
        values = tuple(int(self.option(name)) for name in names)
        for name, value in zip(names, values, strict=True):
            if not 1 <= value <= MAX_ELEMENTS:
                raise InvalidInputError(f"{name} is {value}, it must be 1 or more", location=self.name)
        return values

    def invalid(self, message: str) -> InvalidInputError:
        """The error of a layer that contradicts itself."""
        return InvalidInputError(f"{self.operator.kind} {message}", location=self.name)

    def refuse(self, reason: str, nearest: str = "") -> NoReturn:
        """Give up on the layer: `reason` says what is in the way, `nearest` the form that works."""
        works = f"; works: {nearest}" if nearest else ""
        raise NotExpressibleError(f"{self.operator.custom or self.operator.kind}: {reason}{works}")

    def emit(self, op: ktensor.KTensorOp) -> SSAValue:
        """`put`, for what importers share."""
        return self.put(op)

    def constant(self, values: Any, name: str = "") -> SSAValue:
        """Append a float32 constant."""
        import numpy as np

        return self.put_constant(np.asarray(values, np.float32))

    def _materialized(self, position: int) -> SSAValue:
        import numpy as np

        real = cast("Constant", self.real(position))
        if self.operator.kind in _MASKING:
            real = np.clip(real, *_FINITE)
        stored = self.known(position)
        if stored is not None and self.is_whole(position) and (real.astype(np.float64) != stored).any():
            self.refuse("a constant has integers that float32 does not hold", "up to 16777216")
        return self.put_constant(real)

    def rounded_away(self, value: SSAValue) -> SSAValue:
        """Rounded, halves away from 0."""
        distance = self.unary("floor", self.binary("add", self.unary("abs", value), 0.5))
        return self.binary("mul", self.unary("sign", value), distance)

    def indices(self, position: int) -> Value:
        """An input of whole numbers, as an array where it is known at import."""
        value = self._lookup(position)
        if not isinstance(value, SSAValue) and value.dtype.kind not in "iu":
            raise self.invalid(f"has indices of type {value.dtype}")
        return value

    def dtype(self, position: int) -> str:
        """The type that an input has in the model."""
        tensor = self.tensor(position)
        return "" if tensor is None else tensor.dtype

    def is_whole(self, position: int = 0) -> bool:
        """Whether an input holds integers or bools in the model, here whole numbers, rather than codes of numbers."""
        return self.dtype(position) in WHOLE and not self.is_coded(position)

    def is_coded(self, position: int) -> bool:
        """Whether an input is stored as integers with a scale: codes of real numbers."""
        tensor = self.tensor(position)
        return tensor is not None and tensor.is_coded

    def put(self, operation: Operation) -> SSAValue:
        """Append an operation named after this layer; its (only) result."""
        operation.location = named(self.name)
        operation.verify()
        result = operation.results[0]
        shape = shape_of(result)
        check_size(shape, self.name)
        if min(shape, default=1) < 1:
            raise InvalidInputError(f"{self.operator.kind} gives an empty tensor {list(shape)}", location=self.name)
        self.scope.block.add_op(operation)
        return result

    def put_constant(self, array: Constant) -> SSAValue:
        """Append a constant."""
        return self.put(ktensor.ConstantOp(array))

    def rounded(self, value: SSAValue, tensor: Tensor) -> SSAValue:
        """A value that the model computes, rounded as it does that where it stores it in a tensor."""
        if tensor.dtype not in DTYPES:
            self.refuse(f"its result is {tensor.dtype.lower()}", "a float, an integer of 8 bits or more, or bool")
        if tensor.dtype == "INT16" and tensor.quantization is not None:
            scale = float(tensor.quantization.scale[0])
            return self.activation(value, "clamp", -32768 * scale, 32767 * scale)
        element = element_of(tensor)
        if element is None:
            return value
        return self.put(ktensor.ActivationOp(value, ktensor.ActivationAttr.rounding_to(element)))

    def _lookup(self, position: int) -> Value:
        if not self.has(position):
            message = f"{self.operator.kind} has {len(self.operator.inputs)} inputs, number {position} is missing"
            raise InvalidInputError(message, location=self.name)
        return lookup(self.scope, self.operator.inputs[position], self.name)


def lookup(scope: Scope, index: int, layer: str) -> Value:
    """What is known of tensor `index` when `layer` reads it."""
    if index in scope.values:
        return scope.values[index]
    tensor = scope.tensors[index]
    if tensor.problem is not None:
        raise NotExpressibleError(tensor.problem)
    if index in scope.refused:
        raise MissingInputError
    raise InvalidInputError(f"it reads tensor {tensor.name}, which no earlier layer computes", location=layer)


def element_of(tensor: Tensor) -> "ktensor.QuantizedType | None":
    """The bytes that the codes of a tensor of int8 or uint8 activations become; None of other tensors."""
    if tensor.data is not None or tensor.dtype not in ZERO_POINTS or tensor.quantization is None:
        return None
    scale, zero_point = tensor.quantization.scale[0], tensor.quantization.zero_point[0]
    return ktensor.QuantizedType.of(float(scale), int(zero_point) + ZERO_POINTS[tensor.dtype])


def shape_of(value: Value) -> tuple[int, ...]:
    """The static shape of a value."""
    if not isinstance(value, SSAValue):
        return tuple(value.shape)
    return cast("TensorType[Attribute]", value.type).get_shape()


def check_size(shape: Sequence[int], layer: str) -> None:
    """Raise InvalidInputError for a shape no real model has, before anything of that size is made."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise InvalidInputError(f"a tensor of shape {list(shape)} is too large", location=layer)


def as_real(constant: Constant, tensor: Tensor, layer: str) -> "NDArray[np.float32]":
    """A constant's real values: quantized ones dequantized per tensor or per channel. Raises for NaN."""
    import numpy as np

    quantized = tensor.quantization is not None and constant.dtype.kind in "iu"
    real = _dequantized(constant, tensor.quantization, layer) if quantized else constant.astype(np.float32, copy=False)
    count = int(np.isnan(real).sum())
    if count:
        message = f"{count} of the {real.size} values of its constant {tensor.name} are NaN"
        raise InvalidInputError(message, location=layer, hint="the model was not trained or exported soundly")
    return real


def _dequantized(stored: Constant, quantization: Quantization | None, layer: str) -> "NDArray[np.float32]":
    import numpy as np

    assert quantization is not None
    scale, zero_point = quantization.scale, quantization.zero_point
    if scale.size > 1:
        axis = quantization.axis
        if not 0 <= axis < stored.ndim or stored.shape[axis] != scale.size:
            message = f"{scale.size} scales along axis {axis} of a constant of shape {list(stored.shape)}"
            raise InvalidInputError(message, location=layer)
        along = [1] * stored.ndim
        along[axis] = scale.size
        scale = scale.reshape(along)
        zero_point = zero_point.reshape(along) if zero_point.size > 1 else zero_point
    return ((stored.astype(np.int64) - zero_point) * scale).astype(np.float32)
