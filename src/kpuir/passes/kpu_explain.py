"""`kpu-explain`: every operation that is left for the CPU says why.

Before: legalization is done. After: each operation that is no layer has the attribute `kpu.reason`: the rule that
legalization found broken, with both values, else what is true of every operation of its kind. Lowering hands it on to
the instructions, where `kpu-opt -p kpu-coverage` and `kpu-compile --report` find it.

    %y = ktensor.softmax %x {axis = 1 : i64}
      =>
    %y = ktensor.softmax %x {axis = 1 : i64, kpu.reason = "the KPU has no division by a sum"}

With `require=true` a convolution or matrix product among them is an error that names all such layers, each with the
rule and what to do. Raises UnsupportedError then.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from kpuir.analysis.reasons import FREE, WEIGHTED, hint_of, reason_of
from kpuir.dialects import kpu
from kpuir.errors import UnsupportedError
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name


def _problem(op: Operation) -> tuple[str, str]:
    """The layer, and the rule that it breaks with what to do about it."""
    reason, hint = reason_of(op), hint_of(op)
    return layer_name(op), "; ".join(part for part in (f"{op.name}: {reason}", hint) if part)


@dataclass(frozen=True)
class KpuExplainPass(ModulePass):
    """Note on every operation left for the CPU why it is there.

    `require`: whether a convolution or matrix product left there is an error.
    """

    name = "kpu-explain"

    require: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate `@main`. Raises UnsupportedError, if `require`, for what should run on the KPU and does not."""
        left = [one for one in entry_function(op).body.block.ops if not isinstance(one, FREE) and reason_of(one)]
        problems = [_problem(one) for one in left if isinstance(one, WEIGHTED) and not kpu.stays_float(one)]
        if self.require and problems:
            raise UnsupportedError(
                problems, what="cannot run on the KPU", hint="it is an error because the KPU is required"
            )
        for one in left:
            one.attributes[kpu.REASON] = StringAttr(reason_of(one))
