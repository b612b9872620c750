"""`kpu-place`: what KPU layers read and write lives in KPU RAM.

Before: `kpu.conv2d` on quantized tensors, and what moves or joins them. After: layers, concatenations and views are on
feature maps (`!kpu.fmap`), with `kpu.upload` where a value comes from main RAM and `kpu.download` where it is needed
there; a value made and used by layers never leaves KPU RAM.

    %f = kpu.conv2d %x, %w, %b
    %g = kpu.conv2d %f, %v, %c
      =>
    %u = kpu.upload %x
    %f = kpu.conv2d %u, %w, %b
    %g = kpu.conv2d %f, %v, %c
    %y = kpu.download %g

A pad or crop of a map that is in KPU RAM stays there where that takes less time than the CPU does, with the ways there
and back. What is downloaded without being a layer's own result is copied by a layer first; so are the columns of a map
that are wanted, where there are enough others. Maps larger than KPU RAM are `kpu-tile`'s business.
"""

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr, UnitAttr
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import border_of, insert
from kpuir.target import k210

Borders = Literal["auto", "kpu", "cpu"]

_VIEWS = (kpu.ConcatOp, kpu.ChannelSliceOp, kpu.FoldRowsOp, kpu.ImagesOp, kpu.LinesOp)
_KPU_OPS = (kpu.Conv2dOp, *_VIEWS, kpu.PadOp, kpu.CropOp)


class Place(RewritePattern):
    """One operation on tensors becomes one on feature maps between uploads and a download."""

    def __init__(self, borders: Borders) -> None:
        self.borders: Borders = borders

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Place one operation."""
        if not isinstance(op, _KPU_OPS) or isinstance(op.results[0].type, kpu.FeatureMapType):
            return
        if isinstance(op, kpu.PadOp | kpu.CropOp) and not (verdict := _stays(op, self.borders)).ok:
            op.attributes[kpu.REASON] = StringAttr(verdict.reason)
            return
        if isinstance(op, kpu.Conv2dOp):
            new = _placed_conv(op, _map_of(rewriter, op.input))
        elif isinstance(op, kpu.ConcatOp):
            operands = [_map_of(rewriter, value) for value in op.inputs]
            element = ktensor.element_of(op.output)
            assert isinstance(element, ktensor.QuantizedType)
            new = kpu.ConcatOp(operands, result_element=element)
        else:
            source = _map_of(rewriter, op.operands[0])
            assert isinstance(source.type, kpu.FeatureMapType)
            kind = kpu.FeatureMapType.of(
                ktensor.shape_of(op.results[0]), source.type.scale_value, source.type.zero_point_value
            )
            new = type(op).create(operands=[source], result_types=[kind], properties=op.properties)
        new.attributes.update(op.attributes)
        rewriter.replace(op, [new, kpu.DownloadOp(new.results[0])])


def _copy(rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
    """The same map elsewhere, made by a layer."""
    import numpy as np

    assert isinstance(value.type, kpu.FeatureMapType)
    channels = ktensor.shape_of(value)[1]
    weight, bias = np.ones((channels, 1, 1, 1), np.float32), np.zeros(channels, np.float32)
    constants = [ktensor.ConstantOp(array) for array in (weight, bias)]
    copy = kpu.Conv2dOp(value, *(c.output for c in constants), depthwise=True, result_element=value.type.quantized)
    copy.attributes[kpu.MOVES] = UnitAttr()
    rewriter.insert((*constants, copy))
    return copy.output


class NarrowDownload(RewritePattern):
    """Columns on the right that are cropped in main RAM are left in KPU RAM, where a copy costs less than they do."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.CropOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite the crop of what nothing else needs."""
        download, (top, left, bottom, right) = op.input.owner, border_of(op)
        if not isinstance(download, kpu.DownloadOp) or not op.input.has_one_use():
            return
        shape = ktensor.shape_of(op.input)
        gone = shape[3] - estimates.narrowed(shape, right)
        if gone:
            narrow = kpu.CropOp(download.input, (0, 0, 0, gone))
            crop = kpu.CropOp(down := kpu.DownloadOp(narrow), (top, left, bottom, right - gone))
            crop.attributes.update(op.attributes)
            rewriter.replace(op, [narrow, down, crop])


class DownloadCopy(RewritePattern):
    """A layer's result can be copied to main RAM while it is made; anything else goes through a layer first."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: kpu.DownloadOp, rewriter: PatternRewriter, /) -> None:
        """Copy what is no layer's result, at most 1024 channels at a time."""
        if isinstance(op.input.owner, kpu.Conv2dOp) or not op.output.first_use:
            return
        channels = ktensor.shape_of(op.input)[1]
        parts: list[SSAValue] = []
        for first in range(0, channels, k210.K210.MAX_CHANNELS):
            count = min(k210.K210.MAX_CHANNELS, channels - first)
            whole = count == channels
            part = op.input if whole else insert(rewriter, kpu.ChannelSliceOp(op.input, first, count))
            parts.append(insert(rewriter, kpu.DownloadOp(_copy(rewriter, part))))
        if len(parts) > 1:
            concat = ktensor.ConcatOp(parts, 1)
            rewriter.insert(concat)
            parts = [concat.output]
        rewriter.replace(op, [], parts)


def _map_of(rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
    """The feature map of a quantized tensor: what was downloaded, or an upload."""
    if isinstance(value.owner, kpu.DownloadOp):
        return value.owner.input
    users = (use.operation for use in value.uses)
    shared = next((user for user in users if isinstance(user, kpu.UploadOp)), None)
    if shared is None:
        rewriter.insert(shared := kpu.UploadOp(value))
    return shared.output


def _placed_conv(op: kpu.Conv2dOp, source: SSAValue) -> kpu.Conv2dOp:
    element = ktensor.element_of(op.output)
    assert isinstance(element, ktensor.QuantizedType)
    return kpu.Conv2dOp(
        source,
        op.weight,
        op.bias,
        depthwise=op.is_depthwise,
        activation=op.activation.data,
        pool=op.pool_kind,
        result_element=element,
    )


def _stays(op: kpu.PadOp | kpu.CropOp, borders: Borders) -> k210.Verdict:
    """Whether a pad or crop of a quantized tensor is done in KPU RAM, or why not."""
    downloaded = isinstance(op.input.owner, kpu.DownloadOp)
    if borders == "cpu":
        return k210.Verdict(False, "the CPU was asked to pad and crop")
    if not ktensor.is_quantized(op.output):
        return k210.Verdict(False, "it is a map of floats")
    made = not (downloaded or isinstance(op.input, BlockArgument))  # in main RAM
    on_kpu = [isinstance(use.operation, _KPU_OPS) for use in op.output.uses]
    if not any(on_kpu):
        return k210.Verdict(False, "its result is needed in main RAM only")
    verdict = k210.border_rule(kpu.size4(op.input.type), kpu.size4(op.output.type))
    if not verdict.ok or borders == "kpu" or kpu.MOVES in op.attributes:
        return verdict
    source, result = ktensor.shape_of(op.input), ktensor.shape_of(op.output)
    cpu = estimates.move(result) + estimates.upload(result) + (estimates.download(source) if downloaded else 0)
    layers = estimates.border_on_kpu(source, result, border_of(op)) + (estimates.upload(source) if made else 0)
    layers += 0 if all(on_kpu) else estimates.download(result)
    return k210.Verdict(layers <= cpu, f"layers take {layers:.3f} ms, the CPU with the ways there and back {cpu:.3f}")


@dataclass(frozen=True)
class KpuPlacePass(ModulePass):
    """Move the inputs and outputs of layers into KPU RAM, with uploads and downloads only where needed.

    `moves`: who pads and crops maps that lie in KPU RAM; "auto" takes what is faster.
    """

    name = "kpu-place"

    moves: Borders = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, Place(self.moves), recursive=False)
        if self.moves != "cpu":
            rewrite(op, NarrowDownload(), recursive=False)
        rewrite(op, DownloadCopy(), recursive=False)
