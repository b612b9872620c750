"""The scales of the channels of a concatenation in KPU RAM, and how the convolution that reads it makes up for them.

Maps that `kpu.concat` joins keep their own scales and zero points. An ordinary convolution reads all their bytes with
the scale s and zero point z of the concatenation, and gets the same sums where the weights of a channel with scale t
and zero point u are multiplied by t / s, and the bias grows by the sum of w t (z - u). Outside of the map every channel
is z there, which stands for zero only where u = z; so kernels of 3x3 need equal zero points.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kpu, ktensor
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scales: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

Parameters = Callable[[SSAValue], ktensor.QuantizedType]

_VIEWS = (kpu.ChannelSliceOp, kpu.FoldRowsOp)


def readers(value: SSAValue) -> Iterator[Operation]:
    """What reads a value, looking through views and concatenations."""
    for use in value.uses:
        if isinstance(use.operation, (*_VIEWS, kpu.ConcatOp)):
            yield from readers(use.operation.results[0])
        else:
            yield use.operation


def absorbs_scales(concat: kpu.ConcatOp) -> tuple[bool, bool]:
    """(whether every reader is a convolution that can make up for scales, whether zero points have to be equal)."""
    found = list(readers(concat.output))
    ordinary = all(
        isinstance(op, kpu.Conv2dOp) and not op.is_depthwise and kpu.MOVES not in op.attributes for op in found
    )
    return ordinary, any(isinstance(op, kpu.Conv2dOp) and op.kernel_size > 1 for op in found)


def leaves(value: SSAValue) -> list[SSAValue]:
    """The maps that a value is made of, looking through views and concatenations."""
    owner = value.owner
    if isinstance(owner, kpu.ConcatOp):
        return [leaf for operand in owner.inputs for leaf in leaves(operand)]
    return leaves(owner.input) if isinstance(owner, _VIEWS) else [value]


def is_mixed(value: SSAValue) -> bool:
    """Whether a value is (a view of) a concatenation."""
    owner = value.owner
    return isinstance(owner, kpu.ConcatOp) or (isinstance(owner, _VIEWS) and is_mixed(owner.input))


def channel_scales(value: SSAValue, parameters: Parameters) -> "Scales":
    """Scale and zero point of each channel, as arrays [C]; channels that fill up lines have those of the value."""
    import numpy as np

    owner, channels = value.owner, ktensor.shape_of(value)[1]
    if isinstance(owner, kpu.ConcatOp):
        own = parameters(value)
        scale, zero = np.full(channels, own.scale_value), np.full(channels, float(own.zero_point_value))
        for first, operand in zip(owner.first_channels, owner.inputs, strict=True):
            part = slice(first, first + ktensor.shape_of(operand)[1])
            scale[part], zero[part] = channel_scales(operand, parameters)
        return scale, zero
    if isinstance(owner, kpu.ChannelSliceOp):
        scale, zero = channel_scales(owner.input, parameters)
        return scale[owner.first : owner.first + owner.count], zero[owner.first : owner.first + owner.count]
    if isinstance(owner, kpu.FoldRowsOp):
        scale, zero = (_folded(array, owner) for array in channel_scales(owner.input, parameters))
        return scale, zero
    own = parameters(value)
    return np.full(channels, own.scale_value), np.full(channels, float(own.zero_point_value))


def _folded(array: "NDArray[np.float64]", op: kpu.FoldRowsOp) -> "NDArray[np.float64]":
    import numpy as np

    group = k210.row_layout(ktensor.shape_of(op.input)[3]).channels_per_line
    return np.repeat(array.reshape(-1, group), op.factor.value.data, axis=0).reshape(-1)


def compensated(
    weight: "NDArray[np.float32]",
    bias: "NDArray[np.float32]",
    scales: "Scales",
    own: ktensor.QuantizedType,
    *,
    rounded: bool = False,
) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """Weight [OC, IC, k, k] and bias [OC] that compute the same from channels read with the parameters `own`.

    With `rounded` the weight is on a lattice of bytes already: the bias then makes up for u as it will be multiplied.
    """
    import numpy as np

    from kpuir.quantization.weights import quantize_weights

    scale, zero = scales
    ratio, offset = scale / own.scale_value, own.zero_point_value - zero
    scaled = weight.astype(np.float64) * ratio[:, None, None]
    scaled = quantize_weights(scaled).real if rounded else scaled
    addend = bias + np.einsum("ocyx,c->o", scaled, offset * own.scale_value)
    return scaled.astype(np.float32), addend.astype(np.float32)
