"""Convolutions of any number of channels as layers the KPU has, which legalization shares.

* More outputs than a layer has, or more weights than it loads (1024 channels, 64 loads of 30 KiB): layers for some of
  the outputs each, whose maps lie next to each other as one `kpu.concat`. Exact. All parts but the last have a multiple
  of 4 channels, so that nothing fills up lines whatever the width.
* More inputs than a layer has: layers for some of the inputs each, and one that adds the partial sums: a 1x1
  convolution of their concatenation, for some of the outputs at a time. Where these are equally many, one after
  another are images, and there is one layer with one small weight for all; the bias is in a partial sum then. A
  partial sum is a byte in steps of its own range, so n of them add an error of about 0.3 sqrt(n) steps, while their
  range shrinks as n grows.

Every function inserts at the rewriter's insertion point and returns the new value. Source: `kpu-hardware.md` 5 and 8.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis import estimates
from kpuir.analysis.estimates import Cost
from kpuir.dialects import kpu, ktensor
from kpuir.passes.moving import insert, layer
from kpuir.target import k210
from kpuir.target.k210 import K210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LINE = k210.row_layout(1).channels_per_line
"""The most channels that share a line, at any width."""

_MOST_SUMMED = 16
"""Partial sums that are added at most."""

_SUMMED = (16, 32, 64, 96, 128, 192, 256)
"""Outputs for which partial sums are added by one layer."""

Part = tuple[int, int]
"""First channel and number of channels."""


def parts(count: int, most: int) -> list[Part]:
    """`count` channels in as few parts of at most `most` as possible, about equal, all but the last a multiple of 4."""
    number = -(-count // most)
    size = -(-count // (number * LINE)) * LINE
    size = size if size <= most or number == 1 else most // LINE * LINE
    return [(begin, min(size, count - begin)) for begin in range(0, count, size)]


def rule(inputs: int, outputs: int, height: int, width: int, kernel: int, depthwise: bool = False) -> k210.Verdict:
    """Whether a convolution that keeps its map's size can be made of layers; like `k210.layer_rules` but for splits."""
    fit = min(inputs, K210.MAX_CHANNELS)
    verdict = k210.layer_rules(fit, height, width, fit if depthwise else 1, kernel, depthwise)
    if verdict.ok and inputs > _MOST_SUMMED * K210.MAX_CHANNELS:
        most = f"{_MOST_SUMMED} times {K210.MAX_CHANNELS}"
        return k210.Verdict(False, f"the input has {inputs} channels, layers and their sums take {most}")
    if verdict.ok and depthwise and outputs != inputs:
        return k210.depthwise_rule(inputs, outputs)
    return verdict


def fits_layer(inputs: int, outputs: int, kernel: int) -> bool:
    """Whether an ordinary layer has so many channels, and loads its weights, whatever the size of its map."""
    most = K210.MAX_CHANNELS
    return max(inputs, outputs) <= most and k210.weight_loads_rule(inputs, outputs, kernel).ok


def cost(shape: Sequence[int], outputs: int, kernel: int) -> Cost:
    """What `convolution` takes for an ordinary one on a map of `shape`, about."""
    count = -(-shape[1] // K210.MAX_CHANNELS)
    return estimates.layers(shape, outputs, kernel) if count == 1 else _best_sums(shape, count, outputs, kernel)[0]


def _best_sums(shape: Sequence[int], count: int, outputs: int, kernel: int) -> tuple[Cost, int]:
    """(what it takes, outputs at a time) for partial sums over `count` parts of the inputs, and layers that add them.

    A layer that adds many channels has mostly weights of zero: several with some channels each are faster and smaller.
    """
    part, most = -(-shape[1] // count), most_summed_channels(count)
    divisors = {size for size in range(LINE, min(most, outputs) + 1, LINE) if outputs % size == 0}
    candidates = sorted({min(size, most, outputs) for size in (*_SUMMED, most)} | divisors)
    costs = {size: _sums(shape, part, count, outputs, kernel, size) for size in candidates}
    best = estimates.best(candidates, lambda size: costs[size])
    return costs[best], best


def _is_alike(shape: Sequence[int], count: int, outputs: int, size: int) -> bool:
    """Whether one layer can add `count` parts for `size` outputs at a time, each an image, and KPU RAM holds them."""
    maps = (k210.feature_map_bytes(1, channels, *shape[2:]) for channels in (shape[1], count * outputs, outputs))
    return shape[0] == 1 and size < outputs and outputs % size == 0 == size % LINE and sum(maps) <= K210.KPU_RAM_BYTES


def _sums(shape: Sequence[int], part: int, count: int, outputs: int, kernel: int, size: int) -> Cost:
    """What it takes with `size` outputs at a time."""
    batch, _, *sides = shape
    times = -(-outputs // size)
    partial = estimates.layers((batch, part, *sides), size, kernel, count=count * times)
    alike = _is_alike(shape, count, outputs, size)
    images, layers = (times, 1) if alike else (batch, times)
    return partial + estimates.layers((images, count * size, *sides), size, count=layers)


def convolution(
    rewriter: PatternRewriter,
    value: SSAValue,
    weight: "NDArray[np.float32]",
    bias: "NDArray[np.float32]",
    depthwise: bool = False,
) -> SSAValue:
    """A convolution of stride 1 that keeps its map's size, in as many layers as it takes.

    weight: [OC, IC, k, k] or [C, 1, k, k], bias: [OC]; `rule` holds.
    """
    inputs, outputs = ktensor.shape_of(value)[1], weight.shape[0]
    if depthwise:
        results = [
            layer(rewriter, piece, weight[first:][:count], bias[first:][:count], depthwise=True)
            for first, count, piece in pieces(rewriter, value, K210.MAX_CHANNELS)
        ]
        return joined(rewriter, results)
    if inputs > K210.MAX_CHANNELS:
        return _summed(rewriter, value, weight, bias)
    most = min(K210.MAX_CHANNELS, K210.MAX_WEIGHT_LOADS * _channels_per_load(inputs, weight.shape[2]))
    chosen = parts(outputs, most)
    return joined(rewriter, [layer(rewriter, value, weight[f : f + n], bias[f : f + n]) for f, n in chosen])


def joined(rewriter: PatternRewriter, values: Sequence[SSAValue]) -> SSAValue:
    """The channels of maps one after another."""
    return values[0] if len(values) == 1 else insert(rewriter, kpu.ConcatOp(values))


def slice_channels(rewriter: PatternRewriter, value: SSAValue, first: int, count: int) -> SSAValue:
    """Some channels of a map."""
    whole = count == ktensor.shape_of(value)[1]
    return value if whole else insert(rewriter, kpu.ChannelSliceOp(value, first, count))


def added(rewriter: PatternRewriter, values: Sequence[SSAValue], bias: "NDArray[np.float32]") -> SSAValue:
    """The sum of maps [1, C, H, W] and a bias [C], by one layer; together they have at most 1024 channels."""
    import numpy as np

    concat = kpu.ConcatOp(values)
    channels = np.arange(len(bias))
    weight = np.zeros((len(bias), ktensor.shape_of(concat.output)[1], 1, 1), np.float32)
    for first in concat.first_channels:
        weight[channels, first + channels] = 1
    return layer(rewriter, insert(rewriter, concat), weight, bias)


def added_alike(rewriter: PatternRewriter, value: SSAValue, blocks: int, terms: int) -> SSAValue:
    """The sums of `terms` maps each that lie one after another, as images, by one layer with one weight for all."""
    import numpy as np

    images = insert(rewriter, kpu.ImagesOp(value, blocks))
    identity = np.eye(ktensor.shape_of(images)[1] // terms, dtype=np.float32)
    return layer(rewriter, images, np.tile(identity, terms)[:, :, None, None])


def most_summed_channels(count: int) -> int:
    """How many channels each of `count` maps may have to be added by one layer; a multiple of 4."""
    return K210.MAX_CHANNELS // count // LINE * LINE


def pieces(rewriter: PatternRewriter, value: SSAValue, most: int) -> list[tuple[int, int, SSAValue]]:
    """(first channel, number of channels, map) of the parts of a map of at most `most` channels each.

    Of a concatenation they are its operands, as many together as fit; of anything else slices.
    """
    count = ktensor.shape_of(value)[1]
    if count <= most:
        return [(0, count, value)]
    owner = value.owner
    if isinstance(owner, kpu.ConcatOp) and all(ktensor.shape_of(x)[1] <= most for x in owner.inputs):
        return _operands(rewriter, owner, most)
    return [(f, n, insert(rewriter, kpu.ChannelSliceOp(value, f, n))) for f, n in parts(count, most)]


def _operands(rewriter: PatternRewriter, concat: kpu.ConcatOp, most: int) -> list[tuple[int, int, SSAValue]]:
    firsts = concat.first_channels
    ends = [first + ktensor.shape_of(x)[1] for first, x in zip(firsts, concat.inputs, strict=True)]
    cuts = [0]
    for index, end in enumerate(ends):
        if end - firsts[cuts[-1]] > most:
            cuts.append(index)
    groups = [(firsts[a], ends[b - 1], concat.inputs[a:b]) for a, b in pairwise([*cuts, len(ends)])]
    return [(first, end - first, joined(rewriter, values)) for first, end, values in groups]


def _summed(
    rewriter: PatternRewriter, value: SSAValue, weight: "NDArray[np.float32]", bias: "NDArray[np.float32]"
) -> SSAValue:
    """Partial sums over parts of the inputs, and their sum, for some of the outputs at a time."""
    import numpy as np

    chosen = pieces(rewriter, value, K210.MAX_CHANNELS)
    shape, outputs = ktensor.shape_of(value), len(weight)
    _, most = _best_sums(shape, len(chosen), outputs, weight.shape[2])
    alike = _is_alike(shape, len(chosen), outputs, most)
    results: list[SSAValue] = []
    for first, count in parts(outputs, most):
        rows, own = weight[first : first + count], bias[first : first + count]
        nothing = np.zeros(count, np.float32)
        partial = [
            convolution(rewriter, piece, rows[:, begin : begin + n], own if alike and not begin else nothing)
            for begin, n, piece in chosen
        ]
        results += partial if alike else [added(rewriter, partial, own)]
    whole = joined(rewriter, results)
    if not alike:
        return whole
    return insert(rewriter, kpu.ImagesOp(added_alike(rewriter, whole, outputs // most, len(chosen)), 1))


def _channels_per_load(inputs: int, kernel: int) -> int:
    return k210.weight_loads(inputs, K210.MAX_CHANNELS, kernel, False).channels_per_load


def dense_weight(weight: "NDArray[np.float32]", groups: int) -> "NDArray[np.float32]":
    """The weight [OC, IC, k, k] of an ordinary convolution equal to a grouped one: block-diagonal, exact."""
    import numpy as np

    outputs, per_group, kernel_h, kernel_w = weight.shape
    dense = np.zeros((groups, outputs // groups, groups, per_group, kernel_h, kernel_w), np.float32)
    blocks = weight.reshape(groups, outputs // groups, per_group, kernel_h, kernel_w)
    index = np.arange(groups)
    dense[index, :, index] = blocks
    return dense.reshape(outputs, groups * per_group, kernel_h, kernel_w)
