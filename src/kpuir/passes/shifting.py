"""Large kernels as 3x3 kernels on shifted copies of the input: which copies it takes, and what they cost.

Copy t of a map is x_t(y) = x(y + t), zeros outside. The tap of a kernel at offset d reads x(y + d), and so does tap s
of a 3x3 kernel on copy t where s + t = d, s one of -1, 0, 1. At the borders the 3x3 kernel reads 0 where y + s lies
outside of the map, although x(y + s + t) may lie inside: if s and t point in opposite directions, and y is the first
row (s = -1) or the last (s = 1). So they may only where that row is cropped anyway. Source: lowering-facts.md 9.1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

from kpuir.analysis import estimates
from kpuir.passes.axes import Axis
from kpuir.passes.forms import Window
from kpuir.target import k210

Shift: TypeAlias = tuple[int, int]
"""Rows and columns of y + t in front of y, a copy's t."""


@dataclass(frozen=True)
class AxisPlan:
    """One axis of a convolution on copies: where it is computed, and the copy that serves each tap of the kernel.

    `offsets` are those of the taps, `copies` the copy of each; a tap's place in the 3x3 kernel is 1 + offset - copy.
    """

    axis: Axis
    offsets: tuple[int, ...]
    copies: tuple[int, ...]

    @property
    def reach(self) -> int:
        """How far the farthest copies are away: so many layers make them, one after another."""
        return max(map(abs, self.copies))

    @property
    def pointwise(self) -> bool:
        """Whether every tap reads just the pixel of its copy, so that the kernel has size 1."""
        return self.copies == self.offsets

    @property
    def is_idle(self) -> bool:
        """Whether the kernel has one row and reads just that, so that padding is for the size of the map alone."""
        return self.offsets == (0,) and self.axis.pad_low == self.axis.begin == 0 and self.axis.stride == 1

    @property
    def worth(self) -> tuple[int, ...]:
        """What the plan needs: the fewer of each, the better."""
        grown = self.axis.pad_low + self.axis.pad_high
        return len(set(self.copies)), self.reach, grown, self.axis.begin + self.axis.crop_high, not self.pointwise


def plan_axis(window: Window) -> list[AxisPlan]:
    """The plans of an axis that are worth comparing."""
    plans: list[AxisPlan] = []
    for own in range(window.extent):
        axis = Axis.plan(window.size, window.extent, window.low, window.high, window.stride, own).whole_strides()
        offsets = tuple(tap - own for tap in window.taps)
        plans += [AxisPlan(axis, offsets, _cover(offsets, axis)), AxisPlan(axis, offsets, offsets)]
    best = [
        plan
        for plan in plans
        if not any(other.worth != plan.worth and all(map(int.__le__, other.worth, plan.worth)) for other in plans)
    ]
    unique = {plan.worth: plan for plan in best}
    return [*unique.values()]


def _cover(offsets: Sequence[int], axis: Axis) -> tuple[int, ...]:
    """The copy of each of some ascending offsets, few different ones: the greedy cover of points by intervals."""
    copies: list[int] = []
    first_kept, last_kept = axis.begin == 0, axis.last == axis.padded - 1
    for offset in offsets:
        if copies and offset <= _served(copies[-1], first_kept, last_kept)[1]:
            copies.append(copies[-1])
            continue
        served = {t: _served(t, first_kept, last_kept) for t in range(offset - 1, offset + 2)}
        able = [t for t, (low, high) in served.items() if low <= offset <= high]
        copies.append(max(able, key=lambda t: (sum(o <= served[t][1] for o in offsets), -abs(t))))
    return tuple(copies)


def _served(copy: int, first_kept: bool, last_kept: bool) -> tuple[int, int]:
    """The first and last offset that a copy serves."""
    return copy - (not (first_kept and copy > 0)), copy + (not (last_kept and copy < 0))


@dataclass(frozen=True)
class Plan:
    """A convolution on shifted copies. `used` are the copies that some weight is not 0 for, as (rows, columns)."""

    rows: AxisPlan
    columns: AxisPlan
    used: tuple[Shift, ...]

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Rows and columns of zeros around the input."""
        rows, columns = self.rows.axis, self.columns.axis
        return rows.pad_low, columns.pad_low, rows.pad_high, columns.pad_high

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the copies."""
        return self.rows.axis.padded, self.columns.axis.padded

    @cached_property
    def levels(self) -> list[list[Shift]]:
        """The copies by distance, with those on the way to them; in each level those first that are used."""
        needed = set(self.used)
        for shift in self.used:
            while shift != (0, 0):
                shift = nearer(shift)
                needed.add(shift)
        levels: list[list[Shift]] = [[] for _ in range(1 + max(distance(shift) for shift in needed))]
        for shift in sorted(needed, key=lambda shift: (shift not in self.used, shift)):
            levels[distance(shift)].append(shift)
        return levels

    @property
    def kernel(self) -> int:
        """Size of the kernel that reads the copies."""
        return 1 if self.rows.pointwise and self.columns.pointwise else 3

    def taps(self, copy: Shift) -> tuple[list[int], list[int]]:
        """The rows and columns of the kernel that a copy serves."""
        rows = [tap for tap, t in enumerate(self.rows.copies) if t == copy[0]]
        return rows, [tap for tap, t in enumerate(self.columns.copies) if t == copy[1]]

    def places(self, copy: Shift) -> tuple[list[int], list[int]]:
        """Where those stand in the kernel that reads the copy."""
        center = self.kernel // 2
        rows, columns = self.taps(copy)
        return (
            [center + self.rows.offsets[tap] - copy[0] for tap in rows],
            [center + self.columns.offsets[tap] - copy[1] for tap in columns],
        )

    @property
    def crops(self) -> tuple[int, int, int, int]:
        """Rows and columns of the result that are dropped, before strides if there are any."""
        begins = [0 if self.strided else plan.axis.begin for plan in (self.rows, self.columns)]
        return begins[0], begins[1], self.rows.axis.crop_high, self.columns.axis.crop_high

    @property
    def strided(self) -> bool:
        """Whether some of the rows or columns of the result are picked."""
        return max(self.rows.axis.stride, self.columns.axis.stride) > 1

    def border_milliseconds(self, shape: Sequence[int], outputs: int) -> float:
        """What padding the input, cropping the result and picking at rows that are no multiples of strides costs.

        What an idle axis is padded by costs nothing: neighbours are padded likewise (`kpu-cancel-crops`), and who comes
        from main RAM is padded on the way.
        """
        axes, idle = (self.rows.axis, self.columns.axis), (self.rows.is_idle, self.columns.is_idle) * 2
        padded, result = (1, shape[1], *self.size), (1, outputs, *self.size)
        pads, crops = (
            tuple(0 if stays else side for side, stays in zip(sides, idle, strict=True))
            for sides in (self.pads, self.crops)
        )
        given, cropped = (
            (1, channels, self.size[0] - sides[0] - sides[2], self.size[1] - sides[1] - sides[3])
            for channels, sides in ((shape[1], pads), (outputs, crops))
        )
        cost = estimates.border(given, padded, pads) if any(pads) else 0.0
        cost += estimates.border(result, cropped, crops) if any(crops) else 0.0
        picks_all = axes[0].begin % axes[0].stride == 0 and axes[1].begin < axes[1].stride
        return cost if picks_all else cost + estimates.identity(result, axes[0].stride)[1]


def distance(shift: Shift) -> int:
    """How many layers make a copy, each of which moves by at most one row and one column."""
    return max(map(abs, shift))


def nearer(shift: Shift) -> Shift:
    """The copy that a copy is made from."""
    down, right = (t - (t > 0) + (t < 0) for t in shift)
    return down, right


def plans(rows: Iterable[AxisPlan], columns: Iterable[AxisPlan], used: Iterable[tuple[int, int]]) -> list[Plan]:
    """Every pair of plans of maps that layers can have; `used` are the taps (row, column) with weights not 0."""
    taps = list(used)
    found: list[Plan] = []
    for down, right in product(rows, columns):
        copies = dict.fromkeys((down.copies[i], right.copies[j]) for i, j in taps)
        if k210.input_size_rule(down.axis.padded, right.axis.padded).ok:
            found.append(Plan(down, right, tuple(copies) or ((0, 0),)))
    return found
