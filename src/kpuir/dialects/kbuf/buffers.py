"""Buffers: where bytes lie, which of them are constant, and which the caller fills and reads."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, Float64Type, FloatAttr, IntegerAttr, StringAttr, f64, i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import EffectInstance, MemoryEffect, MemoryEffectKind, Pure

from kpuir.dialects.kbuf.attributes import BufferType, Space
from kpuir.dialects.kbuf.base import (
    ANY_SHAPE,
    INTEGER,
    NUMBERS,
    Buffer,
    buffer_type,
    byte_size,
    check_size,
    require,
    space_of,
)
from kpuir.ir.arrays import to_dense, to_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _check_offset(offset: "IntegerAttr[Any] | None") -> None:
    value = 0 if offset is None else offset.value.data
    require(value >= 0, f"offset is {value}, but must not be negative")


class _Allocates(MemoryEffect):
    """The op makes its result: removable when unused, never merged with another."""

    @classmethod
    def get_effects(cls, op: Operation) -> AbstractSet[EffectInstance]:
        """An allocation of the result."""
        return {EffectInstance(MemoryEffectKind.ALLOC, op.results[0])}


@irdl_op_definition
class AllocOp(IRDLOperation):
    """A static buffer. `offset` counts bytes in its RAM and is absent until allocation; lives may share bytes.

    Example: `%b = kbuf.alloc {offset = 64 : i64} : memref<1x16x32x32xui8, #kbuf.space<kpu>>`
    """

    name = "kbuf.alloc"
    offset = opt_prop_def(INTEGER)
    result = result_def(NUMBERS)
    traits = traits_def(_Allocates())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict `:` type($result)"

    def __init__(self, kind: BufferType, offset: int | None = None) -> None:
        properties = {"offset": None if offset is None else IntegerAttr(offset, i64)}
        super().__init__(result_types=[kind], properties=properties)

    def verify_(self) -> None:
        """Check offset and space."""
        _check_offset(self.offset)
        require(space_of(self.result) is not Space.CONST, "constants come from kbuf.constant, not kbuf.alloc")


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """Bytes in the constant pool, at byte `offset` of it once allocated.

    Example: `%c = kbuf.constant dense<[1, 2]> : tensor<2xui8> {offset = 0 : i64} : memref<2xui8, #kbuf.space<const>>`
    """

    name = "kbuf.constant"
    value = prop_def(DenseIntOrFPElementsAttr)
    offset = opt_prop_def(INTEGER)
    result = result_def(Buffer(NUMBERS.elements, Space.CONST))
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$value attr-dict `:` type($result)"

    def __init__(self, value: "NDArray[Any] | DenseIntOrFPElementsAttr[Any]", offset: int | None = None) -> None:
        dense = value if isinstance(value, DenseIntOrFPElementsAttr) else to_dense(value)
        kind = buffer_type(dense.get_shape(), dense.get_element_type(), Space.CONST)
        properties = {"value": dense, "offset": None if offset is None else IntegerAttr(offset, i64)}
        super().__init__(result_types=[kind], properties=properties)

    @property
    def array(self) -> "NDArray[Any]":
        """The values, read-only, of the buffer's shape."""
        return to_numpy(self.value)

    def verify_(self) -> None:
        """Check offset, shape and element type."""
        _check_offset(self.offset)
        dense: DenseIntOrFPElementsAttr[Any] = self.value
        expected = buffer_type(dense.get_shape(), dense.get_element_type(), Space.CONST)
        require(self.result.type == expected, f"result type is {self.result.type}, but the values give {expected}")


@irdl_op_definition
class SubviewOp(IRDLOperation):
    """A part of a buffer's bytes, from `byte_offset` on, or all of them under another shape or element type.

    Example: `%v = kbuf.subview %b {byte_offset = 8 : i64} : memref<64xui8, #kbuf.space<main>> ->
    memref<2x4xf32, #kbuf.space<main>>`
    """

    name = "kbuf.subview"
    source = operand_def(NUMBERS)
    byte_offset = prop_def(INTEGER, default_value=IntegerAttr(0, i64))
    result = result_def(NUMBERS)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$source attr-dict `:` type($source) `->` type($result)"

    def __init__(self, source: SSAValue | Operation, kind: BufferType, byte_offset: int = 0) -> None:
        properties = {"byte_offset": IntegerAttr(byte_offset, i64)}
        super().__init__(operands=[source], result_types=[kind], properties=properties)

    def verify_(self) -> None:
        """Check that the part lies inside the whole, in the same space."""
        source, result = space_of(self.source), space_of(self.result)
        require(source is result, f"the subview is in #kbuf.space<{result}>, but its source in #kbuf.space<{source}>")
        start, size, whole = self.byte_offset.value.data, byte_size(self.result), byte_size(self.source)
        inside = start >= 0 and start + size <= whole
        require(inside, f"bytes {start}..{start + size} lie outside of the source's {whole}")


class _CallerWrites(MemoryEffect):
    """The caller fills the buffer before a run."""

    @classmethod
    def get_effects(cls, op: Operation) -> AbstractSet[EffectInstance]:
        """A write of the buffer."""
        return {EffectInstance(MemoryEffectKind.WRITE, op.operands[0])}


class _CallerReads(MemoryEffect):
    """The caller reads the buffer after a run: an effect outside of the IR, which no dead code elimination removes."""

    @classmethod
    def get_effects(cls, op: Operation) -> AbstractSet[EffectInstance]:
        """A read of the buffer, and a write to the world."""
        return {EffectInstance(MemoryEffectKind.READ, op.operands[0]), EffectInstance(MemoryEffectKind.WRITE)}


class _PortOp(IRDLOperation):
    """What inputs and outputs share.

    `index` counts from 0. `scale` and `zero_point` say what the bytes stand for: real = (q - zero_point) * scale;
    `layout` is the source model's own layout where the buffer's is another.
    """

    buffer = operand_def(NUMBERS)
    index = prop_def(INTEGER)
    port_name = opt_prop_def(StringAttr, prop_name="name")
    scale = opt_prop_def(FloatAttr[Float64Type])
    zero_point = opt_prop_def(INTEGER)
    layout = opt_prop_def(StringAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$buffer attr-dict `:` type($buffer)"

    def __init__(
        self,
        buffer: SSAValue | Operation,
        index: int,
        shape: Sequence[int] | None = None,
        name: str | None = None,
        *,
        scale: float | None = None,
        zero_point: int | None = None,
        layout: str | None = None,
    ) -> None:
        super().__init__(
            operands=[buffer],
            properties={
                "index": INTEGER.to_attribute(index),
                "shape": None if shape is None else ANY_SHAPE.to_attribute(shape),
                "name": None if name is None else StringAttr(name),
                "scale": None if scale is None else FloatAttr(scale, f64),
                "zero_point": None if zero_point is None else INTEGER.to_attribute(zero_point),
                "layout": None if layout is None else StringAttr(layout),
            },
        )

    def check_port(self, shape: Sequence[int] | None) -> None:
        """Raise VerifyException unless index and shape can be."""
        index = self.index.value.data
        require(index >= 0, f"index is {index}, but must not be negative")
        if shape is not None:
            check_size("buffer", self.buffer, tuple(shape))


@irdl_op_definition
class InputOp(_PortOp):
    """The caller fills the buffer with input number `index`, of `shape` (NCHW; v5 has other ranks), before each run.

    Example: `kbuf.input %b {index = 0 : i64, shape = array<i64: 1, 3, 4, 4>, name = "x"} : memref<..>`
    """

    name = "kbuf.input"
    shape = prop_def(ANY_SHAPE)
    traits = traits_def(_CallerWrites())

    def verify_(self) -> None:
        """Check index and shape."""
        self.check_port(ANY_SHAPE.to_python(self.shape))


@irdl_op_definition
class OutputOp(_PortOp):
    """The caller reads output number `index` from the buffer after each run; its shape need not be known.

    Example: `kbuf.output %b {index = 0 : i64, name = "scores"} : memref<1x10xf32, #kbuf.space<main>>`
    """

    name = "kbuf.output"
    shape = opt_prop_def(ANY_SHAPE)
    traits = traits_def(_CallerReads())

    def verify_(self) -> None:
        """Check index and shape."""
        self.check_port(None if self.shape is None else ANY_SHAPE.to_python(self.shape))


def offset_of(value: SSAValue) -> int | None:
    """The byte offset of a buffer in its space; None before allocation, or when its source is unknown.

    alloc and constant say it themselves, a subview adds its own offset to its source's.
    """
    owner = value.owner
    if isinstance(owner, SubviewOp):
        base = offset_of(owner.source)
        return None if base is None else base + owner.byte_offset.value.data
    if isinstance(owner, AllocOp | ConstantOp):
        return None if owner.offset is None else owner.offset.value.data
    return None


def users_of(value: SSAValue) -> list[Operation]:
    """The operations that name a buffer, directly or through subviews."""
    direct = [use.operation for use in value.uses]
    inner = [user for view in direct if isinstance(view, SubviewOp) for user in users_of(view.result)]
    return [op for op in direct if not isinstance(op, SubviewOp)] + inner


def root_of(value: SSAValue) -> SSAValue:
    """The alloc or constant whose bytes a buffer shows, found through subviews."""
    while isinstance(value.owner, SubviewOp):
        value = value.owner.source
    return value


def offset_in_root(value: SSAValue) -> int:
    """The byte of `root_of(value)` at which a buffer begins."""
    offset = 0
    while isinstance(value.owner, SubviewOp):
        offset += value.owner.byte_offset.value.data
        value = value.owner.source
    return offset
