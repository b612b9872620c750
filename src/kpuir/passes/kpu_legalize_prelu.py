"""`kpu-legalize-prelu`: PReLU with a slope for each channel, exactly, by way of twice the channels.

Before: `ktensor.prelu` with a constant slope on maps that the KPU makes or reads. After:

* one slope for all channels: the scalar function leaky_relu;
* several: x and -x go through ReLU, side by side as 2 C channels, and whoever reads them weights the second half:

      prelu(x) = relu(x) - slope * relu(-x)

  An ordinary convolution that makes x makes both halves, from [W; -W]; otherwise two depthwise layers do. Ordinary
  convolutions that read the result take the slopes into their weights, [V, -V * slope]: exact also at the border of a
  3x3, which is zero for both. Where other operations read it, or where it costs less, a 1x1 layer [I, -diag(slope)]
  makes the result.

    %f = kpu.conv2d %x, %w, %b
    %p = ktensor.prelu %f, %slope
    %y = kpu.conv2d %p, %v, %c
      =>
    %f = kpu.conv2d %x, %both_w, %both_b {activation = [#ktensor.activation<relu>]}
    %y = kpu.conv2d %f, %both_v, %c

The engine has one activation table for all channels (`kpu-hardware.md` 8.3), so no other form is exact. The two halves
hold the same number of bits as x did: each value is zero in one of them. More than 512 channels go in parts.
"""

import sys
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.rewriter import InsertPoint

from kpuir.analysis import estimates, residency
from kpuir.analysis.functions import per_channel
from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.ir.rewriting import rewrite
from kpuir.passes import moving
from kpuir.passes.layers import constants_of, depthwise, is_linear
from kpuir.target import k210
from kpuir.target.k210 import K210, CpuCosts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Doubles: TypeAlias = NDArray[np.float64]

Choice: TypeAlias = Literal["auto", "absorb", "layer", "cpu"]

_RELU = (ktensor.ActivationAttr.of("relu"),)
_CPU_STEPS = 4
"""max(x, 0) + slope * min(x, 0), as the CPU computes it."""


class UniformSlope(RewritePattern):
    """One slope for all channels: a scalar function."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.PReluOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one PReLU."""
        slope = ktensor.splat_of(op.slope)
        if slope is not None:
            rewriter.replace(op, ktensor.ActivationOp(op.input, ktensor.ActivationAttr.of("leaky_relu", slope)))


class _Halves(NamedTuple):
    """A map that holds relu(x) from channel 0 on and relu(-x) from channel `negative` on."""

    value: SSAValue
    negative: int

    def weight(self, positive: "Doubles", slope: "Doubles") -> "NDArray[np.float32]":
        """The weight of a convolution of prelu(x), `positive` [OC, C, k, k], as one of this map."""
        import numpy as np

        channels = positive.shape[1]
        size = ktensor.shape_of(self.value)[1]
        weight = np.zeros((positive.shape[0], size, *positive.shape[2:]), np.float32)
        weight[:, :channels] = positive
        weight[:, self.negative : self.negative + channels] = -positive * slope[None, :, None, None]
        return weight


@dataclass(frozen=True)
class SplitSigns(RewritePattern):
    """prelu(x) becomes layers that read relu(x) and relu(-x)."""

    choice: Choice

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.PReluOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one PReLU, or record why it stays."""
        slope = per_channel(op.slope, op.input)
        if kpu.REASON in op.attributes or not (residency.on_kpu(op.input) or residency.feeds_kpu(op.output)):
            return
        reason = _refusal(op, slope, self.choice)
        if reason is not None or slope is None:
            op.attributes[kpu.REASON] = StringAttr(reason or "")
            return
        readers = [use.operation for use in op.output.uses]
        most = {"absorb": sys.float_info.max, "layer": -1.0}.get(
            self.choice, _own_milliseconds(ktensor.shape_of(op.input))
        )
        if _absorbing_milliseconds(op) <= most:
            halves = _split(rewriter, op, slice(0, slope.size))
            for reader in readers:
                assert isinstance(reader, kpu.Conv2dOp)
                _absorb(rewriter, op, reader, halves, slope)
            rewriter.erase(op)
            return
        rewriter.replace(op, [], [_own_layers(rewriter, op, slope)])


def _refusal(op: ktensor.PReluOp, slope: "Doubles | None", choice: Choice) -> str | None:
    """Why a PReLU is left to the CPU, None if it is not."""
    rule = residency.map_rule(op.input)
    if slope is None:
        return "the slopes are no constants, one for each channel"
    if not rule.ok:
        return rule.reason
    if choice != "auto":
        return "prelu=cpu was asked for" if choice == "cpu" else None
    shape = ktensor.shape_of(op.input)
    room = k210.band_rule((shape[0], 2 * shape[1], *shape[2:]), shape)
    if not room.ok:
        return room.reason
    ours = _split_milliseconds(op) + min(_own_milliseconds(shape), _absorbing_milliseconds(op))
    ours += residency.kpu_transfers([op.input], op.output)
    theirs = _CPU_STEPS * estimates.elements(shape, CpuCosts.ELEMENT)
    theirs += residency.cpu_transfers([op.input], op.output)
    return estimates.slower_on_kpu(ours, theirs)


def _parts(channels: int) -> list[slice]:
    """The channels in parts of which a layer takes twice as many."""
    most = K210.MAX_CHANNELS // 2
    return [slice(begin, min(begin + most, channels)) for begin in range(0, channels, most)]


def _own_milliseconds(shape: tuple[int, ...]) -> float:
    sizes = [part.stop - part.start for part in _parts(shape[1])]
    return sum(estimates.layer((1, 2 * size, *shape[2:]), size) for size in sizes)


def _split_milliseconds(op: ktensor.PReluOp) -> float:
    """Of both halves, as far as they take more than the input alone."""
    conv, shape = op.input.owner, ktensor.shape_of(op.input)
    if not isinstance(conv, kpu.Conv2dOp) or not is_linear(conv) or not op.input.has_one_use():
        return estimates.layer(shape, shape[1], depthwise=True, count=2)
    source, kernel = ktensor.shape_of(conv.input), conv.kernel_size
    return estimates.layer(source, shape[1], kernel, conv.is_depthwise)


def _absorbing_milliseconds(op: ktensor.PReluOp) -> float:
    """What it takes all that read a PReLU, if they are convolutions, to take its slopes in; else infinite."""
    shape, total = kpu.size4(op.input.type), 0.0 if op.output.first_use else inf
    channels, (_, _, height, width) = _halves_channels(shape), shape
    for use in op.output.uses:
        conv = use.operation
        if not isinstance(conv, kpu.Conv2dOp) or conv.is_depthwise or constants_of(conv) is None:
            return inf
        outputs = ktensor.shape_of(conv.weight)[0]
        if not k210.layer_rules(channels, height, width, outputs, conv.kernel_size, pool=conv.pool_kind).ok:
            return inf
        total += estimates.layer((1, channels, height, width), outputs, conv.kernel_size)
        total -= estimates.layer(shape, outputs, conv.kernel_size)
    return total


def _halves_channels(shape: tuple[int, ...]) -> int:
    """The channels of both halves, with those that fill up lines between them."""
    group = k210.row_layout(shape[3]).channels_per_line
    return -(-shape[1] // group) * group + shape[1]


def _absorb(
    rewriter: PatternRewriter, op: ktensor.PReluOp, conv: kpu.Conv2dOp, halves: _Halves, slope: "Doubles"
) -> None:
    """Let a convolution of a PReLU read both halves."""
    constants = constants_of(conv)
    assert constants is not None
    weight, bias = constants
    rewriter.insertion_point = InsertPoint.before(conv)
    activation, pool = conv.activation.data, conv.pool_kind
    combined = halves.weight(weight, slope)
    result = moving.layer(rewriter, halves.value, combined, bias.astype("float32"), activation=activation, pool=pool)
    assert isinstance(result.owner, Operation)
    result.owner.location = fused(op.location, conv.location)
    rewriter.replace(conv, [], [result])


def _own_layers(rewriter: PatternRewriter, op: ktensor.PReluOp, slope: "Doubles") -> SSAValue:
    """prelu(x) made of both halves by a layer of its own, in parts where there are too many channels."""
    import numpy as np

    results: list[SSAValue] = []
    for part in _parts(slope.size):
        halves = _split(rewriter, op, part)
        identity = np.eye(part.stop - part.start)[:, :, None, None]
        results.append(moving.layer(rewriter, halves.value, halves.weight(identity, slope[part])))
    return results[0] if len(results) == 1 else moving.insert(rewriter, kpu.ConcatOp(results))


def _split(rewriter: PatternRewriter, op: ktensor.PReluOp, part: slice) -> _Halves:
    """relu(x) and relu(-x) of some channels of the input."""
    import numpy as np

    conv, count = op.input.owner, part.stop - part.start
    if not isinstance(conv, kpu.Conv2dOp) or not is_linear(conv) or not op.input.has_one_use():
        value = op.input
        if count < ktensor.shape_of(value)[1]:
            value = moving.insert(rewriter, kpu.ChannelSliceOp(value, part.start, count))
        signs = [depthwise(rewriter, value, np.full(count, sign), np.zeros(count), _RELU) for sign in (1.0, -1.0)]
        return _joined(rewriter, signs)
    constants = constants_of(conv)
    assert constants is not None
    weight, bias = (np.concatenate([array[part], -array[part]]).astype(np.float32) for array in constants)
    _, inputs, height, width = kpu.size4(conv.input.type)
    rules = k210.layer_rules(inputs, height, width, 2 * count, conv.kernel_size)
    if not conv.is_depthwise and rules.ok:
        both = moving.layer(rewriter, conv.input, weight, bias, activation=_RELU)
        return _Halves(_located(both, conv), count)
    source = conv.input
    if conv.is_depthwise and count < ktensor.shape_of(source)[1]:
        source = moving.insert(rewriter, kpu.ChannelSliceOp(source, part.start, count))
    halves = [
        moving.layer(rewriter, source, weight[half], bias[half], depthwise=conv.is_depthwise, activation=_RELU)
        for half in (slice(0, count), slice(count, None))
    ]
    return _joined(rewriter, [_located(half, conv) for half in halves])


def _joined(rewriter: PatternRewriter, halves: list[SSAValue]) -> _Halves:
    concat = kpu.ConcatOp(halves)
    return _Halves(moving.insert(rewriter, concat), concat.first_channels[1])


def _located(value: SSAValue, conv: kpu.Conv2dOp) -> SSAValue:
    """The result of a layer, which is called like the convolution it is made of."""
    assert isinstance(value.owner, Operation)
    value.owner.location = conv.location
    return value


@dataclass(frozen=True)
class KpuLegalizePReluPass(ModulePass):
    """Make layers of PReLUs; `prelu`: the slopes in the weights of the next convolution, in a layer, or on the CPU."""

    name = "kpu-legalize-prelu"
    prelu: Choice = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, UniformSlope(), SplitSigns(self.prelu))
