"""Who reads what whom wrote: the instructions of a kbuf module as a graph, found by the bytes they share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from kpuir.analysis.cost import UPLOADS, InstructionCost, costs_of
from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function


class Role(Enum):
    """What a step is: an input or output of the model, work of the KPU or the CPU, or only a way between those.

    Ways are uploads, downloads, conversions between bytes and floats, and copies.
    """

    INPUT = auto()
    OUTPUT = auto()
    KPU = auto()
    CPU = auto()
    WAY = auto()


_WAYS = (
    *(*UPLOADS, kbuf.KpuDownloadOp, kbuf.QuantizeOp, kbuf.DequantizeOp, kbuf.MemoryCopyOp),
    *(kbuf.v3.QuantizeOp, kbuf.v3.DequantizeOp, kbuf.v3.ChannelwiseDequantizeOp, kbuf.v3.K210RemovePaddingOp),
)
_WAYS_OF_V5 = ("quantize", "dequantize", "copy")


@dataclass(eq=False)
class Step:
    """One instruction, a copy of a layer's result to main RAM, or a port; `cost` is None for ports.

    `before` are the steps that wrote what this one reads, `after` those that read what it wrote, in execution order.
    """

    op: Operation
    role: Role
    cost: InstructionCost | None = None
    before: list["Step"] = field(default_factory=list["Step"])
    after: list["Step"] = field(default_factory=list["Step"])

    def sources(self) -> list["Step"]:
        """Where what it reads comes from in the end: the steps before it that are no ways."""
        return list(dict.fromkeys(_ends(self.before, lambda step: step.before)))

    def targets(self) -> list["Step"]:
        """Where what it writes is needed in the end: the steps after it that are no ways."""
        return list(dict.fromkeys(_ends(self.after, lambda step: step.after)))


def _ends(steps: list[Step], following: Callable[[Step], list[Step]]) -> Iterator[Step]:
    for step in steps:
        if step.role is Role.WAY:
            yield from _ends(following(step), following)
        else:
            yield step


def flow(module: ModuleOp) -> list[Step]:
    """The steps of a module at kbuf level in execution order, linked. Before allocation buffers are told apart by name,
    after it by address, so that of a kmodel read back two names of one place are one."""
    memory = _Memory()
    steps: list[Step] = []
    for op in entry_function(module).body.block.ops:
        steps += _steps(op, memory)
    return steps


def _steps(op: Operation, memory: "_Memory") -> list[Step]:
    if isinstance(op, kbuf.InputOp):
        return [memory.link(Step(op, Role.INPUT), (), (op.buffer,))]
    if isinstance(op, kbuf.OutputOp):
        return [memory.link(Step(op, Role.OUTPUT), (op.buffer,), ())]
    if not isinstance(op, kbuf.InstructionOp):
        return []
    cost, *copy = costs_of(op)
    if not isinstance(op, kbuf.KpuConv2dOp):
        is_way = isinstance(op, _WAYS) or (isinstance(op, kbuf.V5TensorOp) and op.function.data in _WAYS_OF_V5)
        role = Role.WAY if is_way else Role.CPU
        return [memory.link(Step(op, role, cost), op.sources, op.destinations)]
    layer = memory.link(Step(op, Role.KPU, cost), (op.input,), (op.output,))
    if not copy or op.main_output is None:
        return [layer]
    return [layer, memory.link(Step(op, Role.WAY, copy[0]), (op.output,), (op.main_output,))]


@dataclass(frozen=True)
class _Bytes:
    """Bytes `start` to `end` of a RAM, or of a buffer that has no address yet, last written by `writer`."""

    start: int
    end: int
    writer: Step


class _Memory:
    """Who wrote each byte last."""

    def __init__(self) -> None:
        self.written: dict[object, list[_Bytes]] = {}

    def link(self, step: Step, reads: tuple[SSAValue, ...], writes: tuple[SSAValue, ...]) -> Step:
        """Connect a step with the writers of what it reads, and note what it writes."""
        for value in reads:
            key, start, end = _place(value)
            for part in self.written.get(key, ()):
                if part.start < end and start < part.end and part.writer not in step.before:
                    step.before.append(part.writer)
                    part.writer.after.append(step)
        for value in writes:
            key, start, end = _place(value)
            kept = [rest for part in self.written.get(key, ()) for rest in _without(part, start, end)]
            self.written[key] = [*kept, _Bytes(start, end, step)]
        return step


def _without(part: _Bytes, start: int, end: int) -> list[_Bytes]:
    """What is left of `part` after bytes `start` to `end` have been overwritten."""
    pieces = ((part.start, min(part.end, start)), (max(part.start, end), part.end))
    return [_Bytes(low, high, part.writer) for low, high in pieces if low < high]


def _place(value: SSAValue) -> tuple[object, int, int]:
    """The RAM, or the buffer without an address, that a value is part of; its first byte, and the one behind it."""
    size, offset = kbuf.byte_size(value), kbuf.offset_of(value)
    if offset is not None:
        return kbuf.space_of(value), offset, offset + size
    inside = kbuf.offset_in_root(value)
    return kbuf.root_of(value), inside, inside + size
