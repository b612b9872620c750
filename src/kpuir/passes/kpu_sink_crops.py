"""`kpu-sink-crops`: what is done to every pixel alike is done in front of a crop.

Before: a map that is computed larger than the model wants, a `kpu.crop` of it, and behind that scalar functions,
factors and addends per channel, sums, or a concatenation of channels, of crops alike or of one that is cropped more
than the other. After: they come first, and what is cropped everywhere is cropped once, as late as possible. A slice of
rows and columns is such a crop. A convolution that reads nothing outside of the crop comes first too.

    %a = kpu.crop %f {crops = array<i64: 0, 0, 3, 0>}                    // 4x64 -> 1x64
    %b = kpu.crop %g {crops = array<i64: 0, 0, 3, 0>}
    %y = ktensor.binary<add> %a, %b
      =>
    %s = ktensor.binary<add> %f, %g
    %y = kpu.crop %s {crops = array<i64: 0, 0, 3, 0>}

Exact: pixels do not mix. The maps stay those that layers make, of a size the KPU takes, and `kpu-cancel-crops` may find
the crop undone behind. Where the cropped map is too small for the KPU an operand that is not cropped is padded instead,
which it has to be anyway. Only where computing more pixels takes less time than cropping before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates, residency
from kpuir.analysis.calibration import Region, read_region
from kpuir.analysis.functions import channel_affine, per_channel, scalar_function
from kpuir.dialects import kpu, ktensor
from kpuir.dialects.kpu.movement import MergeCrops
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import border_of, insert, is_on_kpu
from kpuir.target import k210

Sides = tuple[int, ...]
"""Of (top, left, bottom, right) rows and columns."""


def _maps(op: Operation) -> list[SSAValue]:
    """What an operation treats pixel by pixel, each alike; nothing where it does not, or its channels are shuffled."""
    if isinstance(op, kpu.ConcatOp) or (isinstance(op, ktensor.ConcatOp) and op.axis.value.data == 1):
        shuffles = any(isinstance(use.operation, ktensor.ReshapeOp) for use in op.results[0].uses)
        return [] if shuffles else list(op.operands)
    if residency.is_sum(op):
        return list(op.operands)
    if isinstance(op, ktensor.PReluOp):
        return [op.input] if per_channel(op.slope, op.input) is not None else []
    found = scalar_function(op) or channel_affine(op)
    return [found[0]] if found is not None else []


def _crop_of(value: SSAValue) -> kpu.CropOp | None:
    """The crop that makes a value, of what lies in KPU RAM."""
    owner = value.owner
    return owner if isinstance(owner, kpu.CropOp) and residency.on_kpu(owner.input) else None


def _milliseconds(op: Operation, maps: Sequence[SSAValue], size: Sequence[int]) -> float:
    """Of the layer that does `op` on maps of some height and width, if it takes one."""
    channels = [ktensor.shape_of(value)[1] for value in maps]
    if isinstance(op, kpu.ConcatOp | ktensor.ConcatOp):
        return 0.0
    return estimates.layer((1, sum(channels), *size), channels[0], depthwise=len(channels) == 1)


class SinkCrop(RewritePattern):
    """op(crop(a), crop(b)) -> crop(op(a, b))."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one operation that treats all pixels alike."""
        maps = _maps(op) if len(op.results) == 1 and len(ktensor.shape_of(op.results[0])) == 4 else []
        crops = {value: crop for value in maps if (crop := _crop_of(value)) is not None}
        pads = not residency.is_map(op.results[0]) if maps else False
        if not crops or (len(crops) < len(set(maps)) and not pads):
            return
        common = tuple(map(min, zip(*(border_of(crop) for crop in crops.values()), strict=True)))
        if not any(common) or not _pays(op, maps, crops, common):
            return
        larger = {value: _larger(rewriter, value, crops.get(value), common) for value in dict.fromkeys(maps)}
        shape, element = ktensor.shape_of(op.results[0]), ktensor.element_of(op.results[0])
        result = TensorType(element, (*shape[:2], *ktensor.shape_of(larger[maps[0]])[2:]))
        operands = [larger.get(value, value) for value in op.operands]
        new = type(op).create(operands=operands, result_types=[result], properties=op.properties)
        new.attributes.update(op.attributes)
        rewriter.replace(op, [new, kpu.CropOp(new, common)])


def _larger(rewriter: PatternRewriter, value: SSAValue, crop: kpu.CropOp | None, common: Sides) -> SSAValue:
    """A map that cropped by `common` is `value`."""
    if crop is None:
        return insert(rewriter, kpu.PadOp(value, common))
    sides = [side - shared for side, shared in zip(border_of(crop), common, strict=True)]
    return insert(rewriter, kpu.CropOp(crop.input, sides)) if any(sides) else crop.input


def _pays(op: Operation, maps: Sequence[SSAValue], crops: dict[SSAValue, kpu.CropOp], common: Sides) -> bool:
    """Whether computing more pixels takes less time than the crops in front."""
    height, width = ktensor.shape_of(op.results[0])[2:]
    top, left, bottom, right = common
    more = _milliseconds(op, maps, (height + top + bottom, width + left + right))
    if residency.is_map(op.results[0]):
        more -= _milliseconds(op, maps, (height, width))
    cropping = (
        estimates.border(ktensor.shape_of(crop.input), ktensor.shape_of(crop.output), border_of(crop))
        for crop in crops.values()
    )
    return more <= sum(cropping)


def is_within(region: Region, border: Sides, value: SSAValue) -> bool:
    """Whether a region of a map leaves out its outer rows and columns, as many as `border` says."""
    top, left, bottom, right = border
    (rows, columns), (height, width) = region, ktensor.shape_of(value)[2:]
    return (
        rows.start >= top and rows.stop <= height - bottom and columns.start >= left and columns.stop <= width - right
    )


def _is_cropped(conv: kpu.Conv2dOp) -> bool:
    """Whether only crops read a layer's result, which is not pooled."""
    cropped = all(isinstance(use.operation, kpu.CropOp) for use in conv.output.uses)
    return cropped and conv.pool_kind is kpu.PoolKind.BYPASS


def _goes_first(user: Operation) -> bool:
    """Whether what reads a cropped map can come before the crop."""
    if isinstance(user, kpu.Conv2dOp):
        return _is_cropped(user)
    joins = isinstance(user, kpu.CropOp | kpu.ConcatOp | ktensor.ConcatOp) or residency.is_sum(user)
    return joins or residency.is_elementwise(user)


class ConvolutionBeforeCrop(RewritePattern):
    """crop(conv(crop(x))) -> crop(conv(x)), where nothing outside of the inner crop reaches what is kept."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.Conv2dOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one convolution."""
        front = op.input.owner
        if not isinstance(front, kpu.CropOp) or not (is_on_kpu(front.input) or residency.on_kpu(front.input)):
            return
        crops = [use.operation for use in op.output.uses if isinstance(use.operation, kpu.CropOp)]
        if not crops or not _is_cropped(op) or not is_within(read_region(op, op.input), (0, 0, 0, 0), op.input):
            return
        sides = {crop: tuple(map(int.__add__, border_of(crop), border_of(front))) for crop in crops}
        if not all(_goes_first(use.operation) for use in front.output.uses) or not _pays_behind(op, front, sides):
            return
        layer = kpu.Conv2dOp(front.input, op.weight, op.bias, depthwise=op.is_depthwise, activation=op.activation.data)
        layer.location = op.location
        layer.attributes.update(op.attributes)
        rewriter.insert(layer)
        for crop, cropped in sides.items():
            rewriter.replace(crop, kpu.CropOp(layer, cropped))


def _pays_behind(op: kpu.Conv2dOp, front: kpu.CropOp, sides: dict[kpu.CropOp, Sides]) -> bool:
    """Whether a layer on the whole map, cropped by `sides`, is legal and takes no longer than cropping before."""
    whole, cropped, outputs = kpu.size4(front.input.type), kpu.size4(op.input.type), ktensor.shape_of(op.output)[1]
    kernel, depthwise = op.kernel_size, op.is_depthwise
    late = estimates.layer(whole, outputs, kernel, depthwise)
    early = estimates.layer(cropped, outputs, kernel, depthwise) + estimates.border(whole, cropped, border_of(front))
    for crop, more in sides.items():
        wanted = ktensor.shape_of(crop.output)
        late += estimates.border((1, outputs, *whole[2:]), wanted, more)
        early += estimates.border(ktensor.shape_of(op.output), wanted, border_of(crop))
    rule = k210.layer_rules(*whole[1:], outputs, kernel, depthwise)
    room = k210.band_rule(whole, (1, outputs, *whole[2:]))
    return late <= early and rule.ok and room.ok


class SliceToCrop(RewritePattern):
    """A slice of rows and columns of what lies in KPU RAM is a crop."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.SliceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one slice without steps."""
        shape, starts, ends = ktensor.shape_of(op.input), op.starts.get_values(), op.ends.get_values()
        if len(shape) != 4 or any(step != 1 for step in op.steps.get_values()) or not residency.on_kpu(op.input):
            return
        if ktensor.shape_of(op.output)[:2] == shape[:2]:
            rewriter.replace(op, kpu.CropOp(op.input, (*starts[2:], shape[2] - ends[2], shape[3] - ends[3])))


@dataclass(frozen=True)
class KpuSinkCropsPass(ModulePass):
    """Do in front of crops what is done to every pixel behind them."""

    name = "kpu-sink-crops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, SliceToCrop(), recursive=False)
        rewrite(op, MergeCrops(), ConvolutionBeforeCrop(), SinkCrop())
