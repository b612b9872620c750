"""`kpu-equalize`: the channels between two convolutions are brought to similar sizes.

Before: a float module at the `kpu` level whose strides and pools are fused. After: the same function, with the output
channels of a convolution divided, and the weights of the only one that reads it multiplied, by a factor per channel.

    %f = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]}       // channels up to 0.1 and up to 8
    %y = kpu.conv2d %f, %v, %c
      =>
    %f = kpu.conv2d %x, %w', %b' {activation = [#ktensor.activation<relu>]}     // both up to 8
    %y = kpu.conv2d %f, %v', %c

A map in KPU RAM has one scale for all channels, so a channel of small values keeps few of the 256 levels; the KPU's
batch-norm undoes the factors of the first layer for free. How far to go is decided for each pair by the noise that
rounding is expected to add (`kpuir.quantization.equalization`), with the sizes that a few samples of the dataset show.
It works across layers and operations that only move pixels, and behind functions with f(s x) = s f(x).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from kpuir.dialects import kpu, ktensor
from kpuir.passes.dataset_pass import DatasetPass
from kpuir.passes.layers import set_constants

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.equalization import ChannelStatistics

_HOMOGENEOUS = (ktensor.ActivationKind.RELU, ktensor.ActivationKind.LEAKY_RELU)
_SAMPLES = 4
"""Enough to see which channels are small."""


def _reader(conv: kpu.Conv2dOp) -> kpu.Conv2dOp | None:
    """The only convolution that computes with the result of `conv`, behind what only moves its pixels."""
    value: SSAValue = conv.output
    while value.has_one_use():
        user = next(iter(value.uses)).operation
        moves = isinstance(user, kpu.Conv2dOp) and kpu.MOVES in user.attributes
        if isinstance(user, kpu.Conv2dOp) and not moves:
            return user if user.input == value else None
        if isinstance(user, kpu.Conv2dOp) and not _keeps_channels(user):
            return None
        zeros = isinstance(user, kpu.PadOp) and user.value.value.data == 0
        if not (moves or zeros or isinstance(user, kpu.CropOp | kpu.StridedSliceOp)):
            return None
        value = user.results[0]
    return None


def _keeps_channels(mover: kpu.Conv2dOp) -> bool:
    """Whether a layer that moves pixels leaves every channel in its place, and makes no more of them."""
    import numpy as np

    weight = ktensor.constant_of(mover.weight)
    if mover.is_depthwise or weight is None:
        return mover.is_depthwise
    return np.array_equal(weight.sum((2, 3)), np.eye(*weight.shape[:2]))


def pairs(module: ModuleOp) -> Iterator[tuple[kpu.Conv2dOp, kpu.Conv2dOp]]:
    """Convolutions whose channels can be scaled, each with the one that reads them."""
    for conv in list(module.walk()):
        if not isinstance(conv, kpu.Conv2dOp) or kpu.MOVES in conv.attributes:
            continue
        reader = _reader(conv)
        if reader is not None and all(function.kind in _HOMOGENEOUS for function in conv.activation.data):
            yield conv, reader


def _statistics(
    module: ModuleOp, samples: "list[list[NDArray[np.float32]]]", wanted: set[SSAValue]
) -> "dict[SSAValue, ChannelStatistics]":
    """What the channels of some values look like over the samples."""
    import numpy as np

    from kpuir.interpreters.run import run
    from kpuir.quantization.equalization import ChannelStatistics

    seen: dict[SSAValue, ChannelStatistics] = {}

    def observe(value: SSAValue, array: "NDArray[np.float32]") -> None:
        if value not in wanted:
            return
        largest = np.abs(array).max(axis=(0, 2, 3)).astype(np.float64)
        square = np.einsum("nchw,nchw->c", array, array).astype(np.float64) / (array.size // array.shape[1])
        if value in seen:
            largest, square = np.maximum(largest, seen[value].largest), square + seen[value].mean_square
        seen[value] = ChannelStatistics(largest, square)

    for sample in samples:
        run(module, sample, observe=observe)
    return {value: ChannelStatistics(one.largest, one.mean_square / len(samples)) for value, one in seen.items()}


def _scale(conv: kpu.Conv2dOp, reader: kpu.Conv2dOp, seen: "ChannelStatistics") -> None:
    """Scale the channels between two layers, if that is expected to help."""
    from kpuir.quantization.equalization import equalizing_factors, scale_inputs, scale_outputs

    weight, bias, following = (ktensor.constant_of(value) for value in (conv.weight, conv.bias, reader.weight))
    if weight is None or bias is None or following is None:
        return
    factors = equalizing_factors(following, seen, reader.is_depthwise)
    if (factors == 1).all():
        return
    set_constants(conv, *scale_outputs(weight, bias, factors))
    set_constants(reader, scale_inputs(following, factors, reader.is_depthwise))


@dataclass(frozen=True)
class KpuEqualizePass(DatasetPass):
    """Bring the channels between two convolutions to similar sizes."""

    name = "kpu-equalize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Scale constants in place. Raises InvalidInputError without a usable dataset."""
        found = list(pairs(op))
        if not found:
            return
        samples = self.load(op)
        chosen = samples[:: max(len(samples) // _SAMPLES, 1)][:_SAMPLES]
        statistics = _statistics(op, chosen, {conv.output for conv, _ in found})
        for conv, reader in found:
            _scale(conv, reader, statistics[conv.output])
