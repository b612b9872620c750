"""`kbuf-schedule`: instructions in an order that needs less memory at once.

Before: `kbuf` instructions on buffers without addresses. After: the same instructions, and if another order needs less
KPU RAM, or as much and less main RAM, they are in that order. Nothing is moved where the given order is as good; more
main RAM is taken only where KPU RAM would not suffice otherwise, and then the search takes more effort, too.

    kbuf.kpu_conv2d %x -> %large_a
    kbuf.kpu_conv2d %x -> %large_b
    kbuf.kpu_conv2d %large_a -> %a
    kbuf.kpu_conv2d %large_b -> %b
      =>
    kbuf.kpu_conv2d %x -> %large_a
    kbuf.kpu_conv2d %large_a -> %a
    kbuf.kpu_conv2d %x -> %large_b
    kbuf.kpu_conv2d %large_b -> %b

Instructions wait for those whose bytes they read or overwrite. Transfers write whole words, so parts of a buffer count
as rounded up: what one part leaves behind its end the next one has to write over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from kpuir.analysis.memory import CAPACITIES
from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function
from kpuir.memory import Stored, Touch, allocate, schedule
from kpuir.memory.schedule import EFFORT
from kpuir.passes.kbuf_allocate import ALIGNMENT, buffers_in

_SPACES = (kbuf.Space.KPU, kbuf.Space.MAIN)
"""The RAMs, the scarcer one first."""


def _rounded(size: int, space: kbuf.Space) -> int:
    return -(-size // ALIGNMENT[space]) * ALIGNMENT[space]


def _problem(instructions: Sequence[kbuf.InstructionOp]) -> tuple[list[list[Touch]], list[Stored]]:
    """What `memory` has to know of instructions in order."""
    buffers: dict[SSAValue, Stored] = {}
    numbers: dict[SSAValue, int] = {}
    steps: list[list[Touch]] = []
    for op in instructions:
        written = op.destinations
        steps.append([])
        for value in op.operands:
            space = kbuf.space_of(value)
            if space not in _SPACES:
                continue
            root, start = kbuf.root_of(value), kbuf.offset_in_root(value)
            number = numbers.setdefault(root, len(numbers))
            if root not in buffers:
                users = kbuf.users_of(root)
                buffers[root] = Stored(
                    _rounded(kbuf.byte_size(root), space),
                    _SPACES.index(space),
                    filled=any(isinstance(user, kbuf.InputOp) for user in users),
                    kept=any(isinstance(user, kbuf.OutputOp) for user in users),
                )
            end = start + _rounded(kbuf.byte_size(value), space)
            steps[-1].append(Touch(number, start, end, value in written))
    return steps, list(buffers.values())


def _ordered(ops: Sequence[Operation], order: Sequence[Operation]) -> list[Operation]:
    """All operations, inputs first and instructions in an order: others in front of the first that uses them."""
    found: dict[Operation, None] = {}

    def put(op: Operation) -> None:
        for value in op.operands:
            if isinstance(value.owner, Operation):
                put(value.owner)
        found.setdefault(op)

    for op in (*(op for op in ops if isinstance(op, kbuf.InputOp)), *order, *ops):
        put(op)
    return list(found)


def _peaks(ops: Sequence[Operation]) -> list[int]:
    """The bytes of both RAMs that allocation takes."""
    return [allocate(list(buffers_in(space, ops).values()), CAPACITIES[space]).peak for space in _SPACES]


def _rearrange(block: Block, ops: Sequence[Operation]) -> None:
    for op in ops:
        op.detach()
    block.add_ops(ops)


@dataclass(frozen=True)
class KbufSchedulePass(ModulePass):
    """Put instructions into an order that needs less KPU RAM at once, or as much and less main RAM.

    `effort`: how many sets of instructions the search may look at for each RAM, times the number of instructions.
    """

    name = "kbuf-schedule"

    effort: int = EFFORT

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Move instructions in place."""
        block = entry_function(op).body.block
        given = list(block.ops)
        instructions = [one for one in given if isinstance(one, kbuf.InstructionOp)]
        order = schedule(*_problem(instructions), [CAPACITIES[space] for space in _SPACES], self.effort)
        if order == list(range(len(order))):
            return
        better = _ordered(given, [instructions[number] for number in order])
        if _peaks(better) < _peaks(given):
            _rearrange(block, better)
