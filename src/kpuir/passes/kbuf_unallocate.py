"""`kbuf-unallocate`: buffers of their own in place of addresses; what `kbuf-allocate` did is undone.

Before: `kbuf` instructions of any version as they are read from a kmodel: buffers are addresses, and what lies at one
address at different times, or at once under several shapes, may be anything. After: each value has a buffer, without
an address, that nothing else is ever written to, views of it are subviews, and each constant is one. All passes that
ask who writes and who reads a buffer then work on kmodels as on what is compiled.

    %a = kbuf.alloc {offset = 0 : i64} : memref<4xf32, #kbuf.space<main>>
    %b = kbuf.alloc {offset = 8 : i64} : memref<2xf32, #kbuf.space<main>>
    kbuf.unary %x -> %a {op = #kbuf.unary_kind<exp>}
    kbuf.unary %b -> %y {op = #kbuf.unary_kind<abs>}
      =>
    %a = kbuf.alloc : memref<4xf32, #kbuf.space<main>>
    kbuf.unary %x -> %a {op = #kbuf.unary_kind<exp>}
    %b = kbuf.subview %a {byte_offset = 8 : i64} : memref<4xf32, ..> -> memref<2xf32, ..>
    kbuf.unary %b -> %y {op = #kbuf.unary_kind<abs>}

Bytes are followed from writes to reads: writes of which bytes are read together are parts of one buffer. Inputs and
outputs that lie with the caller become buffers in main RAM.
"""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, cast

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.ir.arrays import dtype_of
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.target.stackvm_tensors import Tensor, tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FIGURES = ("main_bytes", "constant_bytes", "kpu_data_bytes", "first_line")
"""What a module says of its memory."""
_Port = kbuf.InputOp | kbuf.OutputOp


@dataclass(frozen=True)
class _Use:
    """An operand of an operation: its bytes in a RAM, and one of the writes they are from."""

    op: Operation
    index: int
    start: int
    end: int
    write: int

    @property
    def kind(self) -> kbuf.BufferType:
        """The type of the operand's new buffer."""
        kind = cast("kbuf.BufferType", self.op.operands[self.index].type)
        space = kbuf.Space.KPU if kbuf.space_of(kind) is kbuf.Space.KPU else kbuf.Space.MAIN
        return kbuf.buffer_type(tuple(kind.get_shape()), kind.element_type, space)


class _Values:
    """Which write the bytes of every RAM are from, at an instruction; writes that are one value are joined."""

    def __init__(self) -> None:
        self.writes: dict[kbuf.Space, NDArray[np.int32]] = {}
        self.parents = [0]
        self.uses: list[_Use] = []

    def find(self, write: int) -> int:
        """The write that stands for the whole value."""
        while self.parents[write] != write:
            self.parents[write] = write = self.parents[self.parents[write]]
        return write

    def _new(self) -> int:
        self.parents.append(len(self.parents))
        return self.parents[-1]

    def _bytes(self, value: SSAValue, tensor: Tensor | None) -> "NDArray[np.int32]":
        """What is noted for the bytes of a buffer; of a tensor in larger ones only for its own."""
        import numpy as np

        space, (start, end) = kbuf.space_of(value), _bounds(value)
        noted = self.writes.get(space, np.zeros(0, np.int32))
        if len(noted) < end:
            noted = self.writes[space] = np.concatenate([noted, np.zeros(2 * end - len(noted), np.int32)])
        part = noted[start:end]
        if tensor is None or tensor.extent == prod(tensor.shape):
            return part
        size = tensor.datatype.itemsize
        shape, steps = (*tensor.shape, size), (*(step * size for step in tensor.strides), 1)
        return np.lib.stride_tricks.as_strided(part, shape, [part.itemsize * step for step in steps])

    def read(self, op: Operation, index: int, tensor: Tensor | None = None) -> None:
        """Note that an operand is read: the writes its bytes are from become one value."""
        import numpy as np

        found = self._bytes(op.operands[index], tensor).ravel()
        changes = np.flatnonzero(found[1:] != found[:-1]) + 1
        writes = {int(one) for one in found[[0, *changes.tolist()]]} - {0} if found.size else set[int]()
        if not writes:  # bytes that nothing has written
            self.write(op, index, tensor)
            return
        first = self.find(min(writes))
        for other in writes:
            self.parents[self.find(other)] = first
        self._note(op, index, first)

    def write(self, op: Operation, index: int, tensor: Tensor | None = None) -> None:
        """Note that an operand is written."""
        write = self._new()
        self._bytes(op.operands[index], tensor)[...] = write
        self._note(op, index, write)

    def _note(self, op: Operation, index: int, write: int) -> None:
        self.uses.append(_Use(op, index, *_bounds(op.operands[index]), write))


def _bounds(value: SSAValue) -> tuple[int, int]:
    start = kbuf.offset_of(value)
    if start is None:
        raise InvalidInputError(f"a buffer in {kbuf.space_of(value)} has no offset", hint="nothing is allocated yet")
    return start, start + kbuf.byte_size(value)


def _tensors(op: kbuf.InstructionOp) -> dict[str, Tensor]:
    """The tensors of a function of v5, which need not be dense; nothing for other instructions."""
    if not isinstance(op, kbuf.V5TensorOp):
        return {}
    values = op.values()
    return tensors(values["function"], values["fields"], values["numbers"])


def _follow(values: _Values, op: Operation) -> None:
    if isinstance(op, kbuf.InputOp):
        values.write(op, 0)
    elif isinstance(op, kbuf.OutputOp):
        values.read(op, 0)
    elif isinstance(op, kbuf.InstructionOp):
        found, names = _tensors(op), [name for name, _ in op.buffers()]
        for written in (False, True):
            for index, name in enumerate(names):
                # What is read and written is one value before and after.
                if (name in op.DESTINATIONS and name not in op.UPDATED) is not written:
                    continue
                if kbuf.space_of(op.operands[index]) is not kbuf.Space.CONST:
                    (values.write if written else values.read)(op, index, found.get(name))
                elif written:
                    raise InvalidInputError(f"{op.name} writes to the constants", location=layer_name(op))


def _give_buffers(values: _Values) -> None:
    """Let each value have a buffer, made where it is first used, of the type of a use of all of it if there is one."""
    groups: dict[int, list[_Use]] = {}
    for use in values.uses:
        groups.setdefault(values.find(use.write), []).append(use)
    for uses in groups.values():
        start, end = min(use.start for use in uses), max(use.end for use in uses)
        whole = next((use.kind for use in uses if (use.start, use.end) == (start, end)), None)
        kind = whole or kbuf.buffer_type((end - start,), kbuf.UI8, kbuf.space_of(uses[0].kind))
        alloc = kbuf.AllocOp(kind)
        _insert(alloc, uses[0].op)
        views: dict[tuple[int, kbuf.BufferType], SSAValue] = {(0, kind): alloc.result}
        for use in uses:
            key = use.start - start, use.kind
            if key not in views:
                view = kbuf.SubviewOp(alloc, use.kind, use.start - start)
                _insert(view, use.op)
                views[key] = view.result
            use.op.operands[use.index] = views[key]


def _insert(op: Operation, before: Operation) -> None:
    op.location = before.location
    Builder(InsertPoint.before(before)).insert(op)


def _give_constants(ops: list[Operation]) -> None:
    """Let each part of the constants that an instruction names be a constant."""
    import numpy as np

    made: dict[tuple[SSAValue, int, kbuf.BufferType], SSAValue] = {}
    for op in ops:
        if not isinstance(op, kbuf.InstructionOp | _Port):
            continue
        for index, value in enumerate(op.operands):
            root = kbuf.root_of(value)
            if not isinstance(root.owner, kbuf.ConstantOp):
                continue
            key = root, kbuf.offset_in_root(value), cast("kbuf.BufferType", value.type)
            if key not in made:
                data = root.owner.array.tobytes()[key[1] : key[1] + kbuf.byte_size(value)]
                constant = kbuf.ConstantOp(
                    np.frombuffer(data, dtype_of(key[2].element_type)).reshape(kbuf.shape_of(value))
                )
                _insert(constant, op)
                made[key] = constant.result
            op.operands[index] = made[key]


@dataclass(frozen=True)
class KbufUnallocatePass(ModulePass):
    """Give each value a buffer of its own, without an address."""

    name = "kbuf-unallocate"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite in place. Raises InvalidInputError for buffers without addresses, and writes to constants."""
        block = entry_function(op).body.block
        ops, values = list(block.ops), _Values()
        for one in ops:
            _follow(values, one)
        _give_buffers(values)
        _give_constants(ops)
        for one in reversed(ops):
            if isinstance(one, kbuf.SubviewOp | kbuf.ConstantOp | kbuf.AllocOp) and not one.result.uses:
                one.detach()
                one.erase()
        for figure in _FIGURES:
            op.attributes.pop(f"kbuf.{figure}", None)
