"""What the conversion of every operation shares: the buffers of values, constants, and the table of conversions."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from xdsl.builder import Builder
from xdsl.dialects.builtin import MemRefType, f32
from xdsl.ir import Attribute, Operation, SSAValue

from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.errors import UnsupportedError
from kpuir.ir.locations import fused, is_unknown, layer_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

OpT = TypeVar("OpT", bound=Operation)
Clamp = tuple[float, float]
Convert = Callable[["Lowering", Any], None]

CONVERSIONS: dict[type[Operation], Convert] = {}
"""How each operation becomes instructions. A plug-in adds its own operations here, with `converts`."""

MAX_RANK = 4
_NOT_EXPLAINED = (kbuf.KpuConv2dOp, kbuf.KpuUploadOp, kbuf.DequantizeOp, kbuf.MemoryCopyOp)
"""Layers, and ways there and back: whether these are there is another instruction's reason."""
NO_CLAMP: Clamp = (-kbuf.FLOAT_MAX, kbuf.FLOAT_MAX)


class RefusalError(Exception):
    """An operation that no instruction does; the message says why and what would work."""


def converts(*kinds: type[Operation]) -> Callable[[Convert], Convert]:
    """Register a function as the conversion of some operations."""

    def register(function: Convert) -> Convert:
        CONVERSIONS.update(dict.fromkeys(kinds, function))
        return function

    return register


def shape4(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of at most 4 dimensions with ones in front (kmodel-v4.md 3)."""
    if len(shape) > MAX_RANK:
        raise RefusalError(f"a tensor of {len(shape)} dimensions ({'x'.join(map(str, shape))}); kmodels have at most 4")
    return (1,) * (MAX_RANK - len(shape)) + tuple(shape)


def byte_size(value: SSAValue) -> int:
    """The bytes of a tensor in main RAM."""
    return math.prod(ktensor.shape_of(value)) * (1 if ktensor.is_quantized(value) else 4)


def clamp_of(op: Operation) -> Clamp | None:
    """The bounds of an activation that an instruction can apply to its result."""
    if not isinstance(op, ktensor.ActivationOp):
        return None
    match op.function.kind:
        case ktensor.ActivationKind.RELU:
            return 0.0, kbuf.FLOAT_MAX
        case ktensor.ActivationKind.RELU6:
            return 0.0, 6.0
        case ktensor.ActivationKind.CLAMP:
            low, high = op.function.values
            return max(low, -kbuf.FLOAT_MAX), min(high, kbuf.FLOAT_MAX)
        case _:
            return None


def has_words(ops: Iterable[Operation]) -> bool:
    """Whether a layer has 16-bit weights: all get such then, as there is one width per kmodel (`kmodel-v3.md` 1.1)."""
    layers = (op for op in ops if isinstance(op, kpu.LayerOp | kbuf.KpuConv2dOp))
    return any(op.weights.get_element_type() != kbuf.UI8 for op in layers)


class Lowering:
    """Converts the operations of a function in order, keeping the buffer of every value.

    With `words`, every layer has 16-bit weights.
    """

    def __init__(self, builder: Builder, *, words: bool = False) -> None:
        self.builder = builder
        self.words = words
        self.buffers: dict[SSAValue, SSAValue] = {}
        self.done: set[Operation] = set()
        self.problems: list[tuple[str, str]] = []
        self._constants: dict[tuple[Attribute, tuple[int, ...]], SSAValue] = {}
        self._op: Operation | None = None
        self._parts: dict[SSAValue, tuple[SSAValue, int]] = {}
        self._actions: dict[SSAValue, list[Callable[[], None]]] = {}

    def join(self, whole: SSAValue, part: SSAValue, offset: int) -> None:
        """Let the buffer of `part` be a part of that of `whole`, from byte `offset` on."""
        self._parts[part] = whole, offset

    def is_part(self, value: SSAValue, whole: SSAValue | None = None, offset: int = 0) -> bool:
        """Whether a value's buffer is a part of another's; of that of `whole` from byte `offset` on, if given."""
        return value in self._parts and (whole is None or self._parts[value] == (whole, offset))

    def when_made(self, value: SSAValue, action: Callable[[], None]) -> None:
        """Call a function as soon as a value is in its buffer."""
        self._actions.setdefault(value, []).append(action)

    def run(self, ops: Sequence[Operation]) -> None:
        """Convert all operations. Raises UnsupportedError with everything that could not be."""
        for op in ops:
            convert = CONVERSIONS.get(type(op))
            if op in self.done:
                continue
            self._op = op
            try:
                if convert is None:
                    raise RefusalError(f"no kmodel instruction does {op.name}")
                convert(self, op)
                for action in [action for result in op.results for action in self._actions.get(result, ())]:
                    action()
            except RefusalError as refusal:
                self.problems.append((layer_name(op), str(refusal)))
                for result in op.results:  # what follows is looked at too
                    self.buffers[result] = self.result(result)
        if self.problems:
            raise UnsupportedError(self.problems)

    def emit(self, op: OpT, *sources: Operation) -> OpT:
        """Insert an operation that belongs to the layer being converted (or to `sources`, if given)."""
        if is_unknown(op.location) and self._op is not None:
            op.location = fused(*(source.location for source in sources)) if sources else self._op.location
        if self._op is not None and isinstance(op, kbuf.InstructionOp) and not isinstance(op, _NOT_EXPLAINED):
            op.attributes.update({key: value for key, value in self._op.attributes.items() if key == kpu.REASON})
        if self._op is not None and isinstance(op, kbuf.InstructionOp) and kpu.NUMBER in self._op.attributes:
            op.attributes[kpu.NUMBER] = self._op.attributes[kpu.NUMBER]
        self.builder.insert(op)
        return op

    def buffer(self, value: SSAValue) -> SSAValue:
        """The buffer of a value; that of a constant is made when first asked for."""
        if value not in self.buffers:
            array = ktensor.constant_of(value)
            assert array is not None, f"{value} is used before it is made"
            return self.constant(array)
        return self.buffers[value]

    def constant(self, array: "NDArray[Any]") -> SSAValue:
        """A buffer in the constant pool; equal arrays share one."""
        from kpuir.ir.arrays import to_dense

        dense = to_dense(array)
        key = (dense, array.shape)
        if key not in self._constants:
            self._constants[key] = self.emit(kbuf.ConstantOp(dense)).result
        return self._constants[key]

    def alloc(self, shape: Sequence[int], element: Attribute = f32, space: kbuf.Space = kbuf.Space.MAIN) -> SSAValue:
        """A new buffer."""
        return self.emit(kbuf.AllocOp(kbuf.buffer_type(tuple(shape), element, space))).result

    def result(self, value: SSAValue) -> SSAValue:
        """A new buffer for a value, remembered as its own."""
        kind = value.type
        if value in self._parts:
            whole, offset = self._parts[value]
            parent = self.buffers[whole] if whole in self.buffers else self.result(whole)
            self.buffers[value] = self.viewed(parent, ktensor.shape_of(value), offset)
        elif isinstance(kind, kpu.FeatureMapType):
            self.buffers[value] = self.alloc(kind.get_shape(), kbuf.UI8, kbuf.Space.KPU)
        else:
            element = kbuf.UI8 if isinstance(ktensor.element_of(value), ktensor.QuantizedType) else f32
            self.buffers[value] = self.alloc(ktensor.shape_of(value), element)
        return self.buffers[value]

    def clamped_result(self, value: SSAValue) -> tuple[SSAValue, Clamp]:
        """A buffer for a float value and the clamp to write it with: that of an only user that clamps."""
        user = next(iter(value.uses)).operation if value.has_one_use() else None
        bounds = clamp_of(user) if user is not None else None
        if user is None or bounds is None:
            return self.result(value), NO_CLAMP
        self.done.add(user)
        return self.result(user.results[0]), bounds

    def part(self, buffer: SSAValue, shape: Sequence[int], offset: int) -> SSAValue:
        """The map of `shape` that begins `offset` bytes after a buffer in KPU RAM does."""
        kind = kbuf.buffer_type(tuple(shape), kbuf.UI8, kbuf.Space.KPU)
        return buffer if kind == buffer.type else self.emit(kbuf.SubviewOp(buffer, kind, offset)).result

    def viewed(self, buffer: SSAValue, shape: Sequence[int], byte_offset: int = 0) -> SSAValue:
        """The same bytes, or those from an offset on, under another shape."""
        kind = buffer.type
        assert isinstance(kind, MemRefType)
        if tuple(kind.get_shape()) == tuple(shape):
            return buffer
        view = kbuf.buffer_type(tuple(shape), kind.element_type, kbuf.space_of(kind))
        return self.emit(kbuf.SubviewOp(buffer, view, byte_offset)).result
