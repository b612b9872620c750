"""`kbuf-allocate`: every buffer gets its address.

Before: `kbuf.alloc` and `kbuf.constant` without offsets. After: each has its `offset`, in bytes, in KPU RAM, main RAM
or the constant pool, and the module says how much main RAM (`kbuf.main_bytes`) and constants (`kbuf.constant_bytes`) it
needs. Buffers whose lives do not overlap may share bytes; the operands of one instruction never do.

    %b = kbuf.alloc : memref<1x16x32x32xui8, #kbuf.space<kpu>>
      =>
    %b = kbuf.alloc {offset = 4096 : i64} : memref<1x16x32x32xui8, #kbuf.space<kpu>>

A buffer lives from the first to the last instruction that names it or a view of it; what the caller fills lives from
the start, what it reads to the end. The result is checked by code that shares nothing with the allocator.
Raises DoesNotFitError when KPU RAM or main RAM does not suffice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from kpuir.analysis.memory import CAPACITIES, RAM_NAMES
from kpuir.dialects import kbuf
from kpuir.errors import DoesNotFitError
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.memory import Allocation, Buffer, allocate, check, lower_bound
from kpuir.memory.allocate import NODES, NODES_PER_SECOND, ORDERS
from kpuir.target import k210

_HINT = (
    "use a smaller input (kpu-compile --suggest-input-size finds the largest that fits), fewer channels, "
    "or pool or stride earlier"
)
_KPU_HINT = f"{_HINT}; 'kpu-default{{adds=cpu concats=cpu}}' as --passes adds and joins maps in main RAM"
ALIGNMENT = {kbuf.Space.KPU: k210.K210.KPU_RAM_ALIGNMENT, kbuf.Space.MAIN: k210.K210.MAIN_RAM_ALIGNMENT}


@dataclass(frozen=True)
class _Life:
    """An alloc and the first and last step, as indices of instructions, at which its bytes matter."""

    op: kbuf.AllocOp
    first: int
    last: int


def search_nodes(seconds: float) -> int:
    """What the exact search looks at in about so many seconds; the same on every machine."""
    return round(seconds * NODES_PER_SECOND)


def lifetimes(ops: Sequence[Operation]) -> list[_Life]:
    """The life of every alloc among `ops`, the operations of `@main` in order."""
    steps = {op: index for index, op in enumerate(ops)}
    lives: list[_Life] = []
    for op in ops:
        if not isinstance(op, kbuf.AllocOp):
            continue
        users = kbuf.users_of(op.result)
        indices = [
            -1 if isinstance(user, kbuf.InputOp) else len(ops) if isinstance(user, kbuf.OutputOp) else steps[user]
            for user in users
        ] or [steps[op]]
        lives.append(_Life(op, min(indices), max(indices)))
    return lives


def buffers_in(space: kbuf.Space, ops: Sequence[Operation]) -> dict[kbuf.AllocOp, Buffer]:
    """The allocs of one RAM among the operations of `@main`, as what is placed there."""
    lives = [life for life in lifetimes(ops) if kbuf.space_of(life.op.result) is space]
    return {
        life.op: Buffer(f"{index}", kbuf.byte_size(life.op.result), life.first, life.last, ALIGNMENT[space])
        for index, life in enumerate(lives)
    }


def lower_bounds(module: ModuleOp) -> dict[kbuf.Space, int]:
    """The bytes of each RAM that no allocation of a module can go below."""
    ops = list(entry_function(module).body.block.ops)
    return {space: lower_bound(list(buffers_in(space, ops).values())) for space in CAPACITIES}


def _place(space: kbuf.Space, ops: Sequence[Operation], nodes: int) -> int:
    """Give the allocs of one RAM their offsets; return the bytes used."""
    capacity = CAPACITIES[space]
    named = buffers_in(space, ops)
    buffers = list(named.values())
    allocation = allocate(buffers, capacity, nodes)
    check(buffers, allocation)
    if allocation.peak > capacity:
        raise _does_not_fit(space, buffers, ops, allocation)
    for op, buffer in named.items():
        op.properties["offset"] = IntegerAttr(allocation.offsets[buffer.name], i64)
    return allocation.peak


def _does_not_fit(
    space: kbuf.Space, buffers: list[Buffer], ops: Sequence[Operation], allocation: Allocation
) -> DoesNotFitError:
    """The error for the instruction at which most bytes are alive."""

    def alive(step: int) -> int:
        return sum(buffer.size for buffer in buffers if buffer.first <= step <= buffer.last)

    step = max(range(len(ops)), key=alive)
    op, capacity = ops[step], CAPACITIES[space]
    own = list(dict.fromkeys(operand for operand in op.operands if kbuf.space_of(operand) == space))
    alone = ", alone more than there is" if sum(map(kbuf.byte_size, own)) > capacity else ""
    tried = ["bands of rows, maps that wait elsewhere"] if space is kbuf.Space.KPU else []
    tried += [f"{ORDERS} greedy orders of places"]
    tried += [f"a search for places of {allocation.nodes} steps"] if allocation.nodes else []
    return DoesNotFitError(
        f"{allocation.peak} bytes of {RAM_NAMES[space]} are needed, there are {capacity}; at least {allocation.bound} "
        f"are, whatever their places; most are alive here: {alive(step)}, of them this layer's "
        f"{' and '.join(_described(op, value, space) for value in own)}"
        f"{alone}\ntried: {', '.join(tried)}",
        location=layer_name(op),
        hint=_KPU_HINT if space is kbuf.Space.KPU else _HINT,
    )


def _described(op: Operation, value: SSAValue, space: kbuf.Space) -> str:
    """An operand of an instruction: what it is to it, its shape and its bytes, for KPU RAM in rows as well."""
    shape, size = "x".join(map(str, kbuf.shape_of(value))), kbuf.byte_size(value)
    written = isinstance(op, kbuf.InstructionOp) and value in op.destinations
    rows = f" ({size // k210.K210.LINE_BYTES} rows of {k210.K210.LINE_BYTES})" if space is kbuf.Space.KPU else ""
    return f"{'output' if written else 'input'} {shape} of {size} bytes{rows}"


def _place_constants(ops: Sequence[Operation]) -> int:
    offset = 0
    for op in ops:
        if isinstance(op, kbuf.ConstantOp):
            op.properties["offset"] = IntegerAttr(offset, i64)
            offset += -(-kbuf.byte_size(op.result) // 8) * 8
    return offset


@dataclass(frozen=True)
class KbufAllocatePass(ModulePass):
    """Give every buffer its address in KPU RAM, main RAM or the constant pool.

    `nodes`: how many partial allocations the exact search may look at, for each RAM, where it takes one.
    """

    name = "kbuf-allocate"

    nodes: int = NODES

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Set all offsets in place. Raises DoesNotFitError."""
        ops = list(entry_function(op).body.block.ops)
        used = {space: _place(space, ops, self.nodes) for space in (kbuf.Space.KPU, kbuf.Space.MAIN)}
        main = -(-used[kbuf.Space.MAIN] // 8) * 8
        op.attributes["kbuf.main_bytes"] = IntegerAttr(main, i64)
        op.attributes["kbuf.constant_bytes"] = IntegerAttr(_place_constants(ops), i64)
