"""What all kbuf ops share: kinds of buffers and properties, byte sizes and addresses, the base of the instructions."""

from abc import ABC
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import prod
from types import SimpleNamespace
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

from xdsl.dialects.builtin import (
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    MemRefType,
    NoneAttr,
    f32,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrConstraint,
    IRDLOperation,
    ParsePropInAttrDict,
    VerificationContext,
    traits_def,
)
from xdsl.traits import EffectInstance, MemoryEffect, MemoryEffectKind
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from kpuir.dialects.kbuf.attributes import (
    ELEMENT_TYPES,
    UI8,
    BufferType,
    ClampAttr,
    RegistersAttr,
    Space,
    SpaceAttr,
)
from kpuir.ir.arrays import element_type, to_dense, to_numpy
from kpuir.kmodel.layer import LayerRegisters
from kpuir.target.k210 import feature_map_bytes

Shape: TypeAlias = tuple[int, ...]
IntArray: TypeAlias = DenseArrayBase[IntegerType]
Dense: TypeAlias = DenseIntOrFPElementsAttr[Any]
AttributeT = TypeVar("AttributeT", bound=Attribute)
_ELEMENT_SIZES = {element: datatype.itemsize for datatype, element in ELEMENT_TYPES.items()}


def require(condition: bool, message: str) -> None:
    """Raise VerifyException with `message` unless `condition` holds."""
    if not condition:
        raise VerifyException(message)


# --- Buffers --------------------------------------------------------------------------------------------------------


def buffer_type(shape: Sequence[int], element: Attribute, space: Space) -> BufferType:
    """`memref<shape x element, #kbuf.space<space>>`."""
    return MemRefType(element, shape, NoneAttr(), SpaceAttr(space))


def space_of(value: SSAValue | BufferType) -> Space:
    """The space of a buffer or its type. Raises VerifyException where it has none."""
    kind = _type_of(value)
    if not isinstance(kind.memory_space, SpaceAttr):
        raise VerifyException(f"{kind} has no #kbuf.space")
    return kind.memory_space.data


def element_size(value: SSAValue | BufferType) -> int:
    """Bytes per element of a buffer. Raises VerifyException for elements that no runtime has."""
    kind = _type_of(value)
    if kind.element_type not in _ELEMENT_SIZES:
        raise VerifyException(f"no runtime has elements of type {kind.element_type}")
    return _ELEMENT_SIZES[kind.element_type]


def byte_size(value: SSAValue | BufferType) -> int:
    """Bytes a buffer takes: KPU line layout for rank 4 in KPU RAM (`kpu-hardware.md` 2), else dense."""
    kind = _type_of(value)
    shape = kind.get_shape()
    if len(shape) == 4 and space_of(kind) is Space.KPU:
        n, c, h, w = shape
        return feature_map_bytes(n, c, h, w) if prod(shape) else 0
    return prod(shape) * element_size(kind)


def shape_of(value: SSAValue | BufferType) -> Shape:
    """The static shape of a buffer."""
    return tuple(_type_of(value).get_shape())


def _type_of(value: SSAValue | BufferType) -> BufferType:
    kind = value.type if isinstance(value, SSAValue) else value
    if not isinstance(kind, MemRefType):
        raise VerifyException(f"expected a buffer, but the type is {kind}")
    return cast("BufferType", kind)


@dataclass(frozen=True)
class Buffer(AttrConstraint[BufferType]):
    """A static memref in one of our spaces, or in any; of some element types."""

    elements: tuple[Attribute, ...] = (f32, UI8)
    space: Space | None = None

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check type, element, space and shape."""
        if not isinstance(attr, MemRefType):
            raise VerifyException(f"expected a buffer, but the type is {attr}")
        kind = cast("BufferType", attr)
        element_size(kind)
        if kind.element_type not in self.elements:
            wanted = " or ".join(map(str, self.elements))
            raise VerifyException(f"expected elements of type {wanted}, but the buffer is {kind}")
        if self.space not in (None, space_of(kind)):
            raise VerifyException(f"expected a buffer in #kbuf.space<{self.space}>, but it is {kind}")
        if not isinstance(kind.layout, NoneAttr) or min(kind.get_shape(), default=0) < 0:
            raise VerifyException(f"a buffer has a static shape and no layout map, but it is {kind}")

    def mapping_type_vars(self, type_var_mapping: Any) -> "AttrConstraint[BufferType]":
        """No type variables inside."""
        return self


ANY = Buffer()
FLOATS = Buffer((f32,))
BYTES = Buffer((UI8,))
FMAP = Buffer((UI8,), Space.KPU)
NUMBERS = Buffer(tuple(ELEMENT_TYPES.values()))
"""Of any type: what buffers are, what v5 computes with and the caller fills and reads."""


# --- Properties -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PropertyKind(AttrConstraint[AttributeT], ABC):
    """A constraint that also knows the Python value its attribute stands for."""

    def to_attribute(self, value: Any) -> AttributeT:
        """The attribute of a Python value."""
        raise NotImplementedError

    def to_python(self, attribute: AttributeT) -> Any:
        """The Python value of an attribute."""
        raise NotImplementedError

    def mapping_type_vars(self, type_var_mapping: Any) -> "AttrConstraint[AttributeT]":
        """No type variables inside."""
        return self


@dataclass(frozen=True)
class Integer(PropertyKind[IntegerAttr[IntegerType]]):
    """`5 : i64`, an int."""

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the type."""
        if not (isinstance(attr, IntegerAttr) and cast("IntegerAttr[Any]", attr).type == i64):
            raise VerifyException(f"expected an integer of type i64, but got {attr}")

    def to_attribute(self, value: Any) -> IntegerAttr[IntegerType]:
        """The attribute of an int."""
        return IntegerAttr(int(value), i64)

    def to_python(self, attribute: IntegerAttr[IntegerType]) -> int:
        """The int."""
        return attribute.value.data


@dataclass(frozen=True)
class Ints(PropertyKind[IntArray]):
    """`array<i64: ...>` of a length (any where it is None), a tuple of ints."""

    length: int | None

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check type and length."""
        if not (isinstance(attr, DenseArrayBase) and cast("DenseArrayBase[Any]", attr).elt_type == i64):
            raise VerifyException(f"expected an array<i64>, but got {attr}")
        found = len(cast("IntArray", attr))
        require(self.length in (None, found), f"expected {self.length} values, but got {found}")

    def to_attribute(self, value: Any) -> IntArray:
        """The attribute of a sequence of ints."""
        return DenseArrayBase.from_list(i64, [int(item) for item in value])

    def to_python(self, attribute: IntArray) -> Shape:
        """The ints."""
        return tuple(int(item) for item in attribute.get_values())


@dataclass(frozen=True)
class Real(PropertyKind[FloatAttr[Float32Type]]):
    """`1.0 : f32`, a float."""

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the type."""
        if not (isinstance(attr, FloatAttr) and cast("FloatAttr[Any]", attr).type == f32):
            raise VerifyException(f"expected a float of type f32, but got {attr}")

    def to_attribute(self, value: Any) -> FloatAttr[Float32Type]:
        """The attribute of a float, rounded to float32."""
        return FloatAttr(float(value), f32)

    def to_python(self, attribute: FloatAttr[Float32Type]) -> float:
        """The float."""
        return attribute.value.data


@dataclass(frozen=True)
class Clamp(PropertyKind[ClampAttr]):
    """`#kbuf.clamp<lowest, highest>`, a pair of floats."""

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the type."""
        if not isinstance(attr, ClampAttr):
            raise VerifyException(f"expected a #kbuf.clamp, but got {attr}")

    def to_attribute(self, value: Any) -> ClampAttr:
        """The attribute of a (lowest, highest) pair."""
        return ClampAttr.of(*value)

    def to_python(self, attribute: ClampAttr) -> tuple[float, float]:
        """The pair."""
        return attribute.values


@dataclass(frozen=True)
class Values(PropertyKind[Dense]):
    """`dense<...>` of an element type, named by its numpy dtype; an array of any shape.

    Arrays of the `wide` type, where there is one, stay that.
    """

    dtype: str
    wide: str | None = None

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the element type."""
        if not isinstance(attr, DenseIntOrFPElementsAttr):
            raise VerifyException(f"expected a dense attribute, but got {attr}")
        found = cast("Dense", attr).get_element_type()
        wanted = [element_type(dtype) for dtype in (self.dtype, self.wide) if dtype is not None]
        if found not in wanted:
            raise VerifyException(f"expected dense values of type {' or '.join(map(str, wanted))}, but got {found}")

    def to_attribute(self, value: Any) -> Dense:
        """The attribute of an array; a uint64 array keeps its bits as int64."""
        import numpy as np

        array = np.asarray(value)
        if self.wide is not None and array.dtype == self.wide:
            return to_dense(array)
        same_bits = array.dtype.kind in "iu" and array.dtype.itemsize == np.dtype(self.dtype).itemsize
        return to_dense(array.view(self.dtype) if same_bits else array.astype(self.dtype))

    def to_python(self, attribute: Dense) -> Any:
        """The array, read-only."""
        return to_numpy(attribute)


@dataclass(frozen=True)
class Choice(PropertyKind[Any]):
    """A member of an enumeration, as its enum attribute."""

    kind: type[EnumAttribute[Any]]

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the type."""
        if not isinstance(attr, self.kind):
            raise VerifyException(f"expected a #{self.kind.name}, but got {attr}")

    def to_attribute(self, value: Any) -> Any:
        """The attribute of a member or its text."""
        return self.kind(self.kind.enum_type(value))

    def to_python(self, attribute: Any) -> StrEnum:
        """The member."""
        return attribute.data


@dataclass(frozen=True)
class Registers(PropertyKind[RegistersAttr]):
    """`#kbuf.registers<...>`, a LayerRegisters."""

    def verify(self, attr: Attribute, constraint_context: VerificationContext) -> None:
        """Check the type."""
        if not isinstance(attr, RegistersAttr):
            raise VerifyException(f"expected #kbuf.registers, but got {attr}")

    def to_attribute(self, value: LayerRegisters) -> RegistersAttr:
        """The attribute of registers."""
        return RegistersAttr(value)

    def to_python(self, attribute: RegistersAttr) -> LayerRegisters:
        """The registers."""
        return attribute.data


INTEGER = Integer()
SHAPE = Ints(4)
ANY_SHAPE = Ints(None)
PADDING = Ints(2)
PADDINGS = Ints(8)
REAL = Real()
CLAMP = Clamp()
FLOAT_VALUES = Values("float32")
INT_VALUES = Values("int32")
BYTE_VALUES = Values("uint8")
WEIGHT_VALUES = Values("uint8", wide="uint16")
WORD_VALUES = Values("int64")


# --- Instructions ---------------------------------------------------------------------------------------------------


class InstructionEffects(MemoryEffect):
    """An instruction reads its sources and writes its destinations."""

    @classmethod
    def get_effects(cls, op: Operation) -> AbstractSet[EffectInstance]:
        """A read of each source, a write of each destination."""
        assert isinstance(op, InstructionOp)
        written = {EffectInstance(MemoryEffectKind.WRITE, value) for value in op.destinations}
        return written | {EffectInstance(MemoryEffectKind.READ, value) for value in op.sources}


ONE_TO_ONE = "$input `->` $output attr-dict `:` type($input) `->` type($output)"
TWO_TO_ONE = "$a `,` $b `->` $output attr-dict `:` type($a) `,` type($b) `->` type($output)"


class InstructionOp(IRDLOperation, ABC):
    """One instruction of a runtime: reads buffers, writes the destination, which is its last operand.

    Operands and properties have the names of the kmodel's fields. An op is made from buffers in operand order and
    properties as Python values: `UnaryOp(x, y, op="exp")`; `values()` gives the properties back as such.
    """

    traits = traits_def(InstructionEffects())
    irdl_options = (ParsePropInAttrDict(),)
    DESTINATIONS: ClassVar[tuple[str, ...]] = ("output",)
    UPDATED: ClassVar[tuple[str, ...]] = ()
    """The destinations that it reads before it writes them."""

    def __init__(
        self, *buffers: SSAValue | Operation | Sequence[SSAValue | Operation] | None, **properties: Any
    ) -> None:
        kinds = property_kinds(type(self))
        unknown = properties.keys() - kinds.keys()
        if unknown:
            raise TypeError(f"{self.name} has no property {', '.join(sorted(unknown))}")
        given = {name: value for name, value in properties.items() if value is not None}
        super().__init__(
            operands=buffers, properties={name: kinds[name].to_attribute(value) for name, value in given.items()}
        )

    @property
    def destinations(self) -> tuple[SSAValue, ...]:
        """The buffers it writes."""
        return tuple(value for name, value in self.buffers() if name in self.DESTINATIONS)

    @property
    def sources(self) -> tuple[SSAValue, ...]:
        """The buffers it reads."""
        return tuple(value for name, value in self.buffers() if name not in self.DESTINATIONS or name in self.UPDATED)

    def buffers(self) -> list[tuple[str, SSAValue]]:
        """Name and value of every buffer in operand order; the members of a list share its name."""
        found = [(name, getattr(self, name)) for name, _ in type(self).get_irdl_definition().operands]
        return [
            (name, item)
            for name, value in found
            for item in ([value] if isinstance(value, SSAValue) else list(value or ()))
        ]

    def values(self) -> dict[str, Any]:
        """The properties as Python values, defaults filled in; absent optional ones are None."""
        kinds = property_kinds(type(self))
        attributes = {name: getattr(self, name) for name in kinds}
        return {name: None if value is None else kinds[name].to_python(value) for name, value in attributes.items()}

    @property
    def overwritable(self) -> tuple[SSAValue, ...]:
        """The buffers in whose place the result may be: runtimes read each element before they write its place."""
        return ()

    @staticmethod
    def shapes(fields: Any) -> dict[str, Shape]:
        """The shape each buffer must have, as far as the fields say; `fields` has the properties as attributes."""
        return {}

    def check(self, fields: Any) -> None:
        """Verify what is special to the op; `fields` has the properties as attributes of Python values."""

    def verify_(self) -> None:
        """Check buffer sizes against the properties, then what is special to the op."""
        fields = SimpleNamespace(**self.values())
        buffers = dict(self.buffers())
        for name, shape in self.shapes(fields).items():
            if name in buffers:
                check_size(name, buffers[name], shape)
        self.check(fields)


def property_kinds(op: type[InstructionOp]) -> dict[str, PropertyKind[Any]]:
    """The kind of each property of an instruction, by its name."""
    definitions = op.get_irdl_definition().properties
    return {name: cast("PropertyKind[Any]", definition.constr) for name, definition in definitions.items()}


def check_size(name: str, value: SSAValue, shape: Shape) -> None:
    """Raise VerifyException unless a buffer has the bytes of a tensor of `shape` and of its own element type.

    A buffer of rank 4 in KPU RAM must have the shape itself.
    """
    kind = _type_of(value)
    require(min(shape, default=0) >= 0, f"{name} would have the shape {list(shape)}")
    if space_of(kind) is Space.KPU and len(shape) == 4:
        expected = byte_size(buffer_type(shape, kind.element_type, Space.KPU)) if prod(shape) else 0
        if len(kind.get_shape()) == 4:
            require(shape_of(kind) == shape, f"{name} has shape {list(shape_of(kind))}, but the op says {list(shape)}")
    else:
        expected = prod(shape) * element_size(kind)
    found = byte_size(kind)
    require(found == expected, f"{name} has {found} bytes, but the shape {list(shape)} takes {expected}")


def check_count(name: str, array: Any, expected: int) -> None:
    """Raise VerifyException unless an array has the expected number of values."""
    require(array.size == expected, f"{name} has {array.size} values, but the op needs {expected}")


def check_same_elements(op: InstructionOp) -> None:
    """Raise VerifyException unless all buffers have one element type."""
    kinds = [_type_of(value).element_type for _, value in op.buffers()]
    if len(set(kinds)) > 1:
        raise VerifyException(f"all buffers must have one element type, but they have {', '.join(map(str, kinds))}")
