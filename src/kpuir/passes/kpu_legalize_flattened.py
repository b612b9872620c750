"""`kpu-legalize-flattened`: a matrix product with a whole map, flattened, stays in KPU RAM.

Before: `ktensor.matmul` of a map from a convolution, all its pixels in one row, with a constant matrix: the end of many
classifiers. After, where that is faster than flattening by the CPU: one 3x3 convolution of which one pixel is wanted,
over the map and copies of it moved up and left, so that every pixel is some copy's neighbour of that one.

    %r = ktensor.reshape %x : (tensor<1x8x4x4xf32>) -> tensor<1x128xf32>
    %y = ktensor.matmul %r, %w
      =>
    %c = kpu.concat %x, %left, %up, %up_left                  // each moved by one pixel
    %f = kpu.conv2d %c, %w', %b                               // 3x3: pixel (1, 1) sees 0..2 in %x, 1..3 in the others
    %p = kpu.crop %f {crops = array<i64: 1, 1, 2, 2>}
    %y = ktensor.reshape %p

As a 1x1 convolution on a map padded to 4x4 the product would need every pixel as a channel of its own: 16 bytes
uploaded for each, and no more than 1024. Exact: the copies are layers that only move pixels.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert, layer, shift
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BY_KPU = (
    ktensor.Conv2dOp,
    ktensor.ActivationOp,
    ktensor.PReluOp,
    ktensor.MaxPool2dOp,
    ktensor.AveragePool2dOp,
    ktensor.BinaryOp,
    ktensor.ConcatOp,
)
"""What a map from the KPU is made by."""


def copies(size: int) -> tuple[int, ...]:
    """By how much copies of `size` rows are moved up, for row 1 and its neighbours to see every row in one of them."""
    return tuple(min(3 * index, max(size - 3, 0)) for index in range(-(-size // 3)))


@dataclass(frozen=True)
class _Flattened:
    """A map that is flattened, and whether its channels come last in that."""

    value: SSAValue
    channels_last: bool

    @staticmethod
    def of(op: ktensor.MatmulOp) -> "_Flattened | None":
        """The map that is the left operand of a product, one row of it."""
        reshape = op.lhs.owner
        if not isinstance(reshape, ktensor.ReshapeOp) or math.prod(ktensor.shape_of(op.lhs)[:-1]) != 1:
            return None
        value, last = reshape.input, False
        transpose = value.owner
        if isinstance(transpose, ktensor.TransposeOp) and transpose.permutation.get_values() == (0, 2, 3, 1):
            value, last = transpose.input, True
        shape = ktensor.shape_of(value)
        if len(shape) != 4 or shape[0] != 1 or shape[2:] == (1, 1) or not isinstance(value.owner, _BY_KPU):
            return None
        return _Flattened(value, last)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the map."""
        return ktensor.shape_of(self.value)

    def kernel(self, weight: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """[K, N] as [N, C, H, W]."""
        import numpy as np

        _, channels, height, width = self.shape
        if self.channels_last:
            return np.ascontiguousarray(weight.T.reshape(-1, height, width, channels).transpose(0, 3, 1, 2))
        return np.ascontiguousarray(weight.T).reshape(-1, channels, height, width)


class LegalizeFlattened(RewritePattern):
    """matmul(flatten(x)) becomes one pixel of a convolution over copies of x."""

    def __init__(self, forced: bool) -> None:
        self.forced = forced

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.MatmulOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one product."""
        if kpu.REASON in op.attributes:
            return
        flattened, weight = _Flattened.of(op), ktensor.constant_of(op.rhs)
        bias = ktensor.constant_of(op.bias) if op.bias is not None else None
        if flattened is None or weight is None or weight.ndim != 2 or (op.bias is not None and bias is None):
            return
        shape, outputs = flattened.shape, weight.shape[1]
        padded = 1, shape[1], max(shape[2], k210.K210.MIN_HEIGHT), max(shape[3], k210.K210.MIN_WIDTH)
        rows, columns = (copies(size) for size in shape[2:])
        parts = len(rows) * len(columns)
        group = k210.row_layout(padded[3]).channels_per_line
        channels = (parts - 1) * -(-shape[1] // group) * group + shape[1]
        if not k210.layer_rules(channels, *padded[2:], outputs, 3).ok:
            return
        if not self.forced and _kpu_milliseconds(padded, channels, parts, outputs) > _cpu(shape, outputs):
            return
        value = flattened.value
        if padded != shape:
            value = insert(rewriter, kpu.PadOp(value, (0, 0, padded[2] - shape[2], padded[3] - shape[3])))
        concat = kpu.ConcatOp(_moved(rewriter, value, rows, columns)) if parts > 1 else None
        taps = _taps(flattened.kernel(weight), rows, columns, channels, concat)
        result = layer(rewriter, insert(rewriter, concat) if concat else value, taps, bias)
        pixel = insert(rewriter, kpu.CropOp(result, (1, 1, padded[2] - 2, padded[3] - 2)))
        rewriter.replace(op, ktensor.ReshapeOp(pixel, ktensor.shape_of(op.output)))


def _moved(
    rewriter: PatternRewriter, value: SSAValue, rows: tuple[int, ...], columns: tuple[int, ...]
) -> list[SSAValue]:
    """The map moved up and left by all combinations, each one made from its neighbour."""
    result: list[SSAValue] = []
    upper, above = value, 0
    for row in rows:
        upper, above = shift(rewriter, upper, above - row, 0), row
        left, before = upper, 0
        for column in columns:
            left, before = shift(rewriter, left, 0, before - column), column
            result.append(left)
    return result


def _taps(
    kernel: "NDArray[np.float32]",
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    channels: int,
    concat: kpu.ConcatOp | None,
) -> "NDArray[np.float32]":
    """The kernel [N, C, H, W] as 3x3 taps over all copies; what two copies see is counted in the first."""
    import numpy as np

    outputs, count = kernel.shape[:2]
    taps = np.zeros((outputs, channels, 3, 3), np.float32)
    firsts = concat.first_channels if concat else (0,)
    left = kernel.copy()
    for first, (row, column) in zip(firsts, ((row, column) for row in rows for column in columns), strict=True):
        part = left[:, :, row : row + 3, column : column + 3]
        taps[:, first : first + count, : part.shape[2], : part.shape[3]] = part
        part[...] = 0
    return taps


def _kpu_milliseconds(shape: tuple[int, int, int, int], channels: int, parts: int, outputs: int) -> float:
    """Moves of up to three pixels for each copy, the convolution, and the way of its map out."""
    moves = estimates.layer(shape, shape[1], 3, depthwise=True, count=3 * (parts - 1))
    whole = (1, channels, *shape[2:])
    return moves + estimates.layer(whole, outputs, 3) + estimates.download((1, outputs, *shape[2:]))


def _cpu(shape: tuple[int, ...], outputs: int) -> float:
    """The way to main RAM, a pad of every pixel to 4x4, the way back, and the 1x1 layer, or a product of floats."""
    pixels = math.prod(shape)
    padded = (1, pixels, k210.K210.MIN_HEIGHT, k210.K210.MIN_WIDTH)
    if not k210.layer_rules(pixels, *padded[2:], outputs, 1).ok:
        return estimates.download(shape) + 1e-6 * pixels * outputs * k210.CpuCosts.MULTIPLY_ADD
    there = estimates.download(shape) + estimates.move(padded) + estimates.upload(padded)
    return there + estimates.layer(padded, outputs) + estimates.download((1, outputs, *padded[2:]))


@dataclass(frozen=True)
class KpuLegalizeFlattenedPass(ModulePass):
    """Multiply whole maps with matrices in KPU RAM.

    `flattened`: "auto" where that is faster than flattening by the CPU, "kpu" wherever it can be done.
    """

    name = "kpu-legalize-flattened"

    flattened: Literal["auto", "kpu", "cpu"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        if self.flattened != "cpu":
            rewrite(op, LegalizeFlattened(self.flattened == "kpu"))
