"""`ktensor-absorb-layouts`: feature maps enter (and with `outputs=true` leave) the function as NCHW.

Before: `ktensor-sink-transposes` has run; a channels-last argument is transposed at its first use. After: an argument
that is used only that way has the transposed type and the attribute `ktensor.layout = "NHWC"`, which tells whoever
feeds the model that its own layout is channels-last. The attribute of a result means the same.

    func.func @main(%x: tensor<1x8x8x3xf32>) {
      %0 = ktensor.transpose %x {permutation = [0, 3, 1, 2]}
      %1 = ktensor.conv2d %0, %w
      =>
    func.func @main(%x: tensor<1x3x8x8xf32> {ktensor.layout = "NHWC"}) {
      %1 = ktensor.conv2d %x, %w

Operations between argument and transpose that work on any order of axes (padding, scaling, ...) are carried over too,
and an argument [1, H, W, C] of which the model makes a picture [H, W, C] first keeps its batch.
The chip's camera delivers planar images, so for inputs this is a gain by itself; results are left alone by default.
"""

from dataclasses import dataclass
from functools import partial

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, SSAValue, Use
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern
from xdsl.rewriter import InsertPoint, Rewriter

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import element_of, shape_of, tensor
from kpuir.ir.functions import LAYOUT
from kpuir.ir.rewriting import rewrite
from kpuir.passes.ktensor_sink_transposes import ONE_INPUT, SimplifyReshape, moves_only_ones, permuted, sink_transposes

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)


@dataclass(frozen=True)
class KTensorAbsorbLayoutsPass(ModulePass):
    """Make channels-last arguments NCHW; with `outputs`, results too."""

    name = "ktensor-absorb-layouts"

    outputs: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Run on all functions of the module."""
        rewrite(op, SinkWithoutBatch(), SimplifyReshape())
        for function in [inner for inner in op.walk() if isinstance(inner, FuncOp)]:
            block = function.body.blocks.first
            if block is None:
                continue
            _absorb_arguments(function, block)
            if self.outputs:
                _absorb_results(function, block)
        sink_transposes(op)


class SinkWithoutBatch(RewritePattern):
    """f(reshape(x)) => reshape(f(x)) where an argument [1, H, W, C] is a picture [H, W, C] to the model."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one function of elements, slice or transpose."""
        full = _with_batch(_operand(op)) if isinstance(op, _ON_PICTURES) else None
        if full is None:
            return
        result = op.results[0]
        ones = 4 - len(shape_of(_operand(op)))
        match op:
            case ktensor.TransposeOp():
                order = (*range(ones), *(axis + ones for axis in op.permutation.get_values()))
                moved: ktensor.KTensorOp = ktensor.TransposeOp(full, order)
            case ktensor.SliceOp():
                begin, end, step = (
                    (one,) * ones + values.get_values() for one, values in ((0, op.starts), (1, op.ends), (1, op.steps))
                )
                moved = ktensor.SliceOp(full, begin, end, step)
            case ktensor.BinaryOp():
                if len(shape_of(result)) > 4 - ones:
                    return
                lhs, rhs = (full if one is _operand(op) else one for one in op.operands)
                moved = ktensor.BinaryOp(op.kind.data, lhs, rhs)
            case _:
                moved, _ = ONE_INPUT[type(op)](op, full, ())
        rewriter.replace(op, [moved, ktensor.ReshapeOp(moved, shape_of(result))])


_ON_PICTURES = (ktensor.TransposeOp, ktensor.SliceOp, ktensor.BinaryOp, ktensor.UnaryOp, ktensor.ActivationOp)


def _operand(op: Operation) -> SSAValue:
    """The operand that is no constant; the first if all are."""
    return next((value for value in op.operands if ktensor.constant_of(value) is None), op.operands[0])


def _with_batch(value: SSAValue) -> SSAValue | None:
    """What a value is with its leading axes of size 1 where it is an argument of four, or a function of one."""
    reshape = value.owner
    if not isinstance(reshape, ktensor.ReshapeOp) or not _is_image(reshape.input):
        return None
    origin = reshape.input
    while isinstance(origin.owner, _ON_PICTURES):
        origin = _operand(origin.owner)
    shape = shape_of(value)
    is_picture = isinstance(origin.owner, Block) and shape_of(reshape.input) == (1,) * (4 - len(shape)) + shape
    return reshape.input if is_picture else None


def _absorb_arguments(function: FuncOp, block: Block) -> None:
    attributes = _attributes(function.arg_attrs, len(block.args))
    for index, argument in enumerate(block.args):
        if LAYOUT in attributes[index] or not _is_image(argument) or not _transposes_only(argument):
            continue
        kind = tensor(element_of(argument), permuted(shape_of(argument), _TO_NCHW))
        planar = Rewriter.replace_value_with_new_type(argument, kind)
        back = ktensor.TransposeOp(planar, _TO_NHWC)
        Rewriter.insert_op(back, InsertPoint.at_start(block))
        planar.replace_uses_with_if(back.output, partial(_is_not_by, back))
        attributes[index][LAYOUT] = StringAttr("NHWC")
    function.arg_attrs = ArrayAttr([DictionaryAttr(entries) for entries in attributes])
    function.function_type = FunctionType.from_lists(block.arg_types, function.function_type.outputs.data)


def _absorb_results(function: FuncOp, block: Block) -> None:
    last = block.last_op
    if not isinstance(last, ReturnOp):
        return
    attributes = _attributes(function.res_attrs, len(last.arguments))
    for index, value in enumerate(last.arguments):
        owner = value.owner
        if LAYOUT not in attributes[index] and isinstance(owner, Operation) and _is_transpose(owner, _TO_NHWC):
            last.operands[index] = owner.operands[0]
            attributes[index][LAYOUT] = StringAttr("NHWC")
    function.res_attrs = ArrayAttr([DictionaryAttr(entries) for entries in attributes])
    function.function_type = FunctionType.from_lists(
        function.function_type.inputs.data, [value.type for value in last.arguments]
    )


def _transposes_only(value: SSAValue) -> bool:
    """Whether every use leads, over operations that work on any order of axes, to a transpose to NCHW."""
    users = [use.operation for use in value.uses]
    return bool(users) and all(
        _is_transpose(user, _TO_NCHW)
        or (_works_on_any_order(user) and _is_image(user.results[0]) and _transposes_only(user.results[0]))
        for user in users
    )


def _works_on_any_order(op: Operation) -> bool:
    """Whether `ktensor-sink-transposes` will move the transpose of its computed operand behind `op`."""
    if isinstance(op, ktensor.BinaryOp):
        return any(ktensor.constant_of(operand) is not None for operand in op.operands)
    if isinstance(op, ktensor.PReluOp):
        return ktensor.constant_of(op.slope) is not None
    if isinstance(op, ktensor.ConcatOp):  # of parts of one argument
        origins = {_origin(value) for value in op.inputs}
        return len(origins) == 1 and isinstance(origins.pop().owner, Block)
    return type(op) in ONE_INPUT


def _origin(value: SSAValue) -> SSAValue:
    """What a value is made of by operations of one operand that work on any order of axes."""
    while isinstance(value.owner, Operation) and type(value.owner) in ONE_INPUT:
        value = value.owner.operands[0]
    return value


def _is_transpose(op: Operation, permutation: tuple[int, ...]) -> bool:
    """Whether `op` is that transpose, perhaps as the reshape it is where only axes of size 1 move."""
    if isinstance(op, ktensor.TransposeOp):
        return tuple(op.permutation.get_values()) == permutation
    if not isinstance(op, ktensor.ReshapeOp) or not _is_image(op.input):
        return False
    shape = shape_of(op.input)
    return moves_only_ones(shape, permutation) and permuted(shape, permutation) == shape_of(op.output)


def _is_image(value: SSAValue) -> bool:
    return len(shape_of(value)) == 4


def _is_not_by(op: Operation, use: Use) -> bool:
    return use.operation is not op


def _attributes(attributes: ArrayAttr[DictionaryAttr] | None, count: int) -> list[dict[str, Attribute]]:
    return [dict(entry.data) for entry in attributes] if attributes is not None else [{} for _ in range(count)]
