"""`convert-kpu-to-kbuf`: operations on values become instructions on buffers.

Before: quantized `kpu` IR, and `ktensor` operations that instructions can do (see the `ktensor-decompose-*` passes).
After: `kbuf` IR in execution order, every buffer allocated but without an address; a module that is at this level
already stays as it is. An instruction for the CPU keeps the `kpu.reason` of its operation.

    %u = kpu.upload %x
    %f = kpu.layer %u {...}
    %y = kpu.download %f
      =>
    %0 = kbuf.alloc : memref<1x3x32x32xui8, #kbuf.space<kpu>>
    kbuf.input %0 {index = 0 : i64, name = "input", ...}
    %1 = kbuf.alloc : memref<1x16x32x32xui8, #kbuf.space<kpu>>
    %2 = kbuf.alloc : memref<1x16x32x32xui8, #kbuf.space<main>>
    kbuf.kpu_conv2d %0 -> %1, %2 {...}

An input that only KPU layers read is delivered straight into KPU RAM; a reshape is another view of the same bytes; a
clamp is done by the instruction that computes its operand. Everything no instruction does is reported at once.
"""

import math
from dataclasses import dataclass
from typing import Literal

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, StringAttr, f32
from xdsl.ir import Block, BlockArgument, Region
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.ir.functions import ENTRY, LAYOUT, NAME, argument_attributes, entry_function, result_attributes
from kpuir.ir.locations import named
from kpuir.passes.convert_kpu_to_kbuf import compute as _compute
from kpuir.passes.convert_kpu_to_kbuf import layers as _layers
from kpuir.passes.convert_kpu_to_kbuf import movement as _movement
from kpuir.passes.convert_kpu_to_kbuf import placement as _placement
from kpuir.passes.convert_kpu_to_kbuf.lowering import (
    CONVERSIONS,
    MAX_RANK,
    Lowering,
    RefusalError,
    converts,
    has_words,
    shape4,
)

# Importing a module of conversions registers them.
_ = (_compute, _layers, _movement, _placement)

__all__ = ["CONVERSIONS", "ConvertKpuToKbufPass", "Lowering", "RefusalError", "converts"]


def _text(attribute: object) -> str | None:
    return attribute.data if isinstance(attribute, StringAttr) else None


def _port_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The four dimensions a kmodel gives an input: of more, the first become one, which changes no byte."""
    extra = max(len(shape) - MAX_RANK, 0)
    return shape4((math.prod(shape[: extra + 1]), *shape[extra + 1 :]) if extra else shape)


def _input(lowering: Lowering, function: func.FuncOp, argument: BlockArgument) -> None:
    """Declare one input: in KPU RAM if nothing but uploads reads it."""
    attributes = argument_attributes(function, argument.index)
    element, shape = ktensor.element_of(argument), ktensor.shape_of(argument)
    quantized = element if isinstance(element, ktensor.QuantizedType) else None
    users = [use.operation for use in argument.uses]
    direct = bool(users) and all(isinstance(user, kpu.UploadOp) for user in users)
    space = kbuf.Space.KPU if direct else kbuf.Space.MAIN
    buffer = lowering.alloc(shape, kbuf.UI8 if quantized else f32, space)
    lowering.buffers[argument] = buffer
    name = _text(attributes.get(NAME)) or f"input{argument.index}"
    lowering.emit(
        kbuf.InputOp(
            buffer,
            argument.index,
            _port_shape(shape),
            name,
            scale=quantized.scale_value if quantized else None,
            zero_point=quantized.zero_point_value if quantized else None,
            layout=_text(attributes.get(LAYOUT)),
        )
    )


def _outputs(lowering: Lowering, function: func.FuncOp) -> None:
    """Declare the outputs; one that is a constant is copied to main RAM."""
    return_op = function.get_return_op()
    assert return_op is not None
    for index, value in enumerate(return_op.operands):
        buffer, shape = lowering.buffer(value), ktensor.shape_of(value)
        if kbuf.space_of(buffer) is kbuf.Space.CONST:
            copy = lowering.alloc(shape)
            lowering.emit(kbuf.MemoryCopyOp(buffer, copy))
            buffer = copy
        attributes = result_attributes(function, index)
        name = _text(attributes.get(NAME)) or f"output{index}"
        port = kbuf.OutputOp(buffer, index, _port_shape(shape), name, layout=_text(attributes.get(LAYOUT)))
        port.location = named(name)
        lowering.emit(port)


@dataclass(frozen=True)
class ConvertKpuToKbufPass(ModulePass):
    """Turn operations on values into instructions on buffers.

    `version`: of the kmodel to become; instructions are those of v4 here, `kbuf-legalize-v3` and
    `kbuf-legalize-v5` make those of other versions of them.
    """

    name = "convert-kpu-to-kbuf"

    version: Literal["v3", "v4", "v5"] = "v4"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Replace `@main`. Raises UnsupportedError naming every operation no instruction does."""
        if "kbuf.version" in op.attributes:
            return
        function = entry_function(op)
        block = Block()
        lowering = Lowering(Builder(InsertPoint.at_end(block)), words=has_words(function.walk()))
        for argument in function.body.block.args:
            _input(lowering, function, argument)
        _placement.join_operands(lowering, function)
        lowering.run([each for each in function.body.block.ops if not isinstance(each, func.ReturnOp)])
        _outputs(lowering, function)
        lowering.emit(func.ReturnOp())
        op.body.block.insert_op_before(func.FuncOp(ENTRY, ([], []), Region(block)), function)
        function.detach()
        function.erase()
        op.attributes["kbuf.version"] = StringAttr(self.version)
