"""`kbuf-raise`: layers of kmodel v3 and tensor functions of v5 become instructions of v4, of which all are made.

Before: `kbuf` instructions as they are read from a kmodel, each value in a buffer of its own (`kbuf-unallocate`).
After: instructions of kmodel v4 in a module for `version`, as `convert-kpu-to-kbuf` would have left them; what only a
file needs (places of arrays, numbers of functions) is gone.

    kbuf.v3_dequantize %q -> %x {count = 10 : i64, scale = 0.5 : f32, bias = -64.0 : f32}
    kbuf.v3_l2_normalization %x -> %y {channels = 10 : i64}
      =>
    kbuf.dequantize %q -> %x {zero_point = 128 : i64, scale = 2.0 : f32}
    kbuf.unary %x -> %s {op = "square"}                                     // and a sum, a maximum, a root, a product

Values are the same but for the last digits of floats: v4 keeps reciprocal scales and whole zero points (a bias that is
no multiple of its scale is added), and adds up in another order. What v4 has nothing for is reported at once.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from kpuir.dialects import kbuf
from kpuir.errors import UnsupportedError, UsageError
from kpuir.ir.functions import entry_function
from kpuir.passes.kbuf_legalize_v3.legalizer import erase
from kpuir.passes.kbuf_raise import functions as _functions
from kpuir.passes.kbuf_raise import layers as _layers
from kpuir.passes.kbuf_raise.raiser import RAISES, Raiser
from kpuir.passes.kbuf_raise.transfers import deliver_inputs, join_copies, send_downloads
from kpuir.target.runtimes import RUNTIMES

# Importing a module of conversions registers them.
_ = (_functions, _layers)

_VERSION = "kbuf.version"
_OF_FILES = tuple(
    f"kbuf.{name}" for name in ("flags", "target", "reserved", "missing_padding", "weight_bits", "release")
)
_OF_FUNCTIONS = ("kbuf.function", "kbuf.input_shape", "kbuf.output_shape")


def _raise(raiser: Raiser, op: kbuf.InstructionOp) -> None:
    raiser.op = op
    for name in _OF_FUNCTIONS:
        op.attributes.pop(name, None)
    convert = RAISES.get(type(op))
    if convert is not None:
        raiser.attempt(op, lambda: convert(raiser, op))


@dataclass(frozen=True)
class KbufRaisePass(ModulePass):
    """Make instructions of kmodel v4 of those of v3 and v5, in a module for a version."""

    name = "kbuf-raise"

    version: str = "v4"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite in place. Raises UnsupportedError naming every instruction that v4 has nothing for."""
        if self.version not in RUNTIMES:
            raise UsageError(f"there is no kmodel '{self.version}'", hint=f"choose {', '.join(RUNTIMES)}")
        found = op.attributes.get(_VERSION)
        old = found.data if isinstance(found, StringAttr) else "v4"
        function = entry_function(op)
        raiser = Raiser(function, self.version)
        send_downloads(raiser)
        for one in list(function.body.block.ops):
            if isinstance(one, kbuf.InstructionOp):
                _raise(raiser, one)
        if not raiser.problems:
            raiser.index()
            join_copies(raiser)
            raiser.index()
            deliver_inputs(raiser)
        if raiser.problems:
            raise UnsupportedError(
                raiser.problems,
                what=f"cannot be in a kmodel {self.version}",
                hint=f"of kmodels only {old} has these: compile the source model for {self.version}",
            )
        for one in reversed(list(function.body.block.ops)):
            if isinstance(one, kbuf.SubviewOp | kbuf.ConstantOp | kbuf.AllocOp) and not one.result.uses:
                erase(one)
        for name in _OF_FILES:
            op.attributes.pop(name, None)
        op.attributes[_VERSION] = StringAttr(self.version)
