"""`kbuf-legalize-v5`: instructions as the runtimes of kmodel v5 have them.

Before: `kbuf` instructions of kmodel v4 in a module whose `kbuf.version` is "v5". After: what the CPU does are tensor
functions, a layer's copy in main RAM is a download of its own, and inputs and outputs lie with the caller. Modules of
other versions stay as they are.

    kbuf.kpu_conv2d %x -> %y main %m
    kbuf.unary %f -> %g {op = "exp"}
      =>
    kbuf.kpu_conv2d %x -> %y
    kbuf.kpu_download %y -> %m
    kbuf.v5_tensor(%f, %g) {function = "unary", fields = {dt = "float32", op = 5, ...}}

The functions are those of `kmodel-v5.md` section 8. An input that only the KPU reads is uploaded by the model.
Arithmetic of bytes, which v5 lacks, is done in floats, and a transposed convolution is an ordinary one of an image
with zeros between its pixels. What cannot be said at all is reported at once, with the version that could.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr, f32
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf
from kpuir.errors import UnsupportedError, UsageError
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.passes.kbuf_legalize_v5.forms import FORMS, Emitter
from kpuir.target.stackvm import NEWEST, RELEASES

_STAY = (kbuf.KpuConv2dOp, kbuf.KpuUploadOp, kbuf.KpuDownloadOp, kbuf.V5TensorOp)
_ALIGNMENT = 8
"""Inputs and outputs begin at multiples of this many bytes, one after the other (`kmodel-v5.md` 2)."""


# --- Layers, inputs and outputs -------------------------------------------------------------------------------------


def _split_download(op: kbuf.KpuConv2dOp) -> None:
    """Give a layer's copy in main RAM to an instruction of its own: v5 runtimes never let layers send."""
    main = op.main_output
    if main is None or not kbuf.byte_size(main):
        return
    registers = op.registers.data
    silent = replace(registers, send_data_out=0)
    layer = kbuf.KpuConv2dOp(op.input, op.output, None, **{**op.values(), "registers": silent})
    download = kbuf.KpuDownloadOp(op.output, main, in_shape=(op.values()["batches"], *registers.output_shape))
    layer.attributes.update(op.attributes)
    builder = Builder(InsertPoint.before(op))
    for one in (layer, download):
        one.location = op.location
        builder.insert(one)
    op.detach()
    op.erase()


def _place_ports(ops: Sequence[Operation], kind: type[kbuf.InputOp] | type[kbuf.OutputOp], space: kbuf.Space) -> None:
    """Move what the caller fills or reads to its own buffers, one after the other; what cannot be moved is copied."""
    offset = 0
    for port in sorted((op for op in ops if isinstance(op, kind)), key=lambda op: op.index.value.data):
        root = kbuf.root_of(port.buffer)
        moves = _moves(port, root)
        own = kbuf.AllocOp(_in_space(root if moves else port.buffer, space), offset)
        offset += -(-kbuf.byte_size(own.result) // _ALIGNMENT) * _ALIGNMENT
        owner = root.owner
        if moves and isinstance(owner, kbuf.AllocOp):
            own.location = owner.location
            Builder(InsertPoint.before(owner)).insert(own)
            _replace(owner, own.result, space)
            continue
        own.location = port.location
        Builder(InsertPoint.before(port)).insert(own)
        old = port.buffer
        port.operands[0] = own.result
        copy: Operation
        if kind is kbuf.OutputOp:
            copy, place = kbuf.MemoryCopyOp(old, own.result), InsertPoint.before(port)
        else:
            in_kpu = kbuf.space_of(old) is kbuf.Space.KPU
            copy = kbuf.KpuUploadOp(own, old, in_shape=kbuf.shape_of(old)) if in_kpu else kbuf.MemoryCopyOp(own, old)
            place = InsertPoint.after(port)
        copy.location = port.location
        Builder(place).insert(copy)


def _in_space(buffer: SSAValue, space: kbuf.Space) -> kbuf.BufferType:
    element = f32 if kbuf.element_size(buffer) == 4 else kbuf.UI8
    return kbuf.buffer_type(kbuf.shape_of(buffer), element, space)


def _moves(port: kbuf.InputOp | kbuf.OutputOp, root: SSAValue) -> bool:
    """Whether a port's whole buffer may lie with the caller: no other port has it, and nothing writes an input."""
    if kbuf.space_of(root) is not kbuf.Space.MAIN or kbuf.byte_size(root) != kbuf.byte_size(port.buffer):
        return False
    others = [user for user in kbuf.users_of(root) if user is not port]
    if any(isinstance(user, kbuf.InputOp | kbuf.OutputOp) for user in others):
        return False
    written = (one for user in others if isinstance(user, kbuf.InstructionOp) for one in user.destinations)
    return isinstance(port, kbuf.OutputOp) or not any(kbuf.root_of(one) is root for one in written)


def _replace(owner: kbuf.AllocOp | kbuf.SubviewOp, own: SSAValue, space: kbuf.Space) -> None:
    """Let everything that names a buffer, or a part of it, name another of the same bytes."""
    for use in list(owner.result.uses):
        user = use.operation
        user.operands[use.index] = own
        if isinstance(user, kbuf.SubviewOp):
            view = kbuf.SubviewOp(own, _in_space(user.result, space), user.byte_offset.value.data)
            view.location = user.location
            Builder(InsertPoint.before(user)).insert(view)
            _replace(user, view.result, space)
    owner.detach()
    owner.erase()


@dataclass(frozen=True)
class KbufLegalizeV5Pass(ModulePass):
    """Turn instructions of kmodel v4 into those of v5, in modules for v5.

    `release`: of the runtime that is to execute them; older ones have fewer functions (`kmodel-v5.md` 13).
    """

    name = "kbuf-legalize-v5"

    release: str = NEWEST

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite in place. Raises UnsupportedError naming every instruction that v5 has no form of."""
        if op.attributes.get("kbuf.version") != StringAttr("v5"):
            return
        if self.release not in RELEASES:
            raise UsageError(f"there is no release '{self.release}'", hint=f"choose {', '.join(RELEASES)}")
        if self.release != NEWEST:
            op.attributes["kbuf.release"] = StringAttr(self.release)
        block = entry_function(op).body.block
        for kind, space in ((kbuf.InputOp, kbuf.Space.INPUT), (kbuf.OutputOp, kbuf.Space.OUTPUT)):
            _place_ports(list(block.ops), kind, space)
        problems: list[tuple[str, str]] = []
        for one in list(block.ops):
            if isinstance(one, kbuf.KpuConv2dOp):
                _split_download(one)
            elif isinstance(one, kbuf.InstructionOp) and not isinstance(one, _STAY):
                form = FORMS.get(type(one))
                if form is None:
                    problems.append((layer_name(one), f"no kmodel v5 runtime does {one.name}; those of v4 do"))
                    continue
                emitter = Emitter(one, self.release)
                try:
                    form(emitter, one, SimpleNamespace(**one.values()))
                except ValueError as error:
                    problems.append((layer_name(one), str(error)))
                    continue
                emitter.finish()
        if problems:
            raise UnsupportedError(problems)
