"""Layers that only move pixels or channels: weights of zeros and ones, exact in integers, never leaving KPU RAM.

What legalization passes share. Every function inserts at the rewriter's insertion point and returns the new value.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import UnitAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.dialects import kpu, ktensor
from kpuir.target.k210 import weight_loads_rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def insert(rewriter: PatternRewriter, *ops: Operation) -> SSAValue:
    """Insert operations; return the result of the last."""
    rewriter.insert(ops)
    return ops[-1].results[0]


def layer(
    rewriter: PatternRewriter,
    value: SSAValue,
    weight: "NDArray[np.floating]",
    bias: "NDArray[np.floating] | None" = None,
    *,
    depthwise: bool = False,
    activation: Sequence[ktensor.ActivationAttr] = (),
    pool: kpu.PoolKind = kpu.PoolKind.BYPASS,
) -> SSAValue:
    """A `kpu.conv2d` with constant weight [OC, IC, k, k] (or [C, 1, k, k]) and bias [OC], 0 unless given.

    On quantized values the result has the scale and zero point of the input.
    """
    import numpy as np

    addend = np.zeros(weight.shape[0], np.float32) if bias is None else bias.astype(np.float32)
    constants = [ktensor.ConstantOp(weight.astype(np.float32)), ktensor.ConstantOp(addend)]
    element = ktensor.element_of(value)
    conv = kpu.Conv2dOp(
        value,
        *(c.output for c in constants),
        depthwise=depthwise,
        activation=activation,
        pool=pool,
        result_element=element if isinstance(element, ktensor.QuantizedType) else None,
    )
    return insert(rewriter, *constants, conv)


def mover(
    rewriter: PatternRewriter,
    value: SSAValue,
    weight: "NDArray[np.float32]",
    *,
    depthwise: bool = False,
    pool: kpu.PoolKind = kpu.PoolKind.BYPASS,
) -> SSAValue:
    """A layer whose output channels each are one input channel, moved; it keeps the quantization of its input."""
    result = layer(rewriter, value, weight, depthwise=depthwise, pool=pool)
    assert isinstance(result.owner, Operation)
    result.owner.attributes[kpu.MOVES] = UnitAttr()
    return result


def shift(rewriter: PatternRewriter, value: SSAValue, down: int, right: int) -> SSAValue:
    """`value` moved down and right (up and left if negative), zeros where nothing is moved in; one layer a step.

    result[y, x] = value[y - down, x - right].
    """
    import numpy as np

    while down or right:
        steps = (max(-1, min(1, down)), max(-1, min(1, right)))
        weight = np.zeros((ktensor.shape_of(value)[1], 1, 3, 3), np.float32)
        weight[:, :, 1 - steps[0], 1 - steps[1]] = 1
        value = mover(rewriter, value, weight, depthwise=True)
        down, right = down - steps[0], right - steps[1]
    return value


def pooled(
    rewriter: PatternRewriter,
    value: SSAValue,
    pool: kpu.PoolKind,
    tap: tuple[int, int] = (0, 0),
    addend: float = 0.0,
) -> SSAValue:
    """`value`, moved up and left by the `tap` (-1, 0 or 1 each), a number added, then pooled.

    Maxima and picks are movers. Means of 2x2 pixels are sums of which one in four is picked, where the KPU can do that:
    they get a range of their own and are rounded, while the KPU's means are truncated to the steps of the map.
    `kpu-split-diagonals` cuts such layers, whose weights are a diagonal, into faster ones: see `estimates.identity`.
    """
    import numpy as np

    channels = ktensor.shape_of(value)[1]
    weight = np.eye(channels, dtype=np.float32)[:, :, None, None]
    if pool is kpu.PoolKind.MEAN_2_S2 and max(tap) <= 0 and weight_loads_rule(channels, channels, 3).ok:
        box = np.zeros((3, 3), np.float32)
        box[1 + tap[0] : 3 + tap[0], 1 + tap[1] : 3 + tap[1]] = 0.25
        return layer(rewriter, value, weight * box, np.full(channels, addend), pool=kpu.PoolKind.LEFT_TOP_2_S2)
    if tap != (0, 0):
        weight = np.pad(weight, ((0, 0), (0, 0), (1 + tap[0], 1 - tap[0]), (1 + tap[1], 1 - tap[1])))
    if pool.is_mean or addend:
        return layer(rewriter, value, weight, np.full(len(weight), addend), pool=pool)
    return mover(rewriter, value, weight, pool=pool)


def border_of(op: kpu.PadOp | kpu.CropOp) -> tuple[int, ...]:
    """The (top, left, bottom, right) rows and columns that an operation adds or takes away."""
    return tuple((op.pads if isinstance(op, kpu.PadOp) else op.crops).get_values())


def is_on_kpu(value: SSAValue) -> bool:
    """Whether a value lies in KPU RAM when it is made: a layer's result, a view of one, or an input of the model."""
    owner = value.owner
    if isinstance(owner, kpu.ChannelSliceOp | kpu.FoldRowsOp | kpu.ImagesOp | kpu.PadOp | kpu.CropOp):
        return is_on_kpu(owner.input)
    return isinstance(owner, kpu.Conv2dOp | kpu.ConcatOp | Block)


def select_channels(
    rewriter: PatternRewriter,
    value: SSAValue,
    channels: Sequence[int],
    pool: kpu.PoolKind = kpu.PoolKind.BYPASS,
) -> SSAValue:
    """The channels of a map in another order, some left out or repeated: a 1x1 layer; -1 gives zeros."""
    return mover(rewriter, value, selection(ktensor.shape_of(value)[1], channels), pool=pool)


def selection(inputs: int, channels: Sequence[int]) -> "NDArray[np.float32]":
    """The weight [outputs, inputs, 1, 1] that makes output channel i of input channel channels[i]; -1 gives zeros."""
    import numpy as np

    chosen = np.asarray(channels)
    weight = (chosen[:, None] == np.arange(inputs)[None, :]).astype(np.float32)
    return weight[:, :, None, None]
