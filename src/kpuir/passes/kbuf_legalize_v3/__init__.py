"""`kbuf-legalize-v3`: instructions of kmodel v4 become the layers that v3 has.

Before: `kbuf` instructions as `convert-kpu-to-kbuf{version=v3}` makes them, buffers without addresses. After:
`kbuf.v3_*` layers and `kbuf.kpu_conv2d`, no constants, and one input, which the first layer reads: a convolution from
KPU RAM, or a matrix product. A module of another version stays as it is.

    kbuf.dequantize %q -> %x {zero_point = 128 : i64, scale = 2.0 : f32}
    kbuf.softmax %x -> %y {inner_size = 10 : i64, outer_size = 1 : i64, beta = 1.0 : f32}
      =>
    kbuf.v3_dequantize %q -> %x {count = 10 : i64, scale = 0.5 : f32, bias = 0.0 : f32}   // differences count
    kbuf.v3_softmax %x -> %y {channels = 10 : i64}

Some instructions become a layer together (a vector padded to 4x4 maps and uploaded, a sigmoid, a division by the root
of a sum of squares, a scale and bias per channel); moves of elements become copies of ranges of bytes. Bytes that must
come in main RAM are sent there by a first layer that copies them. That a layer sends its result is a flag of the file,
not a register. Everything that v3 has no layer for is reported at once, with the versions that have.
"""

from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from kpuir.dialects import kbuf
from kpuir.errors import UnsupportedError
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.passes.kbuf_legalize_v3 import computing as _computing
from kpuir.passes.kbuf_legalize_v3 import moving as _moving
from kpuir.passes.kbuf_legalize_v3.first_layer import deliver_input
from kpuir.passes.kbuf_legalize_v3.fusions import FUSIONS
from kpuir.passes.kbuf_legalize_v3.legalizer import CONVERSIONS, Legalizer, RefusalError, erase

# Importing a module of conversions registers them.
_ = (_computing, _moving)


def _legalize(legalizer: Legalizer, op: Operation) -> None:
    legalizer.op = op
    convert = CONVERSIONS.get(type(op))
    try:
        if convert is not None:
            convert(legalizer, op)
        elif not op.name.startswith("kbuf.v3_"):
            raise RefusalError(f"{op.name.removeprefix('kbuf.')} on the CPU; v3 has no such layer")
    except RefusalError as refusal:
        legalizer.problems.append((layer_name(op), str(refusal)))


@dataclass(frozen=True)
class KbufLegalizeV3Pass(ModulePass):
    """Make layers of kmodel v3 of instructions of v4."""

    name = "kbuf-legalize-v3"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite a v3 module in place. Raises UnsupportedError naming every layer that v3 cannot hold."""
        if op.attributes.get("kbuf.version") != StringAttr("v3"):
            return
        function = entry_function(op)
        legalizer = Legalizer(function)
        for one in list(function.body.block.ops):
            if one.parent is None or not isinstance(one, kbuf.InstructionOp):
                continue
            legalizer.op = one
            if any(fusion(legalizer, one) for fusion in FUSIONS):
                legalizer.index()
        for one in list(function.body.block.ops):
            if isinstance(one, kbuf.InstructionOp):
                _legalize(legalizer, one)
        if not legalizer.problems:
            legalizer.index()
            try:
                deliver_input(legalizer)
            except RefusalError as refusal:
                legalizer.problems.append(("input", str(refusal)))
        if legalizer.problems:
            raise UnsupportedError(legalizer.problems, what="cannot be in a kmodel v3", hint=_HINT)
        for one in function.body.block.ops:
            if isinstance(one, kbuf.KpuConv2dOp):
                one.properties["registers"] = kbuf.RegistersAttr(replace(one.registers.data, send_data_out=0))
        for one in reversed(list(function.body.block.ops)):
            if isinstance(one, kbuf.SubviewOp | kbuf.ConstantOp | kbuf.AllocOp) and not one.result.uses:
                erase(one)


_HINT = "kmodel v4 has instructions for these: use it if the firmware loads it (v5 has them too)"
