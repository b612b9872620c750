"""`kpu-legalize-global-pools`: the mean over a whole map, and the layer of neurons behind it, in KPU RAM.

Before: `ktensor.average_pool2d` over a whole map, or `ktensor.reduce<mean>` over its height and width, of what lies in
KPU RAM; perhaps behind it, on a map padded to 4x4, the 1x1 convolution of a matrix product. After, where that is faster
than the CPU: depthwise layers that add neighbours until one pixel holds the sum of all, and a crop to that pixel. The
last of them becomes one with a matrix product: a 3x3 convolution whose taps all have its weights. Others stay and say
why: those that a quantized model rounds to a scale of its own, too, for layers would round the sums as well.

    %m = ktensor.average_pool2d %x {kernel_shape = array<i64: 3, 3>}                 // 3x3, the lower end of a 4x4 map
    %p = kpu.pad %m {pads = array<i64: 0, 0, 3, 3>}
    %y = kpu.conv2d %p, %w, %b                                                       // 1x1
    %z = kpu.crop %y {crops = array<i64: 0, 0, 3, 3>}
      =>
    %y = kpu.conv2d %map, %w_nine_times, %b                                          // 3x3
    %z = kpu.crop %y {crops = array<i64: 1, 1, 2, 2>}

A sum of n neighbours in a row is one of 3-tap kernels, one after another: the real factors
1 - 2 cos(2 pi k / n) z + z^2 of 1 + z + ... + z^(n-1), and 1 + z where n is even. Those with a negative middle magnify
what varies within a map, and with it the steps its values are rounded to: the order is the one that leaves the least
rounding in the mean, others in front of them and behind. Beyond n = 8 they would magnify it too much. Larger maps are
halved, by sums of 2x2 pixels of which one in four is picked; the layer that makes the map could do so for nothing, but
the KPU's means truncate, to steps that are too coarse for a mean. Blocks of rows become channels
(`kpu.fold_rows`, free), which the matrix product adds; zeros behind a map make its size a multiple, and the last kernel
makes up for their share. Positions outside of the map are 0 for every layer, and no kernel reaches beyond the pixels it
adds. Where a matrix product has many neurons it is applied to 4x4 pixels around the mean, not to the whole map.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from itertools import permutations, product
from typing import TYPE_CHECKING, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from kpuir.analysis import estimates
from kpuir.dialects import kpu, ktensor
from kpuir.ir.locations import fused
from kpuir.ir.rewriting import rewrite
from kpuir.passes.moving import insert, is_on_kpu, layer, pooled
from kpuir.target import k210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST = 8
"""Sums of more neighbours magnify what rounding adds too much."""

_STILL = (0.0, 1.0, 0.0)
"""The kernel that leaves an axis as it is."""

_MOST_WEIGHTS = 1 << 18
"""A matrix product with more weights is no 3x3 convolution: nine times as many would not be worth a layer less."""

_CPU_PIXEL = 1e-6 * (k210.CpuCosts.DEQUANTIZE + k210.CpuCosts.WINDOW)


Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Span:
    """The part of one axis of a map that is averaged: `count` pixels from `first` on, of `size`."""

    first: int
    count: int
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the map is left out."""
        return self.count == self.size


Taps = tuple[float, float, float]
"""Weights of the pixel before, itself, and behind."""


def sum_kernels(count: int) -> list[Taps]:
    """Kernels that one after another average `count` neighbours."""
    middles = sorted(0.0 - 2 * round(math.cos(2 * math.pi * k / count), 15) for k in range(1, (count - 1) // 2 + 1))
    kernels = [(1.0, middle, 1.0) for middle in middles]
    if count % 2 == 0:
        kernels.append((1.0, 1.0, 0.0))
    return [
        (low / total, middle / total, high / total) for low, middle, high in kernels for total in [low + middle + high]
    ]


@cache
def mean_kernels(height: int, width: int) -> tuple[tuple[Taps, Taps], ...]:
    """(rows, columns) of kernels that average height x width pixels, in the order that leaves the least rounding."""
    parts = [sum_kernels(height), sum_kernels(width)]
    longest = max(len(kernels) for kernels in parts)
    orders = [sorted(set(permutations(kernels + [_STILL] * (longest - len(kernels))))) for kernels in parts]
    return min((tuple(zip(*each, strict=True)) for each in product(*orders)), key=_rounding)


def _rounding(kernels: tuple[tuple[Taps, Taps], ...]) -> float:
    """Variance that rounding the results of all kernels but the last adds to the mean, in some unit.

    The map is taken for independent pixels with deviation 1 around a mean of 1/2: after some kernels its values spread
    over 1/2 and 8 deviations, the step of rounding is proportional to that, and the other kernels average it.
    """
    done = [(0.5 + 8 * _gain(kernels[:count])) * _gain(kernels[count:]) for count in range(1, len(kernels))]
    return sum(step * step for step in done)


def _gain(kernels: Sequence[tuple[Taps, Taps]]) -> float:
    """By how much kernels, one after another, multiply the deviation of independent pixels."""
    import numpy as np

    return math.prod(float(np.linalg.norm(reduce(np.convolve, axis))) for axis in zip(*kernels, strict=True))


@dataclass(frozen=True)
class _Plan:
    """How a mean is taken: a map `pool` times smaller first (or 1), blocks of rows as channels (or 1), then kernels.

    `shape` and the spans are those of `source` with `pads` (bottom, right) of zeros. `crops` tells whether only 4x4
    pixels around the mean are left for a matrix product.
    """

    source: SSAValue
    shape: Shape
    rows: _Span
    columns: _Span
    pool: int = 1
    fold: int = 1
    pads: tuple[int, int] = (0, 0)
    crops: bool = False

    def padded(self) -> "_Plan":
        """With as many zeros as make the size a multiple of the pool's, and of the blocks'."""
        bottom, right = -self.rows.size % (self.pool * self.fold), -self.columns.size % self.pool
        if not (bottom or right) or not (self.rows.is_whole and self.columns.is_whole):
            return self
        height, width = self.rows.size + bottom, self.columns.size + right
        rows, columns = _Span(0, height, height), _Span(0, width, width)
        return replace(self, shape=(*self.shape[:2], height, width), rows=rows, columns=columns, pads=(bottom, right))

    @property
    def channels(self) -> int:
        """Of the map that kernels are applied to."""
        return self.shape[1] * self.fold

    @property
    def spans(self) -> tuple[_Span, _Span]:
        """What kernels average."""
        rows, columns = (
            _Span(span.first // self.pool, span.count // self.pool, span.size // self.pool)
            for span in (self.rows, self.columns)
        )
        return (_Span(0, rows.count // self.fold, rows.size // self.fold) if self.fold > 1 else rows), columns

    @property
    def size(self) -> Shape:
        """Of the map that kernels are applied to."""
        rows, columns = self.spans
        return 1, self.channels, rows.size, columns.size

    @property
    def centre(self) -> tuple[int, int]:
        """The pixel that holds the mean in the end."""
        rows, columns = (span.first + span.count // 2 for span in self.spans)
        return rows, columns

    def kernels(self) -> "list[NDArray[np.float64]]":
        """3x3 kernels, applied one after another."""
        import numpy as np

        rows, columns = self.spans
        kernels = [np.outer(row, column) for row, column in mean_kernels(rows.count, columns.count)]
        (bottom, right), (height, width) = self.pads, self.shape[2:]
        share = (height - bottom) * (width - right) / (height * width)
        return [*kernels[:-1], kernels[-1] / share] if kernels else []

    @property
    def halvings(self) -> int:
        """How often 2x2 pixels become one, to pool."""
        return self.pool.bit_length() - 1

    def is_legal(self) -> bool:
        """Whether the KPU can do it."""
        rows, columns = self.rows, self.columns
        whole = rows.is_whole and columns.is_whole
        if any(self.pads) and not k210.border_rule(kpu.size4(self.source.type), self.shape).ok:
            return False
        divides = rows.size % (self.pool * self.fold) == 0 and columns.size % self.pool == 0
        group = k210.row_layout(columns.size // self.pool).channels_per_line
        if (self.pool > 1 or self.fold > 1) and not (whole and divides):
            return False
        if self.fold > 1 and self.shape[1] % group:
            return False
        short = max(span.count for span in self.spans) <= _LONGEST
        if self.crops and not k210.border_rule(self.size, self.window).ok:
            return False
        return short and k210.layer_rules(self.channels, *self.size[2:], self.channels, 3, depthwise=True).ok

    @property
    def window(self) -> Shape:
        """What a matrix product reads."""
        sides = k210.K210.MIN_HEIGHT, k210.K210.MIN_WIDTH
        return (1, self.channels, *sides) if self.crops else self.size

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) that a matrix product does not read, as little as can be on the left."""
        top, left = (
            max(pixel + 1 - side, 0) if self.crops else 0
            for pixel, side in zip(self.centre, self.window[2:], strict=True)
        )
        return top, left, self.size[2] - self.window[2] - top, self.size[3] - self.window[3] - left

    @property
    def pixel(self) -> tuple[int, int]:
        """The one that holds the mean in what a matrix product reads."""
        (row, column), (top, left) = self.centre, self.margins[:2]
        return row - top, column - left

    def crop(self, rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        """The pixel that holds the mean."""
        height, width = ktensor.shape_of(value)[2:]
        row, column = self.pixel if (height, width) == self.window[2:] else self.centre
        return insert(rewriter, kpu.CropOp(value, (row, column, height - row - 1, width - column - 1)))


@dataclass(frozen=True)
class _Product:
    """The 1x1 convolution of a matrix product behind a mean, and the crops that take its one pixel."""

    conv: kpu.Conv2dOp
    crops: tuple[kpu.CropOp, ...]

    @staticmethod
    def behind(value: SSAValue) -> "_Product | None":
        """The matrix product that is all that reads a value."""
        user = _only_user(value)
        while isinstance(user, ktensor.ReshapeOp):
            user = _only_user(user.output)
        if not isinstance(user, kpu.PadOp) or user.pads.get_values() != (0, 0, 3, 3):
            return None
        conv = _only_user(user.output)
        if not isinstance(conv, kpu.Conv2dOp) or conv.kernel_size > 1 or conv.pool_kind is not kpu.PoolKind.BYPASS:
            return None
        crops = tuple(use.operation for use in conv.output.uses)
        ours = tuple(op for op in crops if isinstance(op, kpu.CropOp) and op.crops.get_values() == (0, 0, 3, 3))
        return _Product(conv, ours) if ours and len(ours) == len(crops) and not conv.is_depthwise else None

    @property
    def outputs(self) -> int:
        """How many neurons."""
        return ktensor.shape_of(self.conv.output)[1]


def _only_user(value: SSAValue) -> Operation | None:
    return next(iter(value.uses)).operation if value.has_one_use() else None


def _is_global_mean(op: Operation) -> bool:
    if isinstance(op, ktensor.AveragePool2dOp):
        window, pads = op.kernel_shape.get_values(), op.pads.get_values()
        return tuple(window) == ktensor.shape_of(op.input)[2:] and not any(pads) and max(window) > 1
    if not isinstance(op, ktensor.ReduceOp) or op.kind.data is not ktensor.ReduceKind.MEAN:
        return False
    return len(ktensor.shape_of(op.input)) == 4 and set(op.axes.get_values()) == {2, 3}


def _is_rounded(value: SSAValue) -> bool:
    """Whether a quantized model rounds a value to a scale of its own, perhaps behind another function of it."""
    functions = [use.operation for use in value.uses if isinstance(use.operation, ktensor.ActivationOp)]
    return any(op.function.quantized is not None or _is_rounded(op.output) for op in functions)


class LegalizeGlobalPool(RewritePattern):
    """A mean over a whole map becomes layers."""

    def __init__(self, forced: bool) -> None:
        self.forced = forced

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one mean, or say why it stays."""
        if not _is_global_mean(op) or kpu.REASON in op.attributes:
            return
        if _is_rounded(op.results[0]) and not self.forced:
            op.attributes[kpu.REASON] = StringAttr(
                "layers would round the sums as well, and miss the model's own scale"
            )
            return
        source, product = op.operands[0], _Product.behind(op.results[0])
        shape = ktensor.shape_of(source)
        plans = _plans(source, product) if is_on_kpu(source) and shape[0] == 1 else []
        if not plans:
            op.attributes[kpu.REASON] = StringAttr(_refusal(source, shape, shape[0]))
            return
        costs = {plan: _kpu_milliseconds(plan, product) for plan in plans}
        plan = min(plans, key=lambda each: costs[each])
        cpu = _cpu_milliseconds(shape, product)
        if costs[plan] > cpu and not self.forced:
            op.attributes[kpu.REASON] = StringAttr(
                f"the CPU takes {cpu:.3f} ms with the ways there and back, layers would take {costs[plan]:.3f}"
            )
            return
        _build(rewriter, op, plan, product)


def _plans(source: SSAValue, product: _Product | None) -> list[_Plan]:
    """Every legal way: of a map, and of the one in front if it is cropped."""
    shape = kpu.size4(source.type)
    starts = [_Plan(source, shape, _Span(0, shape[2], shape[2]), _Span(0, shape[3], shape[3]))]
    if isinstance(crop := source.owner, kpu.CropOp):
        (top, left), whole = crop.crops.get_values()[:2], kpu.size4(crop.input.type)
        starts.append(_Plan(crop.input, whole, _Span(top, shape[2], whole[2]), _Span(left, shape[3], whole[3])))
    plans = [
        replace(start, pool=pool, fold=fold, crops=crops).padded()
        for start in starts
        for pool in (1, 2, 4)
        for fold in range(1, max(-(-start.rows.size // pool // k210.K210.MIN_HEIGHT), 1) + 1)
        for crops in ((False, True) if product else (False,))
    ]
    return [plan for plan in plans if plan.is_legal()]


def _refusal(source: SSAValue, shape: Sequence[int], batch: int) -> str:
    if batch != 1:
        return f"{batch} images, the mean is taken of 1"
    if not is_on_kpu(source):
        return "what is averaged is made by the CPU"
    return f"sums of {shape[2]}x{shape[3]} pixels, layers add up to {_LONGEST} in a row without too much rounding"


def _is_dense(plan: _Plan, product: _Product) -> bool:
    """Whether the last kernel becomes part of the matrix product."""
    outputs = product.outputs
    return (
        plan.channels * outputs <= _MOST_WEIGHTS
        and bool(plan.kernels())
        and not plan.crops
        and k210.layer_rules(plan.channels, *plan.size[2:], outputs, 3).ok
    )


def _kpu_milliseconds(plan: _Plan, product: _Product | None) -> float:
    """The crop in front, all layers, the way out, and the crop to one pixel."""
    crop, given = plan.source.owner, kpu.size4(plan.source.type)
    cropped = isinstance(crop, kpu.CropOp)
    cost = estimates.border(kpu.size4(crop.input.type), given, crop.crops.get_values()) if cropped else 0.0
    if any(plan.pads):
        cost += estimates.border(given, plan.shape, (0, 0, *plan.pads))
    batch, channels, height, width = plan.shape
    halves = ((batch, channels, height >> count, width >> count) for count in range(plan.halvings))
    cost += sum(estimates.identity(half, 2)[1] for half in halves)
    count, outputs = len(plan.kernels()), product.outputs if product else plan.shape[1]
    dense = product is not None and _is_dense(plan, product)
    cost += estimates.layer(plan.size, plan.channels, 3, depthwise=True, count=count - int(dense))
    if plan.crops:
        cost += estimates.border(plan.size, plan.window, plan.margins)
    if product or plan.fold > 1:
        cost += estimates.layer(plan.window, outputs, 3 if dense else 1)
    right = plan.window[3] - 1 - plan.pixel[1]
    return cost + estimates.download_without((1, outputs, *plan.window[2:]), right) + estimates.move((1, outputs, 1, 1))


def _cpu_milliseconds(shape: Sequence[int], product: _Product | None) -> float:
    """The way to main RAM, the mean of floats, and a matrix product on a map padded to 4x4, if there is one."""
    mean = estimates.download(shape) + math.prod(shape) * _CPU_PIXEL
    if product is None:
        return mean
    padded = (1, shape[1], k210.K210.MIN_HEIGHT, k210.K210.MIN_WIDTH)
    back = 1e-6 * shape[1] * k210.CpuCosts.QUANTIZE + estimates.move(padded) + estimates.upload(padded)
    there = estimates.download((1, product.outputs, *padded[2:])) + estimates.move((1, product.outputs, 1, 1))
    return mean + back + estimates.layer(padded, product.outputs) + there


def _build(rewriter: PatternRewriter, op: Operation, plan: _Plan, product: _Product | None) -> None:
    """Replace a mean, and the matrix product behind it."""
    import numpy as np

    value = _reduced(rewriter, plan)
    kernels = plan.kernels()
    if product is not None:
        weight, bias = ktensor.constant_of(product.conv.weight), ktensor.constant_of(product.conv.bias)
        if weight is not None and bias is not None:
            last = [kernels.pop()] if _is_dense(plan, product) else []
            value = _summed(rewriter, value, kernels)
            value = insert(rewriter, kpu.CropOp(value, plan.margins)) if any(plan.margins) else value
            spread = _folded(weight[:, :, 0, 0], plan)[:, :, None, None] * (last[0] if last else np.ones((1, 1)))
            value = layer(rewriter, value, spread, bias, activation=product.conv.activation.data)
            assert isinstance(value.owner, Operation)
            value.owner.location = fused(op.location, product.conv.location)
            for crop in product.crops:
                rewriter.replace(crop, [], [plan.crop(rewriter, value)])
            return
    value = _summed(rewriter, value, kernels)
    if plan.fold > 1:
        value = layer(rewriter, value, _folded(np.eye(plan.shape[1]), plan)[:, :, None, None])
    pixel = plan.crop(rewriter, value)
    if pixel.type != op.results[0].type:
        pixel = insert(rewriter, ktensor.ReshapeOp(pixel, ktensor.shape_of(op.results[0])))
    rewriter.replace(op, [], [pixel])


def _reduced(rewriter: PatternRewriter, plan: _Plan) -> SSAValue:
    """The map that kernels are applied to."""
    source = plan.source
    if any(plan.pads):
        source = insert(rewriter, kpu.PadOp(source, (0, 0, *plan.pads)))
    for _ in range(plan.halvings):
        source = pooled(rewriter, source, kpu.PoolKind.MEAN_2_S2)
    return insert(rewriter, kpu.FoldRowsOp(source, plan.fold)) if plan.fold > 1 else source


def _summed(rewriter: PatternRewriter, value: SSAValue, kernels: "Sequence[NDArray[np.float64]]") -> SSAValue:
    import numpy as np

    for kernel in kernels:
        weight = np.broadcast_to(kernel, (ktensor.shape_of(value)[1], 1, 3, 3))
        value = layer(rewriter, value, np.ascontiguousarray(weight), depthwise=True)
    return value


def _folded(weight: "NDArray[np.floating]", plan: _Plan) -> "NDArray[np.float64]":
    """[outputs, channels] for a map whose blocks of rows are channels: their mean."""
    import numpy as np

    group = k210.row_layout(plan.columns.size // plan.pool).channels_per_line if plan.fold > 1 else 1
    parts = np.repeat(weight.reshape(len(weight), -1, 1, group), plan.fold, axis=2) / plan.fold
    return parts.reshape(len(weight), -1)


@dataclass(frozen=True)
class KpuLegalizeGlobalPoolsPass(ModulePass):
    """Take means over whole maps in KPU RAM.

    `means`: "auto" where that is faster than the CPU, "kpu" wherever it can be done.
    """

    name = "kpu-legalize-global-pools"

    means: Literal["auto", "kpu", "cpu"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        if self.means != "cpu":
            rewrite(op, LegalizeGlobalPool(self.means == "kpu"))
