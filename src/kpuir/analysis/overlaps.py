"""Whether the addresses of an allocated module let any buffer destroy another: checked by who wrote each byte last.

Nothing here knows of lifetimes or of how `kbuf-allocate` works: the instructions are walked in order, every byte of
both RAMs remembers which buffer was last written there, and each read must find its own buffer in all of its bytes.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import IntegerAttr, ModuleOp
from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.target.k210 import K210

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOBODY = -1


def find_overlaps(module: ModuleOp) -> list[str]:
    """What is wrong with the addresses of an allocated kbuf module, one sentence each; empty when nothing is.

    Every range is aligned (64 bytes in KPU RAM, 8 elsewhere) and lies within its RAM, an instruction's destinations
    share no bytes with its other operands but those it names to be overwritten, nobody writes constants, and every byte
    that is read, be it by an instruction or at the end as an output, was last written through the very buffer it is
    read from. A module imported from a kmodel has several buffers for ranges of one address: this is not for it.
    """
    return list(_Walk(module).problems())


class _Walk:
    """The module's operations in order, and what each byte of RAM holds."""

    def __init__(self, module: ModuleOp) -> None:
        import numpy as np

        self.ops = list(entry_function(module).body.block.ops)
        main = module.attributes.get("kbuf.main_bytes")
        self.limits = {
            kbuf.Space.KPU: K210.KPU_RAM_BYTES,
            kbuf.Space.MAIN: main.value.data if isinstance(main, IntegerAttr) else K210.MAIN_RAM_BYTES,
        }
        self.owners: dict[kbuf.Space, NDArray[np.int32]] = {
            space: np.full(limit, _NOBODY, np.int32) for space, limit in self.limits.items()
        }
        self.roots: dict[SSAValue, int] = {}
        self.names: list[str] = []

    def problems(self) -> Iterator[str]:
        """Walk through the module."""
        for op in self.ops:  # the caller fills all inputs before the first instruction
            if isinstance(op, kbuf.InputOp):
                yield from self._write(op, op.buffer)
        for op in self.ops:
            if isinstance(op, kbuf.InstructionOp):
                yield from _sharing(op)
                for value in op.sources:
                    yield from self._read(op, value)
                for value in op.destinations:
                    yield from self._write(op, value)
        for op in self.ops:  # and reads all outputs after the last
            if isinstance(op, kbuf.OutputOp):
                yield from self._read(op, op.buffer)

    def _write(self, op: Operation, value: SSAValue) -> Iterator[str]:
        space = kbuf.space_of(value)
        if space not in self.owners:
            yield f"{layer_name(op)}: writes {space.value} memory"
            return
        yield from self._placed(op, value)
        start, end = _range(value)
        root = _root(value)
        if root not in self.roots:
            self.roots[root] = len(self.names)
            self.names.append(layer_name(op))
        self.owners[space][start:end] = self.roots[root]

    def _read(self, op: Operation, value: SSAValue) -> Iterator[str]:
        space = kbuf.space_of(value)
        if space not in self.owners:
            return
        yield from self._placed(op, value)
        start, end = _range(value)
        found = self.owners[space][start:end]
        wrong = found[found != self.roots.get(_root(value), _NOBODY)]
        if wrong.size or _root(value) not in self.roots:
            other = int(wrong[0]) if wrong.size else _NOBODY
            whose = "which nobody wrote" if other == _NOBODY else f"of which {wrong.size} are {self.names[other]}'s"
            yield f"{layer_name(op)}: reads bytes {start}..{end} of {space.value} memory, {whose}"

    def _placed(self, op: Operation, value: SSAValue) -> Iterator[str]:
        space, (start, end) = kbuf.space_of(value), _range(value)
        grain = K210.KPU_RAM_ALIGNMENT if space is kbuf.Space.KPU else K210.MAIN_RAM_ALIGNMENT
        if space is kbuf.Space.MAIN and isinstance(value.owner, kbuf.SubviewOp):
            grain = kbuf.element_size(value)
        if start % grain:
            yield f"{layer_name(op)}: byte {start} of {space.value} memory is no multiple of {grain}"
        if start < 0 or end > self.limits[space]:
            yield f"{layer_name(op)}: bytes {start}..{end} of {space.value} memory, which has {self.limits[space]}"


def _sharing(op: kbuf.InstructionOp) -> Iterator[str]:
    for index, written in enumerate(op.destinations):
        for other in (*op.sources, *op.destinations[:index]):
            if other in op.overwritable and _root(other) is _root(written):
                continue  # it says that it is done in place
            (start, end), (low, high) = _range(written), _range(other)
            if kbuf.space_of(written) is kbuf.space_of(other) and max(start, low) < min(end, high):
                yield f"{layer_name(op)}: bytes {start}..{end} that it writes overlap {low}..{high} that it uses"


def _root(value: SSAValue) -> SSAValue:
    while isinstance(value.owner, kbuf.SubviewOp):
        value = value.owner.operands[0]
    return value


def _range(value: SSAValue) -> tuple[int, int]:
    start = kbuf.offset_of(value)
    assert start is not None, "kbuf-allocate comes first"
    return start, start + kbuf.byte_size(value)
