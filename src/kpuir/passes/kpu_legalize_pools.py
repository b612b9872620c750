"""`kpu-legalize-pools`: pooling stays in KPU RAM wherever it comes from, and whatever its window.

Before: pooling that `kpu-fuse-pools` could not make the tail of a convolution, of what lies in KPU RAM. After, where
that is faster than the CPU: identity layers that pool; others stay and say why. Means over whole maps are left alone.

* Behind a depthwise convolution, a concatenation, another pool, or beside other readers: one identity layer.
* Behind a crop (a convolution without padding): pooled as it lies, the results cropped. An identity layer whose kernel
  has its one beside the centre moves the map to where the engine's windows begin.
* Results below 4x4: the map is padded at its end, what is pooled of that is cropped.
* Larger maxima are made of smaller ones: k - 1 times `max_2_s1` is a window of k at stride 1 that begins at each pixel;
  k - 2 times, and then `max_2_s2`, one at stride 2. The engine leaves out what lies beyond the bottom and the right. A
  window that begins in front of its pixel (padding) is made by layers that look back, with a kernel that moves the map
  by one: max(x[-1], x[0]).

    %y = ktensor.max_pool2d %f {kernel_shape = array<i64: 3, 3>, strides = array<i64: 2, 2>, pads = ...}    // 1 each
      =>
    %m = kpu.conv2d ... {pool = #kpu.pool<max_2_s1>}                      // %f, if only the pool reads it
    %y = kpu.conv2d %m, %down_right, %zero {pool = #kpu.pool<max_2_s2>}

The maximum of a whole map (`ktensor.reduce<max>` too) is that of ever smaller maps: `max_2_s2` halves them, behind
`max_2_s1` where a row or column is left over, which then counts in the last window.

Layers that look back, and padding, see zeros outside of the map, which must not be the largest: values with a lower
bound are raised by it in front and lowered again by the last layer, or padded with a number below all, which no bytes
are below.

Sources: `kpu-hardware.md` 7 (codes, borders), 8.2; lowering-facts.md 6 (composition).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from kpuir.analysis import estimates
from kpuir.analysis.bounds import lower_bound
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite
from kpuir.passes.kpu_fuse_pools import pool_code
from kpuir.passes.moving import insert, is_on_kpu, layer, pooled, shift
from kpuir.target import k210

_LOWEST = -1e30
"""Below every value of a model, and far enough from the end of f32 to be scaled; in bytes it becomes the lowest."""

_PICKS = {2: kpu.PoolKind.LEFT_TOP_2_S2, 4: kpu.PoolKind.LEFT_TOP_4_S4}
_MAXIMA = {1: kpu.PoolKind.MAX_2_S1, 2: kpu.PoolKind.MAX_2_S2, 4: kpu.PoolKind.MAX_4_S4}

_MEANS = {(2, 1): kpu.PoolKind.MEAN_2_S1, (2, 2): kpu.PoolKind.MEAN_2_S2, (4, 4): kpu.PoolKind.MEAN_4_S4}

PoolOp = ktensor.MaxPool2dOp | ktensor.AveragePool2dOp

_JOINING = (*get_args(PoolOp), ktensor.ConcatOp, ktensor.BinaryOp)
"""Not layers yet, but likely to become some."""


Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Axis:
    """One axis of a pooled map: of `size` pixels; `count` windows of `window`, `stride` apart, the first at `first`."""

    size: int
    first: int
    count: int
    window: int
    stride: int

    @property
    def end(self) -> int:
        """The pixel behind the last window."""
        return self.first + (self.count - 1) * self.stride + self.window

    @property
    def sees_all(self) -> bool:
        """Whether there is one window, on all of it."""
        return self.count == 1 and self.first <= 0 and self.end >= self.size

    @property
    def skipped(self) -> int:
        """Results in front of the first one wanted."""
        return max(self.first, 0) // self.stride

    @property
    def least(self) -> int:
        """Pixels that a pool needs for all wanted results, and for 4."""
        return self.stride * max(self.skipped + self.count, k210.K210.MIN_HEIGHT)

    def taps(self, pools: Sequence[kpu.PoolKind]) -> list[int] | None:
        """By how much each layer moves the map towards its beginning; None where windows begin too far in front."""
        last = pools[-1]
        ends = [0] if last.stride > 1 else []
        if self.first >= 0:
            return [0] * (len(pools) - len(ends)) + [min(self.first % self.stride, 1)] * len(ends)
        if last.is_max:
            ends = [-1] * len(ends)
        back = -self.first + sum(ends)
        ahead = len(pools) - len(ends) - back
        if ahead < 0:
            return None
        both = min(back, ahead)
        return [0, -1] * both + [0] * (ahead - both) + [-1] * (back - both) + ends

    def padding(self, taps: Sequence[int]) -> tuple[int, int]:
        """Pixels to pad at the end, before the first layer and before the last.

        A layer that looks back misses the last pixel, unless a layer in front of it has looked ahead; and the last
        layer finds nothing in what was padded after others had looked back from there.
        """
        alone = taps[0] < 0 and (self.stride == 1 or len(taps) > 1)
        early = max(self.size + int(alone), k210.K210.MIN_HEIGHT, self.least if self.stride == 1 else 0)
        if self.size < k210.K210.MIN_HEIGHT or self.least - self.stride + taps[-1] >= early:
            early = max(early, self.least)
        return early - self.size, max(self.least - early, 0)


@dataclass(frozen=True)
class _Border:
    """Rows and columns of `value` around a map, (top, left, bottom, right); crops them if negative."""

    sides: tuple[int, int, int, int]
    value: float = 0.0

    def result(self, shape: Shape) -> Shape:
        """The shape behind it."""
        top, left, bottom, right = self.sides
        return *shape[:2], shape[2] + top + bottom, shape[3] + left + right

    def milliseconds(self, shape: Shape) -> float:
        """On the KPU if it can."""
        return estimates.border(shape, self.result(shape), [abs(side) for side in self.sides])

    def rule(self, shape: Shape) -> k210.Verdict:
        """The CPU can do it."""
        return k210.Verdict(True, "")

    def build(self, rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        """Insert the operation."""
        if max(self.sides) > 0:
            return insert(rewriter, kpu.PadOp(value, self.sides, self.value))
        return insert(rewriter, kpu.CropOp(value, [-side for side in self.sides]))


@dataclass(frozen=True)
class _Move:
    """The map moved up and left."""

    up: int
    left: int

    def result(self, shape: Shape) -> Shape:
        """The shape behind it."""
        return shape

    def milliseconds(self, shape: Shape) -> float:
        """A depthwise layer a step."""
        return estimates.layer(shape, shape[1], 3, depthwise=True, count=max(abs(self.up), abs(self.left)))

    def rule(self, shape: Shape) -> k210.Verdict:
        """What the KPU says."""
        return k210.layer_rules(*shape[1:], shape[1], 3, depthwise=True)

    def build(self, rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        """Insert the layers."""
        return shift(rewriter, value, -self.up, -self.left)


@dataclass(frozen=True)
class _Raise:
    """A number added to every pixel."""

    addend: float

    def result(self, shape: Shape) -> Shape:
        """The shape behind it."""
        return shape

    def milliseconds(self, shape: Shape) -> float:
        """A depthwise layer."""
        return estimates.layer(shape, shape[1], 1, depthwise=True)

    def rule(self, shape: Shape) -> k210.Verdict:
        """What the KPU says."""
        return k210.layer_rules(*shape[1:], shape[1], 1, depthwise=True)

    def build(self, rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        """Insert the layer."""
        import numpy as np

        channels = ktensor.shape_of(value)[1]
        bias = np.full(channels, self.addend)
        return layer(rewriter, value, np.ones((channels, 1, 1, 1)), bias, depthwise=True)


@dataclass(frozen=True)
class _Pool:
    """An identity layer that moves the map up and left by `tap`, adds a number, and pools."""

    pool: kpu.PoolKind
    tap: tuple[int, int] = (0, 0)
    addend: float = 0.0

    def result(self, shape: Shape) -> Shape:
        """The shape behind it."""
        return *shape[:2], *k210.pooled_size(self.pool, *shape[2:])

    def milliseconds(self, shape: Shape) -> float:
        """As fast as it will be, cut into layers of some channels."""
        moved = 0.0 if self._moves_itself(shape) else _Move(*self.tap).milliseconds(shape)
        return estimates.identity(shape, self.pool.stride)[1] + moved

    def _moves_itself(self, shape: Shape) -> bool:
        """Whether the layer has few enough channels for 3x3 kernels."""
        return self.tap == (0, 0) or k210.weight_loads_rule(shape[1], shape[1], 3).ok

    def rule(self, shape: Shape) -> k210.Verdict:
        """What the KPU says, and whether its RAM holds both maps, or bands of them."""
        verdict = k210.layer_rules(*shape[1:], shape[1], 1, pool=self.pool)
        return k210.band_rule(shape, self.result(shape)) if verdict.ok else verdict

    def build(self, rewriter: PatternRewriter, value: SSAValue) -> SSAValue:
        """Insert the layers."""
        tap = self.tap
        if not self._moves_itself(kpu.size4(value.type)):
            value, tap = _Move(*tap).build(rewriter, value), (0, 0)
        return pooled(rewriter, value, self.pool, tap, self.addend)


_Step = _Border | _Move | _Raise | _Pool


@dataclass(frozen=True)
class _Plan:
    """Steps from a map in KPU RAM, `shared` or only pooled, to the result of a pool."""

    source: SSAValue
    steps: tuple[_Step, ...]
    shared: bool = False

    @property
    def host(self) -> kpu.Conv2dOp | None:
        """The convolution that makes the map, if it can pool it in the first step."""
        conv, first = self.source.owner, self.steps[0]
        if not isinstance(conv, kpu.Conv2dOp) or conv.is_depthwise or self.shared:
            return None
        can = isinstance(first, _Pool) and first.tap == (0, 0) and not first.addend
        return conv if can and conv.pool_kind is kpu.PoolKind.BYPASS else None

    @property
    def shapes(self) -> list[Shape]:
        """The map in front of every step."""
        shapes = [kpu.size4(self.source.type)]
        for step in self.steps[:-1]:
            shapes.append(step.result(shapes[-1]))
        return shapes

    @property
    def verdict(self) -> k210.Verdict:
        """The first rule that is broken."""
        verdicts = (step.rule(shape) for step, shape in zip(self.steps, self.shapes, strict=True))
        return next((verdict for verdict in verdicts if not verdict.ok), k210.Verdict(True, ""))

    @property
    def milliseconds(self) -> float:
        """All steps that no other layer does."""
        costs = [step.milliseconds(shape) for step, shape in zip(self.steps, self.shapes, strict=True)]
        return sum(costs[1:] if self.host else costs)

    def build(self, rewriter: PatternRewriter) -> SSAValue:
        """Insert all steps."""
        value, host = self.source, self.host
        for step in self.steps:
            if host is not None and isinstance(step, _Pool):
                conv = kpu.Conv2dOp(host.input, host.weight, host.bias, activation=host.activation.data, pool=step.pool)
                conv.attributes.update(host.attributes)
                conv.location = host.location
                value, host = insert(rewriter, conv), None
            else:
                value = step.build(rewriter, value)
        return value


def _planned(
    source: SSAValue, axes: tuple[_Axis, _Axis], pools: Sequence[kpu.PoolKind], border: _Border | None = None
) -> "_Plan | str":
    """Layers, behind a `border`, that look back where windows begin in front of the map; or why there are none."""
    taps = [axis.taps(pools) for axis in axes]
    rows, columns = taps
    if rows is None or columns is None:
        return "its windows begin too far in front of the map"
    paddings = [axis.padding(each) for axis, each in zip(axes, (rows, columns), strict=True)]
    sees_border = any(
        axis.first < 0 or (axis.end > axis.size and any(padding)) for axis, padding in zip(axes, paddings, strict=True)
    )
    bound = lower_bound(source) if sees_border else 0.0
    if sees_border and pools[-1].is_mean:
        return "padding would count in the mean"
    if bound == -math.inf:
        return "padding with 0 could be the largest"
    raised = max(-bound, 0.0)
    (top, left) = (
        max(axis.first, 0) % axis.stride - max(each[-1], 0) for axis, each in zip(axes, (rows, columns), strict=True)
    )
    early, late = zip(*paddings, strict=True)
    steps: list[_Step | None] = [
        border,
        _Raise(raised) if raised else None,
        _Border((0, 0, *early)) if any(early) else None,
        _Move(top, left) if top or left else None,
        *(_Pool(pool, tap) for pool, tap in zip(pools[:-1], zip(rows, columns, strict=True), strict=False)),
        _Border((0, 0, *late)) if any(late) else None,
        _Pool(pools[-1], (rows[-1], columns[-1]), -raised),
    ]
    plan = _Plan(source, tuple(step for step in steps if step is not None))
    height, width = plan.steps[-1].result(plan.shapes[-1])[2:]
    ends = [axis.skipped + axis.count for axis in axes]
    crops = (-axes[0].skipped, -axes[1].skipped, ends[0] - height, ends[1] - width)
    return replace(plan, steps=(*plan.steps, _Border(crops))) if any(crops) else plan


def _halved(source: SSAValue, axes: tuple[_Axis, _Axis]) -> "_Plan | str":
    """Layers that take the maximum of a whole map from ever smaller ones."""
    if isinstance(source.owner, kpu.CropOp) or not all(axis.sees_all for axis in axes):
        return "the window is not the whole map"
    steps: list[_Step] = []
    height, width = axes[0].size, axes[1].size
    while min(height, width) // 2 >= k210.K210.MIN_HEIGHT:
        steps += [_Pool(_MAXIMA[1])] * (height % 2 or width % 2)
        steps.append(_Pool(_MAXIMA[2]))
        height, width = height // 2, width // 2
    steps += [_Pool(_MAXIMA[1])] * (max(height, width) - 1)
    return _Plan(source, (*steps, _Border((0, 0, 1 - height, 1 - width))))


def _bordered(source: SSAValue, axes: tuple[_Axis, _Axis], pools: Sequence[kpu.PoolKind]) -> "_Plan | str":
    """The same on a map that is padded in front too."""
    if all(axis.first >= 0 and axis.end <= axis.size for axis in axes):
        return "there is no padding"
    before = [max(-axis.first, 0) for axis in axes]
    behind = [max(axis.end, axis.least + axis.first) - axis.size for axis in axes]
    sides = (*before, *(max(side, 0) for side in behind))
    border = _Border((sides[0], sides[1], sides[2], sides[3]), 0.0 if lower_bound(source) >= 0 else _LOWEST)
    rows, columns = (
        replace(axis, size=axis.size + low + high, first=max(axis.first, 0))
        for axis, low, high in zip(axes, sides[:2], sides[2:], strict=True)
    )
    return _planned(source, (rows, columns), pools, border)


def _pools(op: PoolOp, window: int, stride: int) -> "list[kpu.PoolKind] | str":
    """The codes, one layer after another, that pool square windows."""
    if isinstance(op, ktensor.AveragePool2dOp):
        kind = _MEANS.get((window, stride))
        if any(op.pads.get_values()) and not op.counts_padding and kind is not kpu.PoolKind.MEAN_2_S1:
            pads = "x".join(map(str, op.pads.get_values()))
            return f"padding of {pads} is left out of the mean, layers weight all pixels alike"
        if kind is None:
            return f"a mean of {window}x{window} with stride {stride} has no pool code"
        if any(op.pads.get_values()) and not isinstance(code := pool_code(op), kpu.PoolKind):
            return str(code)
        return [kind]
    if stride not in _MAXIMA:
        return f"the stride is {stride}, pool codes have 1, 2 and 4"
    if op.dilations.get_values() != (1, 1):
        return "the window is dilated"
    if stride == 1:
        return [_MAXIMA[1]] * (window - 1) or [kpu.PoolKind.BYPASS]
    last = _MAXIMA[stride] if window >= stride else _PICKS[stride]
    return [_MAXIMA[1]] * (window - last.window) + [last]


def _geometries(op: PoolOp) -> list[tuple[SSAValue, tuple[_Axis, _Axis]]]:
    """Maps that are pooled, and the windows on them: the one in front of a crop if no window sees what is cropped."""
    (top, left), shape = op.pads.get_values()[:2], ktensor.shape_of(op.input)
    counts, windows, strides = ktensor.shape_of(op.output)[2:], op.kernel_shape.get_values(), op.strides.get_values()
    rows, columns = (
        _Axis(shape[2 + axis], -pad, counts[axis], windows[axis], strides[axis]) for axis, pad in enumerate((top, left))
    )
    found = [(op.input, (rows, columns))]
    crop = op.input.owner
    if isinstance(crop, kpu.CropOp) and all(axis.first >= 0 and axis.end <= axis.size for axis in (rows, columns)):
        (top, left), whole = crop.crops.get_values()[:2], ktensor.shape_of(crop.input)
        axes = replace(rows, size=whole[2], first=top), replace(columns, size=whole[3], first=left)
        found.insert(0, (crop.input, axes))
    return found


def _squared(axes: tuple[_Axis, _Axis]) -> tuple[_Axis, _Axis] | None:
    """The same windows as squares with one stride: where there is one window only, neither matters beyond the map."""
    strides = {axis.stride for axis in axes if axis.count > 1} or {1}
    window, stride = max(axis.window for axis in axes), max(strides)
    for axis in axes:
        free = axis.count == 1 and axis.end >= axis.size
        if (axis.window < window and not free) or len(strides) > 1:
            return None
    rows, columns = (replace(axis, window=window, stride=stride) for axis in axes)
    return rows, columns


def _cpu_milliseconds(op: PoolOp, source: SSAValue) -> float:
    """The way to main RAM, the windows of floats, and the way back if the result is wanted there."""
    shape, result = ktensor.shape_of(op.input), ktensor.shape_of(op.output)
    costs = k210.CpuCosts
    reads = math.prod(result) * math.prod(op.kernel_shape.get_values()) * costs.WINDOW
    there = 0.0 if isinstance(source.owner, Block) else estimates.download(shape)
    back = _back_milliseconds(result) if _is_wanted(op.output) else 0.0
    changes = math.prod(shape) * costs.DEQUANTIZE + (math.prod(result) * costs.QUANTIZE if back else 0.0)
    return there + 1e-6 * (reads + changes) + back


def _back_milliseconds(shape: Sequence[int]) -> float:
    """The way back to KPU RAM of what is padded for it if it is small."""
    height, width = max(shape[2], k210.K210.MIN_HEIGHT), max(shape[3], k210.K210.MIN_WIDTH)
    padded = (*shape[:2], height, width)
    return estimates.upload(padded) + (estimates.move(padded) if padded != tuple(shape) else 0.0)


def _kpu_milliseconds(op: PoolOp, plan: _Plan) -> float:
    """All steps, with the way in or out where it would not be needed otherwise."""
    there = estimates.upload(ktensor.shape_of(op.input)) if isinstance(plan.source.owner, Block) else 0.0
    if ktensor.shape_of(op.output)[2:] == (1, 1) and isinstance(plan.steps[-1], _Border) and _is_padded(op.output):
        plan = replace(plan, steps=plan.steps[:-1])  # the layer behind runs on what is not cropped (kpu-cancel-crops)
    return (
        there + plan.milliseconds + (0.0 if _is_wanted(op.output) else estimates.download(ktensor.shape_of(op.output)))
    )


def _is_wanted(value: SSAValue) -> bool:
    """Whether something on the KPU reads it."""
    users = [use.operation for use in value.uses]
    return any(
        _is_wanted(user.output)
        if isinstance(user, ktensor.ReshapeOp)
        else user.name.startswith("kpu.") or isinstance(user, _JOINING)
        for user in users
    )


def _is_padded(value: SSAValue) -> bool:
    """Whether it goes back to KPU RAM on a larger map."""
    users = [use.operation for use in value.uses]
    return bool(users) and all(
        _is_padded(user.output) if isinstance(user, ktensor.ReshapeOp) else isinstance(user, kpu.PadOp)
        for user in users
    )


def _is_global_mean(op: PoolOp) -> bool:
    shape = ktensor.shape_of(op.input)
    return isinstance(op, ktensor.AveragePool2dOp) and tuple(op.kernel_shape.get_values()) == shape[2:]


class SpellMaximum(RewritePattern):
    """The maximum over height and width of what lies in KPU RAM is a pool."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ktensor.ReduceOp, rewriter: PatternRewriter, /) -> None:
        """Rewrite one maximum."""
        if kpu.stays_float(op) or op.kind.data is not ktensor.ReduceKind.MAX or set(op.axes.get_values()) != {2, 3}:
            return
        shape = ktensor.shape_of(op.input)
        if len(shape) != 4 or not is_on_kpu(op.input):
            return
        pool = ktensor.MaxPool2dOp(op.input, shape[2:])
        pool.location = op.location
        rewriter.replace(op, (pool, ktensor.ReshapeOp(pool, ktensor.shape_of(op.output))))


class LegalizePool(RewritePattern):
    """A pool becomes layers."""

    def __init__(self, forced: bool) -> None:
        self.forced = forced

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one pool, or say why it stays."""
        if not isinstance(op, PoolOp) or _is_global_mean(op) or kpu.stays_float(op):
            return
        plan = _best_plan(op)
        if isinstance(plan, str):
            op.attributes[kpu.REASON] = StringAttr(plan)
            return
        layers, cpu = _kpu_milliseconds(op, plan), _cpu_milliseconds(op, plan.source)
        if layers > cpu and not self.forced:
            op.attributes[kpu.REASON] = StringAttr(
                f"the CPU takes {cpu:.3f} ms with the ways there and back, layers would take {layers:.3f}"
            )
            return
        rewriter.replace(op, [], [plan.build(rewriter)])
        for dead in (op.input.owner, plan.source.owner):
            if isinstance(dead, Operation) and dead.parent is not None and not dead.results[0].uses:
                rewriter.erase(dead)


def _best_plan(op: PoolOp) -> "_Plan | str":
    """The fastest way, or why there is none."""
    found = [(source, square) for source, axes in _geometries(op) if (square := _squared(axes)) is not None]
    source, square = found[0] if found else (op.input, None)
    if not is_on_kpu(source):
        return "what is pooled is made by the CPU"
    if ktensor.shape_of(source)[0] != 1:
        return f"{ktensor.shape_of(source)[0]} images, layers pool 1"
    if square is None:
        windows, strides = op.kernel_shape.get_values(), op.strides.get_values()
        return f"a window of {windows[0]}x{windows[1]} with strides {strides[0]}x{strides[1]} has no pool code"
    pools = _pools(op, square[0].window, square[0].stride)
    if isinstance(pools, str):
        return pools
    plans = [_planned(source, square, pools)]
    if isinstance(op, ktensor.MaxPool2dOp):
        plans += [_bordered(source, square, pools), _halved(source, square)]
    reasons = [plan if isinstance(plan, str) else plan.verdict.reason for plan in plans]
    shared = not (op.input.has_one_use() and source.has_one_use())
    good = [replace(plan, shared=shared) for plan in plans if isinstance(plan, _Plan) and plan.verdict.ok]
    return min(good, key=lambda plan: plan.milliseconds) if good else reasons[0]


@dataclass(frozen=True)
class KpuLegalizePoolsPass(ModulePass):
    """Pool in KPU RAM what is no tail of a convolution.

    `pools`: "auto" where that is faster than the CPU, "kpu" wherever it can be done.
    """

    name = "kpu-legalize-pools"

    pools: Literal["auto", "kpu", "cpu"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        if self.pools != "cpu":
            rewrite(op, SpellMaximum(), recursive=False)
            rewrite(op, LegalizePool(self.pools == "kpu"), recursive=False)
