"""Layers that only move pixels or channels: weights of zeros and ones, exact in integers, never leaving KPU RAM.

What legalization passes share. Every function inserts at the rewriter's insertion point and returns the new value.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import UnitAttr
from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.dialects import kpu, ktensor

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
    weight: "NDArray[np.float32]",
    bias: "NDArray[np.float32] | None" = None,
    *,
    depthwise: bool = False,
    activation: Sequence[ktensor.ActivationAttr] = (),
    pool: kpu.PoolKind = kpu.PoolKind.BYPASS,
) -> SSAValue:
    """A `kpu.conv2d` with constant weight [OC, IC, k, k] (or [C, 1, k, k]) and bias [OC], 0 unless given."""
    import numpy as np

    addend = np.zeros(weight.shape[0], np.float32) if bias is None else bias.astype(np.float32)
    constants = [ktensor.ConstantOp(weight.astype(np.float32)), ktensor.ConstantOp(addend)]
    conv = kpu.Conv2dOp(value, *(c.output for c in constants), depthwise=depthwise, activation=activation, pool=pool)
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
