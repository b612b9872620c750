"""The forms on shifted copies that a convolution with a large or dilated kernel can take: costs, and how to build them.

See `kpuir.passes.shifting` for the copies. Sources: lowering-facts.md 9.1; `kpu-hardware.md` 8 and 10.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING

from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter

from kpuir.analysis import estimates
from kpuir.analysis.estimates import Cost
from kpuir.dialects import kpu, ktensor
from kpuir.passes import splitting
from kpuir.passes.forms import Form, Request
from kpuir.passes.moving import insert, layer, mover, shift
from kpuir.passes.shifting import Plan, Shift, nearer, plan_axis, plans
from kpuir.target import k210
from kpuir.target.k210 import K210

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DENSE_DEPTHWISE_BYTES = 128 * 1024
"""Weights that a depthwise convolution may get, most of them 0, to be a dense one."""

_SLICES = (8, 16, 32, 64, 128, 256, 512)
"""Channels that a depthwise convolution is cut into."""

Copies = list[tuple[SSAValue, list[Shift]]]
"""Maps, and which copies of the input their channels are, in order."""


def forms(request: Request, *, in_bands: bool = False) -> Iterator[Form]:
    """Every form of a convolution on copies that fits the KPU, or with `in_bands` some rows of which do."""
    request = request.trimmed()
    rows, columns = (plan_axis(request.axis(index)) for index in (0, 1))
    for plan in plans(rows, columns, request.taps()):
        if request.depthwise:
            yield from _depthwise_forms(request, plan, in_bands)
        else:
            yield from _dense_forms(request, plan, in_bands)


# --- Copies -------------------------------------------------------------------------------------------------------


def _shape(plan: Plan, channels: int) -> tuple[int, int, int, int]:
    return 1, channels, *plan.size


def _lines(plan: Plan, channels: int) -> int:
    """Channels that a map takes in a concatenation."""
    group = k210.row_layout(plan.size[1]).channels_per_line
    return -(-channels // group) * group


def _one_by_one(plan: Plan, channels: int) -> Cost:
    """What the layers take that make copies, a depthwise one each."""
    count = sum(map(len, plan.levels[1:]))
    return estimates.layers(_shape(plan, channels), channels, 3, depthwise=True, count=count)


def _together(plan: Plan, channels: int) -> Cost | None:
    """What the layers take that make all copies of one distance each; None where they have too many channels."""
    counts = [len(level) * channels for level in plan.levels]
    if any(not splitting.fits_layer(ic, oc, 3) for ic, oc in pairwise(counts)):
        return None
    return sum((estimates.layers(_shape(plan, ic), oc, 3) for ic, oc in pairwise(counts)), estimates.NOTHING)


def _copies_one_by_one(rewriter: PatternRewriter, value: SSAValue, plan: Plan) -> Copies:
    made: dict[Shift, SSAValue] = {(0, 0): value}
    for down, right in (copy for level in plan.levels[1:] for copy in level):
        source = nearer((down, right))
        made[down, right] = shift(rewriter, made[source], source[0] - down, source[1] - right)
    return [(value, [copy]) for copy, value in made.items() if copy in plan.used]


def _copies_together(rewriter: PatternRewriter, value: SSAValue, plan: Plan) -> Copies:
    import numpy as np

    channels = ktensor.shape_of(value)[1]
    made: Copies = [(value, plan.levels[0])]
    for level in plan.levels[1:]:
        source, previous = made[-1]
        weight = np.zeros((len(level), channels, len(previous), channels, 3, 3), np.float32)
        for index, (down, right) in enumerate(level):
            row, column = nearer((down, right))
            here = weight[index, :, previous.index((row, column)), :, 1 + down - row, 1 + right - column]
            np.fill_diagonal(here, 1)
        made.append((mover(rewriter, source, weight.reshape(len(level) * channels, -1, 3, 3)), level))
    return [part for whole, level in made if (part := _used(rewriter, whole, level, plan))[1]]


def _used(rewriter: PatternRewriter, whole: SSAValue, level: list[Shift], plan: Plan) -> tuple[SSAValue, list[Shift]]:
    """The part of a map with the copies that are used, which come first."""
    used = [copy for copy in level if copy in plan.used]
    if len(used) in (0, len(level)):
        return whole, used
    channels = ktensor.shape_of(whole)[1] // len(level)
    return insert(rewriter, kpu.ChannelSliceOp(whole, 0, len(used) * channels)), used


# --- Ordinary convolutions on copies ------------------------------------------------------------------------------


def _dense_forms(request: Request, plan: Plan, in_bands: bool) -> Iterator[Form]:
    """One convolution on the concatenation of all copies, made one by one or together."""
    channels, outputs = request.channels, request.outputs
    border = Cost(plan.border_milliseconds(request.shape, outputs))
    together = _together(plan, channels)
    counts = {
        "copies": (_one_by_one(plan, channels), _lines(plan, channels) * len(plan.used), _copies_one_by_one),
        "copies-together": (
            together,
            sum(_lines(plan, channels * sum(copy in plan.used for copy in level)) for level in plan.levels),
            _copies_together,
        ),
    }
    for name, (making, total, make) in counts.items():
        fits = channels <= K210.MAX_CHANNELS and splitting.rule(total, outputs, *plan.size, plan.kernel).ok
        if making is None or not fits or not _fits_ram(request, plan, total, in_bands):
            continue
        cost = border + making + splitting.cost(_shape(plan, total), outputs, plan.kernel)

        def build(rewriter: PatternRewriter, value: SSAValue, make: "_Make" = make) -> SSAValue:
            value = padded(rewriter, value, plan)
            weighted = _on_copies(rewriter, make(rewriter, value, plan), request.weight, request.bias, plan)
            return picked(rewriter, weighted, plan)

        yield Form(name, cost, build)


_Make = Callable[[PatternRewriter, SSAValue, Plan], Copies]


def _fits_ram(request: Request, plan: Plan, channels: int, in_bands: bool) -> bool:
    """Whether KPU RAM holds the copies and the result, or some rows of them."""
    height, width = (-(-size // stride) for size, stride in zip(plan.size, request.strides, strict=True))
    maps = _shape(plan, channels), (1, request.outputs, height, width)
    return (k210.band_rule(*maps) if in_bands else k210.ram_rule(*(k210.feature_map_bytes(*one) for one in maps))).ok


def _on_copies(
    rewriter: PatternRewriter,
    copies: Copies,
    weight: "NDArray[np.float32]",
    bias: "NDArray[np.float32]",
    plan: Plan,
) -> SSAValue:
    """The convolution with `weight` [OC, C, KH, KW], of stride 1 and on the whole map."""
    import numpy as np

    outputs, channels = weight.shape[:2]
    value, begins, kernel = copies[0][0], (0,), plan.kernel
    if len(copies) > 1:
        concat = kpu.ConcatOp([value for value, _ in copies])
        value, begins = insert(rewriter, concat), concat.first_channels
    placed = np.zeros((outputs, ktensor.shape_of(value)[1], kernel, kernel), np.float32)
    for begin, (_, shifts) in zip(begins, copies, strict=True):
        for index, copy in enumerate(shifts):
            first = begin + index * channels
            place(placed[:, first : first + channels], weight, plan, copy)
    return splitting.convolution(rewriter, value, placed, bias)


def place(target: "NDArray[np.float32]", weight: "NDArray[np.float32]", plan: Plan, copy: Shift) -> None:
    """Put the taps that a copy serves where they stand in the kernel that reads it."""
    (rows, columns), (places, across) = plan.taps(copy), plan.places(copy)
    for (row, i), (column, j) in product(zip(places, rows, strict=True), zip(across, columns, strict=True)):
        target[:, :, row, column] = weight[:, :, i, j]


def padded(rewriter: PatternRewriter, value: SSAValue, plan: Plan) -> SSAValue:
    """The input with what a plan pads."""
    return insert(rewriter, kpu.PadOp(value, plan.pads)) if any(plan.pads) else value


def picked(rewriter: PatternRewriter, value: SSAValue, plan: Plan) -> SSAValue:
    """What a plan keeps of the result."""
    if any(plan.crops):
        value = insert(rewriter, kpu.CropOp(value, plan.crops))
    if plan.strided:
        axes = plan.rows.axis, plan.columns.axis
        value = insert(
            rewriter, kpu.StridedSliceOp(value, [axis.begin for axis in axes], [axis.stride for axis in axes])
        )
    return value


# --- Depthwise ones -----------------------------------------------------------------------------------------------


def _depthwise_forms(request: Request, plan: Plan, in_bands: bool) -> Iterator[Form]:
    """Sums of depthwise layers, one on each copy; and dense ones on the copies of some channels at a time."""
    channels, count = request.channels, len(plan.used)
    border = Cost(plan.border_milliseconds(request.shape, channels))
    if channels > K210.MAX_CHANNELS or not _fits_ram(request, plan, channels * min(count, 4), in_bands):
        return
    making = border + _one_by_one(plan, channels)
    for most in (*_SLICES, channels):
        if most > channels or (count > 1 and most > splitting.most_summed_channels(count)):
            continue
        shape = _shape(plan, min(most, channels))
        once = estimates.layers(shape, most, plan.kernel, depthwise=True, count=count)
        once += estimates.layers(_shape(plan, count * most), most) if count > 1 else estimates.NOTHING

        def build(rewriter: PatternRewriter, value: SSAValue, most: int = most) -> SSAValue:
            return _built_sum(rewriter, value, request, plan, most)

        yield Form("depthwise-sum", making + once * (channels / most), build)
        total = _lines(plan, most) * count
        if not splitting.fits_layer(total, most, plan.kernel) or channels * total * 9 > _DENSE_DEPTHWISE_BYTES:
            continue
        once = _one_by_one(plan, most) + estimates.layers(_shape(plan, total), most, plan.kernel)

        def build_dense(rewriter: PatternRewriter, value: SSAValue, most: int = most) -> SSAValue:
            return _built_dense(rewriter, value, request, plan, most)

        yield Form("depthwise-dense", border + once * (channels / most), build_dense)


def _built_sum(rewriter: PatternRewriter, value: SSAValue, request: Request, plan: Plan, most: int) -> SSAValue:
    import numpy as np

    value = padded(rewriter, value, plan)
    copies = [(copy, shifts[0]) for copy, shifts in _copies_one_by_one(rewriter, value, plan)]
    results: list[SSAValue] = []
    for first, count in splitting.parts(request.channels, most):
        part, bias = slice(first, first + count), request.bias[first : first + count]
        partial: list[SSAValue] = []
        for copy, copied in copies:
            kernel = np.zeros((count, 1, plan.kernel, plan.kernel), np.float32)
            place(kernel, request.weight[part], plan, copied)
            source = splitting.slice_channels(rewriter, copy, first, count)
            partial.append(layer(rewriter, source, kernel, None if len(copies) > 1 else bias, depthwise=True))
        results.append(splitting.added(rewriter, partial, bias) if len(copies) > 1 else partial[0])
    return picked(rewriter, splitting.joined(rewriter, results), plan)


def _built_dense(rewriter: PatternRewriter, value: SSAValue, request: Request, plan: Plan, most: int) -> SSAValue:
    import numpy as np

    value = padded(rewriter, value, plan)
    results: list[SSAValue] = []
    for first, count in splitting.parts(request.channels, most):
        channels = np.arange(count)
        weight = np.zeros((count, count, *request.weight.shape[2:]), np.float32)
        weight[channels, channels] = request.weight[first : first + count, 0]
        copies = _copies_one_by_one(rewriter, splitting.slice_channels(rewriter, value, first, count), plan)
        bias = request.bias[first : first + count]
        results.append(_on_copies(rewriter, copies, weight, bias, plan))
    return picked(rewriter, splitting.joined(rewriter, results), plan)
