"""`kpu-sink-concats`: what is done to every channel of a concatenation alike is done to its parts.

Before: the parts of a convolution that was split, joined by `kpu.concat`, and behind it scalar functions, strided
slices and poolings. After: each is done to the parts, where it can become a part of the layer that makes them; so are
crops in front of them, and pads in front of channel slices. A channel slice that is just some of the operands is those.
A strided slice of blocks of channels that are images (`kpu.images`) is one of the images.

    %c = kpu.concat %f, %g                                 // 576 channels each, from layers
    %r = ktensor.activation<relu> %c
    %s = kpu.channel_slice %r {begin = 576 : i64, channels = 576 : i64}
      =>
    %q = ktensor.activation<relu> %f
    %s = ktensor.activation<relu> %g
    %r = kpu.concat %q, %s

So maps of more than 1024 channels exist only as concatenations whose parts are read one by one. Only where all parts
come from layers and have no other use, and every part but the last fills its lines at any width (a multiple of 4
channels): then the channels of the result are those of the operands without gaps. Source: `kpu-hardware.md` 2.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis.functions import scalar_function
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.splitting import LINE
from kpuir.target import k210

_PER_CHANNEL = (kpu.StridedSliceOp, ktensor.MaxPool2dOp, ktensor.AveragePool2dOp)


def _source(op: Operation) -> SSAValue | None:
    """What an operation does the same to every channel of, if it is one that sinks."""
    found = scalar_function(op)
    if found is not None:
        return found[0]
    users = [use.operation for result in op.results for use in result.uses]
    if isinstance(op, ktensor.ReduceOp):
        sinks = op.keeps_dims and op.axes.get_values() == (2, 3)
    elif isinstance(op, kpu.PadOp):
        sinks = all(isinstance(user, kpu.ChannelSliceOp) for user in users)
    elif isinstance(op, kpu.CropOp):  # alone it is better done once
        sinks = all(isinstance(user, _PER_CHANNEL) for user in users)
    else:
        sinks = isinstance(op, _PER_CHANNEL)
    return op.operands[0] if sinks else None


def _from_layer(value: SSAValue) -> bool:
    """Whether a value has one use and is a layer's result, perhaps with more done to every channel."""
    owner = value.owner
    if not isinstance(owner, Operation) or not value.has_one_use():
        return False
    if isinstance(owner, kpu.Conv2dOp):
        return True
    found = scalar_function(owner)
    if found is not None:
        return _from_layer(found[0])
    through = (kpu.ConcatOp, kpu.ImagesOp, kpu.PadOp, kpu.CropOp, ktensor.ReduceOp, *_PER_CHANNEL)
    return isinstance(owner, through) and all(_from_layer(operand) for operand in owner.operands)


class FunctionBeforeCrop(RewritePattern):
    """f(crop(concat)) -> crop(f(concat)), so that f can sink while the crop stays."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one scalar function."""
        found = scalar_function(op)
        crop = found[0].owner if found is not None else None
        if found is None or not isinstance(crop, kpu.CropOp) or not isinstance(crop.input.owner, kpu.ConcatOp):
            return
        if found[0].has_one_use() and crop.input.has_one_use():
            function = ktensor.ActivationOp(crop.input, found[1])
            rewriter.replace(op, [function, kpu.CropOp(function.output, crop.crops.get_values())])


class SinkConcat(RewritePattern):
    """f(concat(a, b)) -> concat(f(a), f(b))."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one operation that treats all channels alike."""
        source = _source(op)
        concat = source.owner if source is not None else None
        if not isinstance(concat, kpu.ConcatOp) or source is None or not source.has_one_use():
            return
        channels = [ktensor.shape_of(value)[1] for value in concat.inputs]
        if any(count % LINE for count in channels[:-1]) or not all(_from_layer(value) for value in concat.inputs):
            return
        shape, element = ktensor.shape_of(op.results[0]), ktensor.element_of(op.results[0])
        made: list[Operation] = []
        for value, count in zip(concat.inputs, channels, strict=True):
            kind = TensorType(element, (shape[0], count, *shape[2:]))
            operands = [value if operand is source else operand for operand in op.operands]
            made.append(type(op).create(operands=operands, result_types=[kind], properties=op.properties))
            made[-1].attributes.update(op.attributes)
            made[-1].location = op.location
        rewriter.replace(op, [*made, kpu.ConcatOp([one.results[0] for one in made])])


def _picks_whole(op: kpu.StridedSliceOp) -> bool:
    """Whether a layer picks the pixels of a strided slice without any being padded, which is for one image only."""
    strides = op.strides.get_values()
    sizes = [ktensor.shape_of(value)[2:] for value in (op.input, op.output)]
    whole = all(before == after * stride for before, after, stride in zip(*sizes, strides, strict=True))
    return whole and k210.output_size_rule(*sizes[1]).ok


class SinkImages(RewritePattern):
    """Pixels are picked of images of blocks of channels rather than of the blocks, so that the layer in front can."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """slice(images(x)) -> images(slice(x))."""
        images = op.input.owner
        if not isinstance(images, kpu.ImagesOp) or not op.input.has_one_use() or not _from_layer(images.input):
            return
        if _picks_whole(op):
            picked = kpu.StridedSliceOp(images.input, op.begin.get_values(), op.strides.get_values())
            rewriter.replace(op, [picked, kpu.ImagesOp(picked.output, images.count.value.data)])


class SliceConcat(RewritePattern):
    """A slice of a concatenation is (a slice of) those of its operands that it covers."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.ChannelSliceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one slice."""
        concat, end = op.input.owner, op.first + op.count
        if not isinstance(concat, kpu.ConcatOp):
            return
        begins = dict(zip(concat.first_channels, concat.inputs, strict=True))
        ends = {begin: begin + ktensor.shape_of(value)[1] for begin, value in begins.items()}
        within = [begin for begin in begins if begin <= op.first and end <= ends[begin]]
        if within:
            value = begins[within[0]]
            whole = op.count == ktensor.shape_of(value)[1]
            new = [] if whole else [kpu.ChannelSliceOp(value, op.first - within[0], op.count)]
            rewriter.replace(op, new, [value] if whole else None)
        elif op.first in begins and end in ends.values():
            covered = [value for begin, value in begins.items() if op.first <= begin < end]
            rewriter.replace(op, kpu.ConcatOp(covered))


@dataclass(frozen=True)
class KpuSinkConcatsPass(ModulePass):
    """Do to the parts of concatenations what is done to each of their channels."""

    name = "kpu-sink-concats"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, FunctionBeforeCrop(), SinkConcat(), SinkImages(), SliceConcat())
