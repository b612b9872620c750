"""The memories of the machine, and the views through which instructions reach them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from xdsl.dialects.builtin import MemRefType, ModuleOp
from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels.kpu_layer import Scratch
from kpuir.interpreters.kernels.kpu_layout import Layout
from kpuir.ir.arrays import dtype_of
from kpuir.ir.locations import layer_name
from kpuir.target.k210 import K210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MARGIN = 64
"""Bytes behind each memory that nothing may touch: they let a view of the last line end beyond the last element."""


@dataclass(frozen=True)
class _Place:
    space: kbuf.Space
    start: int
    size: int


@dataclass
class Memory:
    """The RAMs, the constant pool and, where accesses are checked, which of their bytes have been written.

    All RAMs are filled with zeros once; a run does not clear them (`kmodel-v4.md` 11: neither does the runtime).
    The array of a space is as large as the space itself; where accesses are checked, as large as the buffers reach.
    Raises InvalidInputError for more than the chip has.
    """

    module: ModuleOp
    check: bool
    scratch: Scratch = field(default_factory=Scratch)
    warnings: list[str] = field(default_factory=list[str])
    sizes: dict[kbuf.Space, int] = field(init=False)
    arrays: "dict[kbuf.Space, NDArray[np.uint8]]" = field(init=False)
    written: "dict[kbuf.Space, NDArray[np.bool_]]" = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        places = [place_of(value, op) for op in self.module.walk() for value in op.results if _is_buffer(value)]
        reach = {space: max((p.start + p.size for p in places if p.space is space), default=0) for space in kbuf.Space}
        self.sizes = {
            **reach,
            kbuf.Space.KPU: K210.KPU_RAM_BYTES,
            kbuf.Space.MAIN: _module_size(self.module, "kbuf.main_bytes", reach[kbuf.Space.MAIN]),
            kbuf.Space.CONST: _module_size(self.module, "kbuf.constant_bytes", reach[kbuf.Space.CONST]),
        }
        extents = {space: max(size, reach[space] if self.check else 0) for space, size in self.sizes.items()}
        for space, size in extents.items():
            if size > K210.MAIN_RAM_BYTES:
                message = f"{size} bytes of {space.value} memory are needed, the chip has {K210.MAIN_RAM_BYTES}"
                raise InvalidInputError(message)
        self.arrays = {space: np.zeros(size + _MARGIN, np.uint8) for space, size in extents.items()}
        shadowed = extents if self.check else {}
        self.written = {space: np.zeros(size + _MARGIN, np.bool_) for space, size in shadowed.items()}

    def load(self, op: kbuf.ConstantOp) -> None:
        """Put a constant's bytes into the pool."""
        import numpy as np

        view = Access(self, op).write(op.result, (kbuf.byte_size(op.result),), np.uint8)
        view[...] = np.frombuffer(np.ascontiguousarray(op.array).tobytes(), np.uint8)

    def warn(self, op: Operation, message: str) -> None:
        """Remember what is wrong with an operation."""
        self.warnings.append(f"{layer_name(op)}: {message}")


class Access:
    """How one operation reaches memory: views into the RAM arrays, exactly at the addresses of its buffers.

    Each view is asked for once, when the operation is made ready. While accesses are checked, asking for a view also
    reports what is wrong with it: bytes read that were never written, bytes outside of the buffer or of the RAM.
    Without the check, a view outside of its RAM raises InvalidInputError.
    """

    def __init__(self, memory: Memory, op: Operation) -> None:
        self.memory = memory
        self.op = op

    @property
    def scratch(self) -> Scratch:
        """Working memory shared by all operations of a machine."""
        return self.memory.scratch

    def read(self, buffer: SSAValue, shape: Sequence[int], dtype: Any = None) -> "NDArray[Any]":
        """A dense view of `shape` to read, of the buffer's element type unless `dtype` is given."""
        return self._dense(buffer, shape, dtype, writes=False)

    def write(self, buffer: SSAValue, shape: Sequence[int], dtype: Any = None) -> "NDArray[Any]":
        """A dense view of `shape` to write."""
        return self._dense(buffer, shape, dtype, writes=True)

    def read_map(self, buffer: SSAValue, layout: Layout) -> "NDArray[np.uint8]":
        """The bytes that begin with a feature map to read."""
        return self._map(buffer, layout, writes=False)

    def write_map(self, buffer: SSAValue, layout: Layout) -> "NDArray[np.uint8]":
        """The bytes that begin with a feature map to write; its filler bytes are not to be touched."""
        return self._map(buffer, layout, writes=True)

    def beyond(self, buffer: SSAValue, size: int) -> "NDArray[np.uint8]":
        """The bytes from a buffer's first one on, a few more than it has, as a runtime that counts in words sees them.

        Raises InvalidInputError where they end outside of the RAM.
        """
        place = place_of(buffer, self.op)
        if place.start + size > self.memory.sizes[place.space]:
            end, whole = place.start + size, self.memory.sizes[place.space]
            message = f"reaches byte {end} of {place.space.value} memory, which has {whole}"
            raise InvalidInputError(message, location=layer_name(self.op))
        return self.memory.arrays[place.space][place.start : place.start + size]

    def overlaps(self, left: SSAValue, right: SSAValue) -> bool:
        """Whether two buffers share bytes."""
        a, b = place_of(left, self.op), place_of(right, self.op)
        return a.space is b.space and a.start < b.start + b.size and b.start < a.start + a.size

    def warn(self, message: str) -> None:
        """Report something about this operation, where accesses are checked."""
        if self.memory.check:
            self.memory.warn(self.op, message)

    def _dense(self, buffer: SSAValue, shape: Sequence[int], dtype: Any, *, writes: bool) -> "NDArray[Any]":
        import numpy as np

        kind = np.dtype(element_dtype(buffer) if dtype is None else dtype)
        place = place_of(buffer, self.op)
        size = prod(shape) * kind.itemsize
        self._check_range(place, size, writes)
        part = slice(place.start, place.start + size)
        if self.memory.check:
            self._check_bytes(place, [self.memory.written[place.space][part]], writes)
        return self.memory.arrays[place.space][part].view(kind).reshape(tuple(shape))

    def _map(self, buffer: SSAValue, layout: Layout, *, writes: bool) -> "NDArray[np.uint8]":
        place = place_of(buffer, self.op)
        self._check_range(place, layout.size, writes)
        if self.memory.check:
            written = self.memory.written[place.space]
            # The filler of a written line may be read: it is weighted with 0 or shifted out.
            whole = [written[place.start : place.start + layout.size]]
            self._check_bytes(place, whole if writes else layout.parts(written, place.start), writes)
        return self.memory.arrays[place.space][place.start : place.start + layout.size]

    def _check_range(self, place: _Place, size: int, writes: bool) -> None:
        verb = "writes" if writes else "reads"
        end, limit = place.start + size, self.memory.sizes[place.space]
        if end > limit:
            message = f"{verb} bytes {place.start}..{end} of {place.space.value} memory, which has {limit}"
            if not self.memory.check or end > self.memory.arrays[place.space].size - _MARGIN:
                raise InvalidInputError(message, location=layer_name(self.op))
            self.warn(message)
        if size > place.size:
            self.warn(f"{verb} {size} bytes at {place.space.value} {place.start}, but the buffer has {place.size}")

    def _check_bytes(self, place: _Place, views: "list[NDArray[Any]]", writes: bool) -> None:
        if writes:
            for view in views:
                view[...] = True
            return
        missing = sum(view.size - int(view.sum()) for view in views)
        if missing:
            total = sum(view.size for view in views)
            self.warn(
                f"reads {total} bytes at {place.space.value} {place.start}, of which {missing} have never been written"
            )


def element_dtype(buffer: SSAValue) -> Any:
    """The numpy dtype of a buffer's elements: float32 or uint8."""
    kind = buffer.type
    assert isinstance(kind, MemRefType)
    return dtype_of(kind.get_element_type())


def place_of(buffer: SSAValue, op: Operation) -> _Place:
    """Where a buffer lies. Raises InvalidInputError where it has no address yet; `op` is who asks."""
    start = kbuf.offset_of(buffer)
    if start is None:
        name = f"%{buffer.name_hint}" if buffer.name_hint else str(buffer.type)
        raise InvalidInputError(
            f"the buffer {name} has no address", location=layer_name(op), hint="run kbuf-allocate first"
        )
    return _Place(kbuf.space_of(buffer), start, kbuf.byte_size(buffer))


def _is_buffer(value: SSAValue) -> bool:
    return isinstance(value.type, MemRefType)


def _module_size(module: ModuleOp, name: str, default: int) -> int:
    attribute = module.attributes.get(name)
    return int(getattr(getattr(attribute, "value", None), "data", default))
