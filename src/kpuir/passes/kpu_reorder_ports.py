"""`kpu-reorder-ports`: feature maps enter and leave the kmodel channels-last, where that is asked for.

Before: the function takes and gives maps as NCHW, and those with the attribute `ktensor.layout = "NHWC"` are
channels-last in the source model. After, with `inputs=NHWC` (and `outputs=NHWC` for results), every map of four axes is
NHWC, in front of or behind a transpose, and has the attribute `ktensor.layout = "NCHW"` where the source model's is
that; without an attribute both have the same layout. With `inputs=model` those are that are in the source model.

    func.func @main(%x: tensor<1x3x8x8x!ktensor.quantized<ui8, 1.0, 0>>) {
      %0 = kpu.upload %x
      =>
    func.func @main(%x: tensor<1x8x8x3x!ktensor.quantized<ui8, 1.0, 0>> {ktensor.layout = "NCHW"}) {
      %1 = ktensor.transpose %x {permutation = [0, 3, 1, 2]}
      %0 = kpu.upload %1

It is the last pass before instructions, so that all others see planar maps, which the engine works on; the CPU moves
the bytes.
"""

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import element_of, shape_of, tensor
from kpuir.ir.functions import LAYOUT, argument_attributes, entry_function, result_attributes

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)


@dataclass(frozen=True)
class KpuReorderPortsPass(ModulePass):
    """Make the maps that enter (`inputs`) and leave (`outputs`) channels-last.

    `source`: the layout, in the source model, of maps without an attribute.
    """

    name = "kpu-reorder-ports"

    inputs: Literal["NCHW", "NHWC", "model"] = "NCHW"
    outputs: Literal["model", "NHWC"] = "model"
    source: Literal["NCHW", "NHWC"] = "NCHW"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        if self.inputs == "NCHW" and self.outputs == "model":
            return
        function = entry_function(op)
        if self.inputs != "NCHW":
            self._reorder_arguments(function)
        if self.outputs == "NHWC":
            self._reorder_results(function)
        returned = function.get_return_op()
        results = [] if returned is None else [value.type for value in returned.operands]
        function.function_type = FunctionType.from_lists(function.body.block.arg_types, results)

    def _reorder_arguments(self, function: FuncOp) -> None:
        block = function.body.block
        attributes = [argument_attributes(function, index) for index in range(len(block.args))]
        for argument, own in zip(block.args, attributes, strict=True):
            if (self.inputs == "model" and LAYOUT not in own) or not self._reorders(argument, own):
                continue
            shape = shape_of(argument)
            kind = tensor(element_of(argument), [shape[axis] for axis in _TO_NHWC])
            last = Rewriter.replace_value_with_new_type(argument, kind)
            planar = ktensor.TransposeOp(last, _TO_NCHW)
            Rewriter.insert_op(planar, InsertPoint.at_start(block))
            last.replace_uses_with_if(planar.output, lambda use, op=planar: use.operation is not op)
        function.arg_attrs = ArrayAttr([DictionaryAttr(own) for own in attributes])

    def _reorder_results(self, function: FuncOp) -> None:
        returned = function.get_return_op()
        assert returned is not None
        attributes = [result_attributes(function, index) for index in range(len(returned.operands))]
        for index, (value, own) in enumerate(zip(returned.operands, attributes, strict=True)):
            if not self._reorders(value, own):
                continue
            last = ktensor.TransposeOp(value, _TO_NHWC)
            Rewriter.insert_op(last, InsertPoint.before(returned))
            returned.operands[index] = last.output
        function.res_attrs = ArrayAttr([DictionaryAttr(own) for own in attributes])

    def _reorders(self, value: SSAValue, attributes: dict[str, Attribute]) -> bool:
        """Whether a value is a planar map; its attribute says from now on what the source model's layout is."""
        if len(shape_of(value)) != 4 or (LAYOUT not in attributes and self.source == "NHWC"):
            return False
        if attributes.pop(LAYOUT, None) is None:
            attributes[LAYOUT] = StringAttr("NCHW")
        return True
