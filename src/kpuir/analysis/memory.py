"""Where the buffers of an allocated module lie, and when they are in use."""

from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerAttr, ModuleOp
from xdsl.ir import Operation

from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import is_unknown, layer_name
from kpuir.target.k210 import K210

CAPACITIES = {kbuf.Space.KPU: K210.KPU_RAM_BYTES, kbuf.Space.MAIN: K210.MAIN_RAM_BYTES}
"""Bytes of each RAM that an allocation must fit."""

RAM_NAMES = {kbuf.Space.KPU: "KPU RAM", kbuf.Space.MAIN: "main RAM"}
"""What messages call each RAM."""


@dataclass(frozen=True)
class BufferUse:
    """`size` bytes at byte `offset` of `space`, in use from step `first` to step `last`, both included.

    A step is an instruction's number, from 0. `name` is the layer that first writes the buffer, or the port's.
    """

    name: str
    space: kbuf.Space
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryUse:
    """All buffers in RAM, the number of instructions, and what the constant pool takes."""

    buffers: tuple[BufferUse, ...]
    steps: int
    constant_bytes: int

    def peak(self, space: kbuf.Space) -> int:
        """The end of the highest buffer in a RAM; bytes, 0 where there is none."""
        return max((use.offset + use.size for use in self.buffers if use.space is space), default=0)


def memory(module: ModuleOp) -> MemoryUse:
    """The use of memory of a module after `kbuf-allocate`. Raises ValueError where a buffer has no offset yet.

    What the caller fills is in use from step 0 on, what it reads until the last one; buffers nobody uses are left out.
    """
    ops = list(entry_function(module).body.block.ops)
    instructions = [op for op in ops if isinstance(op, kbuf.InstructionOp)]
    steps = {op: index for index, op in enumerate(instructions)}
    last = max(len(instructions) - 1, 0)
    found = [_use(op, steps, last) for op in ops if isinstance(op, kbuf.AllocOp)]
    return MemoryUse(tuple(use for use in found if use is not None), len(instructions), _constant_bytes(module, ops))


def _constant_bytes(module: ModuleOp, ops: list[Operation]) -> int:
    given = module.attributes.get("kbuf.constant_bytes")
    if isinstance(given, IntegerAttr):
        return given.value.data
    return sum(kbuf.byte_size(op.result) for op in ops if isinstance(op, kbuf.ConstantOp))


def _use(op: kbuf.AllocOp, steps: "dict[kbuf.InstructionOp, int]", last: int) -> BufferUse | None:
    users = kbuf.users_of(op.result)
    if not users:
        return None
    if op.offset is None:
        raise ValueError(f"{_name(op, users)} has no offset; run kbuf-allocate first")
    numbers = [
        0 if isinstance(user, kbuf.InputOp) else steps[user] if isinstance(user, kbuf.InstructionOp) else last
        for user in users
    ]
    size = kbuf.byte_size(op.result)
    return BufferUse(_name(op, users), kbuf.space_of(op.result), op.offset.value.data, size, min(numbers), max(numbers))


def _name(op: kbuf.AllocOp, users: list[Operation]) -> str:
    """The name of the input a buffer is, else of the layer that made it, else of the SSA value."""
    for user in users:
        if isinstance(user, kbuf.InputOp) and user.port_name is not None:
            return user.port_name.data
    if not is_unknown(op.location):
        return layer_name(op)
    writers = [user for user in users if isinstance(user, kbuf.InstructionOp) and not is_unknown(user.location)]
    written = [user for user in writers if any(kbuf.root_of(value) is op.result for value in user.destinations)]
    if written:
        return layer_name(written[0])
    return f"%{op.result.name_hint}" if op.result.name_hint else "buffer"
