"""Layers that are made of other layers: what legalization passes share to change weights and biases.

Every function with a rewriter inserts what it makes at the rewriter's insertion point.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter
from xdsl.rewriter import InsertPoint, Rewriter

from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.passes import moving
from kpuir.target.k210 import K210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Doubles: TypeAlias = NDArray[np.float64]


def is_linear(op: object) -> bool:
    """Whether a convolution ends with its bias: it has constant weights, no activation and no pool."""
    if not isinstance(op, kpu.Conv2dOp) or op.activation.data or op.pool_kind != kpu.PoolKind.BYPASS:
        return False
    return all(ktensor.constant_of(value) is not None for value in (op.weight, op.bias))


def constants_of(conv: kpu.Conv2dOp) -> "tuple[Doubles, Doubles] | None":
    """The weight and bias of a convolution in double precision, None where they are no constants."""
    import numpy as np

    weight, bias = ktensor.constant_of(conv.weight), ktensor.constant_of(conv.bias)
    return None if weight is None or bias is None else (weight.astype(np.float64), bias.astype(np.float64))


def set_constants(conv: kpu.Conv2dOp, *arrays: "Doubles") -> None:
    """Give a layer a new weight and, if there are two arrays, bias."""
    for index, array in enumerate(arrays, start=1):
        constant = ktensor.ConstantOp(array.astype("float32"))
        constant.location = conv.location
        Rewriter.insert_op(constant, InsertPoint.before(conv))
        conv.operands[index] = constant.output


def replace_conv(
    rewriter: PatternRewriter,
    op: Operation,
    conv: kpu.Conv2dOp,
    source: SSAValue,
    weight: "Doubles",
    bias: "Doubles",
    other: Operation,
) -> None:
    """Put `conv` with another input, weight and bias in the place of `op`; `other` is what it takes in."""
    import numpy as np

    result = moving.layer(
        rewriter,
        source,
        weight.astype(np.float32),
        bias.astype(np.float32),
        depthwise=conv.is_depthwise,
        activation=conv.activation.data,
        pool=conv.pool_kind,
    )
    assert isinstance(result.owner, Operation)
    result.owner.location = fused(conv.location, other.location)
    rewriter.replace(op, [], [result])


def depthwise(
    rewriter: PatternRewriter,
    source: SSAValue,
    scale: "Doubles",
    shift: "Doubles",
    activation: Sequence[ktensor.ActivationAttr] = (),
) -> SSAValue:
    """f(scale[c] * source[c] + shift[c]): a depthwise 1x1 layer, several for more channels than one takes."""
    import numpy as np

    channels, most = scale.size, K210.MAX_CHANNELS
    parts: list[SSAValue] = []
    for begin in range(0, channels, most):
        chosen = slice(begin, min(begin + most, channels))
        part = source
        if channels > most:
            part = moving.insert(rewriter, kpu.ChannelSliceOp(source, begin, chosen.stop - begin))
        weight, bias = scale[chosen].astype(np.float32), shift[chosen].astype(np.float32)
        weight = weight[:, None, None, None]
        parts.append(moving.layer(rewriter, part, weight, bias, depthwise=True, activation=activation))
    return parts[0] if len(parts) == 1 else moving.insert(rewriter, kpu.ConcatOp(parts))
