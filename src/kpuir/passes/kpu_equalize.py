"""`kpu-equalize`: the channels between two convolutions are brought to similar sizes.

Before: a float module at the `kpu` level whose strides and pools are fused. After: the same function, with the output
channels of a convolution divided, and the weights of those that read it multiplied, by a factor per channel.

    %f = kpu.conv2d %x, %w, %b {activation = [#ktensor.activation<relu>]}       // channels up to 0.1 and up to 8
    %y = kpu.conv2d %f, %v, %c
      =>
    %f = kpu.conv2d %x, %w', %b' {activation = [#ktensor.activation<relu>]}     // both up to 8
    %y = kpu.conv2d %f, %v', %c

A map in KPU RAM has one scale for all channels, so a channel of small values keeps few of the 256 levels; the KPU's
batch-norm undoes the factors of the first layer for free. How far to go is decided for each pair by the noise that
rounding is expected to add (`kpuir.quantization.equalization`), with the sizes that a few samples of the dataset show.
It works across layers and operations that only move pixels, concatenations included, and behind functions with
f(s x) = s f(x). Models that bring scales with them are left alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from kpuir.analysis.calibration import observed_values
from kpuir.analysis.functions import has_own_scales
from kpuir.dialects import kpu, ktensor
from kpuir.passes.dataset_pass import DatasetPass
from kpuir.passes.layers import constants_of, set_constants

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.equalization import ChannelStatistics

_HOMOGENEOUS = (ktensor.ActivationKind.RELU, ktensor.ActivationKind.LEAKY_RELU)
_SAMPLES = 4
"""Enough to see which channels are small."""


@dataclass(frozen=True)
class Reader:
    """A convolution that computes with a map, which is its input from channel `first` on."""

    conv: kpu.Conv2dOp
    first: int = 0


def _readers(value: SSAValue, first: int = 0) -> list[Reader] | None:
    """All that computes with a map, behind what only moves its pixels; None where not all of it are convolutions."""
    found: list[Reader] = []
    for use in value.uses:
        user = use.operation
        moves = isinstance(user, kpu.Conv2dOp) and kpu.MOVES in user.attributes
        zeros = isinstance(user, kpu.PadOp) and user.value.value.data == 0
        if isinstance(user, kpu.Conv2dOp) and not moves and user.input == value:
            inner: list[Reader] | None = [Reader(user, first)]
        elif isinstance(user, kpu.ConcatOp):
            inner = _readers(user.output, first + user.first_channels[use.index])
        elif zeros or isinstance(user, kpu.CropOp | kpu.StridedSliceOp) or (moves and _keeps_channels(user)):
            inner = _readers(user.results[0], first)
        else:
            inner = None
        if inner is None:
            return None
        found += inner
    return found


def _keeps_channels(conv: Operation) -> bool:
    """Whether a layer that moves pixels leaves them in their channel."""
    import numpy as np

    assert isinstance(conv, kpu.Conv2dOp)
    weight = ktensor.constant_of(conv.weight)
    if weight is None or conv.is_depthwise:
        return weight is not None
    return np.array_equal(weight.sum(axis=(2, 3)), np.eye(*weight.shape[:2]))


def pairs(module: ModuleOp) -> Iterator[tuple[kpu.Conv2dOp, list[Reader]]]:
    """Convolutions whose channels can be scaled, each with those that read them."""
    for conv in list(module.walk()):
        if not isinstance(conv, kpu.Conv2dOp) or kpu.MOVES in conv.attributes:
            continue
        if not all(function.kind in _HOMOGENEOUS for function in conv.activation.data):
            continue
        readers = _readers(conv.output)
        if readers:
            yield conv, readers


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


def _parts(conv: kpu.Conv2dOp, readers: Sequence[Reader]) -> list[slice]:
    """The input channels of each reader that a map is."""
    channels = ktensor.shape_of(conv.output)[1]
    return [slice(reader.first, reader.first + channels) for reader in readers]


def _factors(conv: kpu.Conv2dOp, readers: Sequence[Reader], seen: "ChannelStatistics") -> "NDArray[np.float64] | None":
    """What to divide the channels of a map by; None where that is not expected to help who reads it."""
    from kpuir.quantization.equalization import Following, equalizing_factors

    others = [constants_of(reader.conv) for reader in readers]
    if constants_of(conv) is None or None in others:
        return None
    weights = [other[0] for other in others if other is not None]
    following = [
        Following(weight[part] if reader.conv.is_depthwise else weight[:, part], reader.conv.is_depthwise)
        for weight, part, reader in zip(weights, _parts(conv, readers), readers, strict=True)
    ]
    factors = equalizing_factors(following, seen)
    return None if (factors == 1).all() else factors


def _scale(conv: kpu.Conv2dOp, readers: Sequence[Reader], factors: "NDArray[np.float64]") -> None:
    """Divide the channels of a map by factors."""
    import numpy as np

    from kpuir.quantization.equalization import scale_inputs, scale_outputs

    own = constants_of(conv)
    assert own is not None
    set_constants(conv, *scale_outputs(*own, factors))
    for part, reader in zip(_parts(conv, readers), readers, strict=True):
        found = constants_of(reader.conv)  # anew: a layer may read the map several times
        assert found is not None
        all_factors = np.ones(found[0].shape[0 if reader.conv.is_depthwise else 1])
        all_factors[part] = factors
        set_constants(reader.conv, scale_inputs(found[0], all_factors, reader.conv.is_depthwise))


@dataclass(frozen=True)
class KpuEqualizePass(DatasetPass):
    """Bring the channels between two convolutions to similar sizes."""

    name = "kpu-equalize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Scale constants in place. Raises InvalidInputError without recorded factors or a usable dataset."""
        import numpy as np

        found = list(pairs(op))
        if not found or has_own_scales(op):
            return
        record = self.record()
        names = {value: name for name, value in observed_values(op).items()}
        if record.scales is not None:
            for conv, readers in found:
                factors = np.array(record.scales.get(names[conv.output], ()))
                if factors.size == ktensor.shape_of(conv.output)[1]:  # else for another model, as will be found out
                    _scale(conv, readers, factors)
            return
        samples = self.load(op)
        chosen = samples[:: max(len(samples) // _SAMPLES, 1)][:_SAMPLES]
        statistics = _statistics(op, chosen, {conv.output for conv, _ in found})
        record.scales = {}
        for conv, readers in found:
            factors = _factors(conv, readers, statistics[conv.output])
            if factors is not None:
                _scale(conv, readers, factors)
                record.scales[names[conv.output]] = factors.tolist()
