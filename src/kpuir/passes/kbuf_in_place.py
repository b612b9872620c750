"""`kbuf-in-place`: sums and functions of floats are written where one of their operands lies, if nobody needs it again.

Before: `kbuf` instructions of any version, buffers without addresses. After: the result of an element-wise instruction
of the CPU is in the buffer of an operand whose last reader it is, so that main RAM holds one of the two.

    %y = kbuf.alloc : memref<64xf32, #kbuf.space<main>>
    kbuf.unary %x -> %y {op = #kbuf.unary_kind<exp>}
      =>
    kbuf.unary %x -> %x {op = #kbuf.unary_kind<exp>}

Every runtime handles elements one after the other, each read before its place is written (`kmodel-v3.md` 4,
`kmodel-v4.md` 7, `kmodel-v5.md` 8). Whole buffers only; inputs of the model keep their bytes.
"""

from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf
from kpuir.ir.functions import entry_function


def _whole(value: SSAValue) -> kbuf.AllocOp | None:
    """The buffer in main RAM that a value is all of."""
    root = kbuf.root_of(value)
    if not isinstance(root.owner, kbuf.AllocOp) or kbuf.space_of(root) is not kbuf.Space.MAIN:
        return None
    return root.owner if kbuf.byte_size(root) == kbuf.byte_size(value) else None


def _merge(op: kbuf.InstructionOp, steps: dict[Operation, int]) -> None:
    """Let the result be in the place of an operand, where that is possible."""
    target = _whole(op.destinations[0])
    if target is None:
        return
    for value in op.overwritable:
        source = _whole(value)
        if source is None or source is target or kbuf.byte_size(source.result) != kbuf.byte_size(target.result):
            continue
        readers, writers = kbuf.users_of(source.result), kbuf.users_of(target.result)
        if any(isinstance(user, kbuf.InputOp | kbuf.OutputOp) or steps[user] > steps[op] for user in readers):
            continue
        if any(isinstance(user, kbuf.InputOp) or steps[user] < steps[op] for user in writers):
            continue
        if any(steps[use.operation] < steps[source] for use in target.result.uses):
            continue
        view = source.result
        if view.type != target.result.type:
            subview = kbuf.SubviewOp(source.result, target.result.type)
            subview.location = target.location
            Builder(InsertPoint.after(source)).insert(subview)
            view = subview.result
        target.result.replace_all_uses_with(view)
        target.detach()
        target.erase()
        return


@dataclass(frozen=True)
class KbufInPlacePass(ModulePass):
    """Write element-wise results of the CPU where an operand lies that nobody needs again."""

    name = "kbuf-in-place"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite in place."""
        ops = list(entry_function(op).body.block.ops)
        steps = {one: index for index, one in enumerate(ops)}
        for one in ops:
            if isinstance(one, kbuf.InstructionOp) and one.destinations:
                _merge(one, steps)
