"""One ONNX node as a converter sees it: its attributes, its operands, and the ktensor ops it becomes."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias, cast

import numpy as np
import onnx
import onnx.helper
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from xdsl.ir import Block, SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.emitter import Emitter
from kpuir.importers.onnx.elements import BITS, LARGEST, UNSIGNED
from kpuir.importers.onnx.graph import to_array
from kpuir.ir.locations import named

Shape: TypeAlias = tuple[int, ...]
Operand: TypeAlias = "SSAValue | NDArray[Any] | None"
Result: TypeAlias = "SSAValue | NDArray[Any] | Sequence[SSAValue | NDArray[Any] | None]"
Converter: TypeAlias = "Callable[[Node], Result]"
Table: TypeAlias = Mapping[str, Converter]


def documented(converter: Converter, text: str) -> Converter:
    """The converter with a text for the page of supported ops, for those that are made by functions."""
    converter.__doc__ = text
    return converter


class RefusedError(Exception):
    """A converter's verdict that its node cannot be expressed; the reason is for the user."""


class Codes(NamedTuple):
    """A tensor of integers that is here the real numbers they stand for: `real = (q - zero_point) * scale`."""

    element: int
    scale: float
    zero_point: int


class Node(Emitter):
    """A node with its operands resolved: each is an SSA value, an array known at compile time, or absent (None)."""

    def __init__(
        self,
        proto: NodeProto,
        layer: str,
        opset: int,
        operands: Sequence[Operand],
        block: Block,
        constants: dict[str, SSAValue] | None = None,
        elements: Sequence[int] = (),
        codes: "Sequence[Codes | None]" = (),
    ) -> None:
        self._proto = proto
        self.op_type = proto.op_type
        self.layer = layer
        self.opset = opset
        self.operands = operands
        self.elements = elements
        self.codes = codes
        self.result_codes: Codes | None = None
        self.input_names = tuple(proto.input)
        self.output_count = len(proto.output)
        self.output_names = tuple(proto.output)
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        self._block = block
        self._constants = {} if constants is None else constants
        self._location = named(layer)

    def becoming(self, op_type: str, operands: Sequence[Operand], **attributes: Any) -> "Node":
        """The node with another op, operands and more attributes, for converters that do most of the work."""
        proto = NodeProto()
        proto.CopyFrom(self._proto)
        proto.op_type = op_type
        kept = [attribute for attribute in proto.attribute if attribute.name not in attributes]
        del proto.attribute[:]
        proto.attribute.extend(kept)
        proto.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
        del proto.input[:]
        proto.input.extend(f"{self.layer}.{index}" for index in range(len(operands)))
        return Node(proto, self.layer, self.opset, operands, self._block, {}, (TensorProto.FLOAT,) * len(operands))

    # Attributes

    def has_attribute(self, name: str) -> bool:
        """Whether the attribute is given."""
        return name in self._attributes

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute. Raises InvalidInputError where it is missing and has no default."""
        return int(self._attribute(name, default))

    def real(self, name: str, default: float) -> float:
        """A floating-point attribute. Raises InvalidInputError for NaN and infinities."""
        value = self.number(name, default)
        if not math.isfinite(value):
            raise InvalidInputError(f"{self.op_type} {name} is {value}", location=self.layer)
        return value

    def number(self, name: str, default: float) -> float:
        """A floating-point attribute that may be infinite."""
        return float(self._attribute(name, default))

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self._attribute(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """An attribute that is a list of integers. Raises InvalidInputError where it is missing without a default."""
        return [int(value) for value in self._attribute(name, default)]

    def reals(self, name: str) -> list[float]:
        """An attribute that is a list of numbers. Raises InvalidInputError where it is missing."""
        return [float(value) for value in self._attribute(name, None)]

    def texts(self, name: str) -> list[str]:
        """An attribute that is a list of strings; empty where it is not given."""
        values: Sequence[Any] = self._attribute(name, ()) if name in self._attributes else ()
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values]

    def tensor(self, name: str) -> "NDArray[Any]":
        """A tensor attribute."""
        return to_array(cast("TensorProto", self._attribute(name, None)), self.layer)

    def _attribute(self, name: str, default: Any) -> Any:
        attribute = self._attributes.get(name)
        if attribute is not None:
            return onnx.helper.get_attribute_value(attribute)
        if default is None:
            raise InvalidInputError(f"{self.op_type} has no attribute {name!r}", location=self.layer)
        return default

    # Operands

    def has(self, index: int) -> bool:
        """Whether an (optional) input is given."""
        return index < len(self.operands) and self.operands[index] is not None

    def is_constant(self, index: int) -> bool:
        """Whether an input is known at compile time."""
        return index < len(self.operands) and isinstance(self.operands[index], np.ndarray)

    def value(self, index: int) -> SSAValue:
        """An input as an SSA value; one that is known at compile time becomes a `ktensor.constant`."""
        operand = self._operand(index)
        if isinstance(operand, SSAValue):
            return operand
        name = self.input_names[index]
        if self.op_type in _MASKING and operand.dtype.kind not in "iub":
            operand = np.where(np.isinf(operand), np.sign(operand) * _LARGEST_FLOAT, operand)
        if name not in self._constants:
            self._constants[name] = self.constant(operand, name)
        return self._constants[name]

    def indices(self, index: int) -> "SSAValue | NDArray[Any]":
        """An input of indices, as an array where it is known at compile time."""
        return self._operand(index)

    def array(self, index: int, what: str) -> "NDArray[Any]":
        """An input that must be known at compile time; refuses the node, calling it `what`, where it is computed."""
        operand = self._operand(index)
        if isinstance(operand, SSAValue):
            self.refuse(f"{what} ({self.input_names[index]!r}) is computed at run time", "a constant one")
        return operand

    def optional_array(self, index: int, what: str) -> "NDArray[Any] | None":
        """As `array`, None where the input is not given."""
        return self.array(index, what) if self.has(index) else None

    def int_list(self, index: int, what: str) -> list[int]:
        """An input that must be a constant list of integers."""
        values = self.array(index, what)
        if values.dtype.kind not in "iu" or values.ndim > 1:
            raise InvalidInputError(f"{self.op_type} {what} is no list of integers", location=self.layer)
        return [int(value) for value in values.reshape(-1)]

    def optional_ints(self, index: int, attribute: str) -> list[int] | None:
        """A list of integers that newer opsets have as input `index` and older ones as an attribute; None if absent."""
        if self.has(index):
            return self.int_list(index, attribute)
        return self.integers(attribute) if self.has_attribute(attribute) else None

    def scalar(self, index: int, what: str) -> float:
        """An input that must be a constant of one element, as a float."""
        values = self.array(index, what)
        if values.size != 1:
            self.refuse(f"{what} has {values.size} elements", "one for all elements")
        return float(values.reshape(())[()])

    def element(self, index: int) -> int:
        """The element type that an input has in the model; float where nothing says otherwise."""
        return self.elements[index] if index < len(self.elements) else TensorProto.FLOAT

    def is_integer(self, index: int = 0) -> bool:
        """Whether an input holds integers in the model, here whole numbers."""
        return self.element(index) in BITS

    def is_bool(self, index: int = 0) -> bool:
        """Whether an input holds bools in the model, here 0 and 1."""
        return self.element(index) == TensorProto.BOOL

    def shape(self, index: int) -> Shape:
        """The shape of an input."""
        operand = self._operand(index)
        return ktensor.shape_of(operand) if isinstance(operand, SSAValue) else operand.shape

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front. Raises InvalidInputError where it lies outside the rank."""
        if not -rank <= axis < rank:
            raise InvalidInputError(
                f"{self.op_type} axis {axis} lies outside the {rank} axes of its input", location=self.layer
            )
        return axis % rank

    def axes(self, axes: Sequence[int], rank: int) -> list[int]:
        """Axes counted from the front, in ascending order. Raises InvalidInputError for one given twice."""
        resolved = sorted(self.axis(axis, rank) for axis in axes)
        if len(set(resolved)) != len(resolved):
            raise InvalidInputError(f"{self.op_type} axes {list(axes)} name one axis twice", location=self.layer)
        return resolved

    def _operand(self, index: int) -> "SSAValue | NDArray[Any]":
        operand = self.operands[index] if index < len(self.operands) else None
        if operand is None:
            raise InvalidInputError(f"{self.op_type} has no input {index}", location=self.layer)
        return operand

    # Results

    def refuse(self, reason: str, nearest: str = "") -> NoReturn:
        """Give up on the node: `reason` says what is in the way, `nearest` the form that works."""
        works = f"; works: {nearest}" if nearest else ""
        raise RefusedError(f"{self.op_type}: {reason}{works}")

    def invalid(self, message: str) -> InvalidInputError:
        """The error of a node that contradicts itself."""
        return InvalidInputError(f"{self.op_type} {message}", location=self.layer)

    def wrapped(self, value: SSAValue, element: int) -> SSAValue:
        """Whole numbers as an element type holds them."""
        return self.modulo(value, BITS.get(element, 64), element in UNSIGNED)

    def emit(self, op: ktensor.KTensorOp) -> SSAValue:
        """Append an op, named after the layer, and return its result."""
        op.location = self._location
        self._block.add_op(op)
        return op.output

    def constant(self, values: Any, name: str = "") -> SSAValue:
        """A float32 constant. Raises InvalidInputError where a value is NaN or infinite.

        Refuses the node where it is an integer that float32 does not hold.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            given = np.asarray(values)
            array = given.astype(np.float32)
        if given.dtype.kind in "iu" and (array.astype(np.float64) != given).any():
            self.refuse(f"constant {name!r} has integers that float32 does not hold", f"up to {LARGEST}")
        if array.size == 0:
            raise InvalidInputError(f"constant {name!r} is empty, of shape {list(array.shape)}", location=self.layer)
        self.require_finite(array, name or self.op_type)
        op = ktensor.ConstantOp(array)
        op.location = named(name) if name else self._location
        self._block.add_op(op)
        return op.output

    def require_finite(self, array: "NDArray[Any]", name: str) -> None:
        """Raise InvalidInputError, calling the array `name`, where a value is NaN or infinite."""
        bad = array.size - int(np.isfinite(array).sum())
        if bad:
            raise InvalidInputError(
                f"{bad} of the {array.size} values of {name!r} are NaN or infinite (as float32)",
                location=self.layer,
                hint="train or export the model again",
            )


_MASKING = frozenset({"Add", "Max", "Min", "Where"})
"""Ops whose constants may be infinite, to mask what is added or chosen; the largest number does the same."""
_LARGEST_FLOAT = np.finfo(np.float32).max
