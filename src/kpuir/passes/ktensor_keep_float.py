"""`ktensor-keep-float`: layers that the user chose stay on the CPU, in float.

Before: a simplified module. After: the operations of these layers, and a function right behind one, carry a
`kpu.reason`, which legalization respects and the coverage report shows.

    %y = ktensor.conv2d %x, %w                      // loc("conv1"), layers="conv*"
      =>
    %y = ktensor.conv2d %x, %w {kpu.reason = "it was asked to stay in float"}

Operations that only move numbers do not count: they move bytes as well. A pattern (`*`, `?`, `[...]`) matches the name
of a layer, or one of those it was fused of. Raises UsageError for one that matches nothing, with names that are close.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from kpuir.analysis.layer_errors import COMPUTING
from kpuir.dialects import kpu, ktensor
from kpuir.errors import UsageError
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name

_FUNCTIONS = (ktensor.ActivationOp, ktensor.PReluOp)


def _names(op: Operation) -> list[str]:
    """What a layer is called: its whole name, and those it was fused of."""
    name = layer_name(op)
    return list(dict.fromkeys([name, *name.split("+")]))


def _matching(ops: Sequence[Operation], pattern: str) -> list[Operation]:
    """The operations a pattern means; a name is meant as it is, whatever characters it has."""
    found = [op for op in ops if any(name == pattern or fnmatchcase(name, pattern) for name in _names(op))]
    if not found:
        known = list(dict.fromkeys(name for op in ops for name in _names(op)))
        close = get_close_matches(pattern, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"layers are {', '.join(known[:8])} ..."
        raise UsageError(f"there is no layer '{pattern}' to keep in float", hint=hint)
    return found


@dataclass(frozen=True)
class KTensorKeepFloatPass(ModulePass):
    """Keep layers on the CPU in float.

    `layers`: their names, or patterns of names.
    """

    name = "ktensor-keep-float"

    layers: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate `@main`. Raises UsageError for a pattern that matches no layer."""
        ops = [one for one in entry_function(op).body.block.ops if isinstance(one, COMPUTING)]
        for pattern in self.layers:
            for one in _matching(ops, pattern):
                one.attributes[kpu.REASON] = StringAttr(kpu.KEPT_FLOAT)
                users = {use.operation for use in one.results[0].uses}
                for user in users if len(users) == 1 else ():
                    if isinstance(user, _FUNCTIONS):
                        user.attributes[kpu.REASON] = StringAttr(kpu.KEPT_FLOAT)
