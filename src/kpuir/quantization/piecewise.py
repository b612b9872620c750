"""The best activation table for a scalar function, by dynamic programming: minimax first, then the mean error.

The function maps batch-norm results v (integers) to real output codes, of which the table delivers the rounding,
clamped to 0..255. Break points are chosen among some ninety nodes, dense where the function bends. A piece between two
nodes is either sloped or level:

- Sloped: the chord's slope, rounded to what `mul / 2**shift` can say, through the middle of the deviations. Since `add`
  is an integer, the piece is extended back to where its line passes through one (`lowering-facts.md` 7.4): rounding
  `add` then costs nothing. The error includes that extension.
- Level: `mul` 0. Within half a code of its `add` it rounds perfectly, so only what exceeds that counts as error.

Decreasing sloped pieces are last resort: the simulators subtract 1 instead of adding it for half of all values, which
costs 1 code on average (put right by raising the line by 1) and scatters the results by one code. Level steps are
usually better.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kpuir.quantization.activation_table import MAXIMUM_SHIFT, PIECES, ActivationTable, Piece
from kpuir.quantization.fixed_point import fixed_point, fixed_points

_Real: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[_Real], _Real]

_GRID = 1024
_BEND_NODES = 56
_EVEN_NODES = 14
_KINKS = 6
_STEP_NODES = 16
_LOOK_BACK = 8
_DECREASING_PENALTY = 0.75
_SLACK, _SLACK_CODES = 2.0, 0.3
"""How much the greatest error may exceed the least possible one for the sake of the mean error."""
_GOOD_ENOUGH = 0.0003  # codes of mean error: pieces that gain less are not used


class _Nodes(NamedTuple):
    """Candidate break points v ascending, the clamped codes there, and what an error there counts."""

    v: _Real
    code: _Real
    weight: _Real
    share: _Real  # of the values expected, summing to 1
    adjacent: NDArray[np.bool_]  # the next node is so near that a kink between the two may be a break


class _Fits(NamedTuple):
    """For each first and last node: the line `code = level + slope * v` from the first node on, slope 0 is level.

    error is its greatest, excess its mean one, in codes, beyond what rounding costs anyway.
    """

    error: _Real
    excess: _Real
    slope: _Real
    level: _Real


def fit_table(
    function: Function, focus: tuple[float, float], reach: tuple[float, float] | None = None
) -> ActivationTable:
    """The table for `code = function(v)`, best over `focus` (lo, hi) and sensible over the wider `reach`.

    `function` takes float64 arrays and need not clamp; NaN counts as 0. `focus` is where v is expected, `reach` where
    it can be at all. Raises ValueError for an empty or infinite range.
    """
    lo, hi = focus
    low, high = (lo, hi) if reach is None else (min(lo, reach[0]), max(hi, reach[1]))
    if not (np.isfinite([low, high]).all() and lo < hi):
        raise ValueError(f"an activation needs a range of positive width, got {focus} within {reach}")
    nodes = _nodes(function, lo, hi, low, high)
    fits = _fit_all(nodes)
    breaks = _best_breaks(nodes, fits)
    return _assemble(nodes, fits, breaks)


def _nodes(function: Function, lo: float, hi: float, low: float, high: float) -> _Nodes:
    """Sample the function and keep the points where it bends, plus a few evenly spread."""
    outer = np.linspace(0, 1, _GRID // 2 + 1)[1:] ** 2
    # Margins too narrow for a grid of their own widen the focus.
    narrow = (hi - lo) / 64
    lo, hi = (low if lo - low < narrow else lo), (high if high - hi < narrow else hi)
    grid = np.concatenate(
        [
            # Entry 0 is level, so the first piece has to begin right after the first point.
            [low - narrow / 64],
            (lo - (lo - low) * outer)[::-1] if low < lo else np.zeros(0),
            np.linspace(lo, hi, _GRID + 1),
            hi + (high - hi) * outer if high > hi else np.zeros(0),
        ]
    )
    with np.errstate(all="ignore"):
        code = np.clip(np.nan_to_num(function(grid), nan=0.0, posinf=1e9, neginf=-1e9), 0, 255)
    distance = np.maximum(np.maximum(lo - grid, grid - hi), 0) / (hi - lo)
    weight = np.where(distance > 0, 0.25 / (1 + 8 * distance), 1.0)
    chosen = _choose_nodes(grid, code, weight)
    # Calibration's extremes are some five standard deviations out; a quarter of that weight is spread evenly besides.
    density = (0.25 + np.exp(-0.5 * ((grid - (lo + hi) / 2) / ((hi - lo) / 10)) ** 2)) * weight
    share = np.add.reduceat(density * np.gradient(grid), chosen)
    fine = (np.abs(np.diff(code)) <= 1) | (np.diff(grid) <= 1.5 * (hi - lo) / _GRID)
    adjacent = np.append((np.diff(chosen) == 1) & fine[chosen[:-1]], False)
    return _Nodes(grid[chosen], code[chosen], weight[chosen], share / share.sum(), adjacent)


def _choose_nodes(grid: _Real, code: _Real, weight: _Real) -> NDArray[np.intp]:
    slope = np.diff(code) / np.diff(grid)
    span = (grid[2:] - grid[:-2]) / 2
    second = np.zeros(len(grid))
    second[1:-1] = np.abs(np.diff(slope)) * span
    second[second < 1e-9] = 0
    # Equal shares of the integral of sqrt(|f''|) give equal errors to pieces of a smooth function.
    bend = np.cumsum(np.sqrt(second * weight))
    chosen = [np.linspace(0, len(grid) - 1, _EVEN_NODES).astype(np.intp), np.ones(1, np.intp)]
    if bend[-1] > 0:
        chosen.append(np.searchsorted(bend, bend[-1] * np.linspace(0, 1, _BEND_NODES + 2)[1:-1]))
    far = np.maximum(np.roll(second, 3), np.roll(second, -3))
    kinks = np.flatnonzero(second > 4 * far + 1e-6)
    kinks = kinks[np.argsort(-second[kinks], kind="stable")[: 2 * _KINKS]]
    chosen += [kinks - 1, kinks, kinks + 1]
    # A falling function is best followed in level steps, which change where it is half-way between two codes.
    nearest = np.rint(code)
    steps = np.flatnonzero((np.diff(nearest) < 0) & (np.diff(code) > -1)) + 1
    if len(steps):
        steps = steps[np.linspace(0, len(steps) - 1, min(len(steps), _STEP_NODES)).astype(np.intp)]
        chosen.append(steps)
    changes = np.flatnonzero(np.diff(code) != 0)
    first, last = (changes[0], changes[-1] + 1) if len(changes) else (0, 0)
    picked = np.unique(np.concatenate(chosen))
    # Of the constant tails the near and the far end say everything.
    keep = ((picked >= first) & (picked <= last)) | (picked <= 1) | (picked == len(grid) - 1)
    ends = np.clip([first, first + 1, last - 1, last], 0, len(grid) - 1)
    return np.unique(np.concatenate([picked[keep], ends])).astype(np.intp)


def _fit_all(nodes: _Nodes) -> _Fits:
    """The best piece from every node p to every node q >= p; infinite error for q < p."""
    count = len(nodes.v)
    last = count - 1
    distance = nodes.v[None] - nodes.v[:, None]
    with np.errstate(all="ignore"):
        slope = np.nan_to_num((nodes.code[None] - nodes.code[:, None]) / distance, posinf=0, neginf=0)
    # Where the function stays at a clamp to the end, a piece that runs into the clamp needs nothing more.
    clamped = count > 3 and nodes.code[last] == nodes.code[last - 1] and nodes.code[last] in (0, 255)
    tail = last - 2 if clamped else last
    slope[:tail, last] = slope[:tail, tail]
    mul, shift = fixed_points(np.clip(slope, -32767.0, 32767.0), 16, MAXIMUM_SHIFT)
    slope = np.ldexp(mul.astype(np.float64), -shift)
    error, level = np.full((count, count), np.inf), np.zeros((count, count))
    within = np.where(np.tri(count, dtype=bool), 0.0, np.inf)
    for p in range(count):
        error[p, p:], level[p, p:] = _fit_lines(nodes, p, slope[p, p:], within[p:, p:], tail)
    error = np.maximum(error, _extension_errors(nodes, slope, level))
    # A deviation d moves the rounded code's mean error by d²; along an arc that is 7/15 of the greatest.
    excess = error**2 * 7 / 15 + np.where(slope < 0, 0.5, 0)
    error += np.where(slope < 0, _DECREASING_PENALTY, 0)

    flat, flat_error = _fit_flats(nodes)
    use_flat = (slope == 0) | (flat_error <= error)
    error = np.where(np.tri(count, k=-1, dtype=bool), np.inf, np.where(use_flat, flat_error, error))
    excess = np.where(use_flat, flat_error / 2, excess)
    slope, level = np.where(use_flat, 0, slope), np.where(use_flat, flat, level)
    # A piece that ends before a wide gap has to be good up to the far side of it.
    end = np.minimum(np.arange(count) + ~nodes.adjacent, last)
    return _Fits(error[:, end], excess[:, end], slope[:, end], level[:, end])


def _fit_lines(nodes: _Nodes, p: int, slope: _Real, within: _Real, tail: int) -> tuple[_Real, _Real]:
    """Error and level at node p of lines of the given slopes from p to each node from p on.

    `within` is 0 for nodes (second axis) up to the last of a piece (first axis), infinite beyond.
    """
    code = nodes.code[p:]
    rise = slope[:, None] * (nodes.v[p:] - nodes.v[p])[None]
    residual = code[None] - rise
    fitted = max(tail + 1 - p, 1)
    highest = (residual[:, :fitted] - within[:, :fitted]).max(axis=1)
    lowest = (residual[:, :fitted] + within[:, :fitted]).min(axis=1)
    level = (highest + lowest) / 2
    rise += level[:, None]
    np.clip(rise, 0, 255, out=rise)
    rise -= code[None]
    np.abs(rise, out=rise)
    rise *= nodes.weight[p:][None]
    return (rise - within).max(axis=1), level


def _fit_flats(nodes: _Nodes) -> tuple[_Real, _Real]:
    """Code and error of level pieces from every node p to every node q >= p."""
    beyond = np.tri(len(nodes.v), k=-1, dtype=bool)
    highest = np.maximum.accumulate(np.where(beyond, -np.inf, nodes.code[None]), axis=1)
    lowest = np.minimum.accumulate(np.where(beyond, np.inf, nodes.code[None]), axis=1)
    weight = np.maximum.accumulate(np.where(beyond, 0, nodes.weight[None]), axis=1)
    highest[beyond] = lowest[beyond] = 0
    flat = np.rint((highest + lowest) / 2)
    excess = np.maximum(np.maximum(highest - flat, flat - lowest) - 0.5, 0)
    return flat, excess * weight


def _extension_errors(nodes: _Nodes, slope: _Real, level: _Real) -> _Real:
    """The error of lines with `level` at node p on the way back to where they pass through an integer code."""
    start = _start(slope, level)
    # Lines below 0 begin later than their node; not so late that the piece before would be asked for more.
    gap = np.append(np.diff(nodes.v), 0)[:, None]
    error = np.where(np.isfinite(start) & (start <= gap), 0.0, np.inf)
    for back in range(1, min(_LOOK_BACK, len(nodes.v) - 1) + 1):
        v = (nodes.v[:-back] - nodes.v[back:])[:, None]
        line = np.clip(level[back:] + slope[back:] * v, 0, 255)
        deviation = np.abs(line - nodes.code[:-back, None]) * nodes.weight[:-back, None]
        error[back:] = np.maximum(error[back:], np.where(v > start[back:], deviation, 0))
        if back == _LOOK_BACK:
            error[back + 1 :][(start[back:] < v)[1:]] = np.inf
    return error


def _add(slope: _Real, level: _Real) -> _Real:
    """The integer a line begins with: the next one passed on the way back from where it has the value `level`.

    Infinite where the line begins outside 0..255.
    """
    raised = np.where(slope < 0, level + 1, level)
    add = np.where(slope < 0, np.ceil(raised - 1e-6), np.floor(raised + 1e-6))
    add = np.where((slope > 0) & (level < 0) & (level > -1), 0, add)
    add = np.where((slope < 0) & (add > 255), 255, add)
    return np.where((add < 0) | (add > 255), np.inf, add)


def _start(slope: _Real, level: _Real) -> _Real:
    """Where, relative to the node, a sloped line begins; NaN or infinite where it may not."""
    raised = np.where(slope < 0, level + 1, level)
    with np.errstate(all="ignore"):
        return (_add(slope, level) - raised) / slope


def _best_breaks(nodes: _Nodes, fits: _Fits) -> list[int]:
    """First nodes of the pieces after entry 0 (which is level and begins at node 0).

    First the least possible greatest error is found. Among the partitions not much worse than that, the one with the
    least mean error is taken, with the fewest pieces that reach it.
    """
    begin = nodes.code[0]
    head = np.maximum(np.maximum.accumulate((np.abs(nodes.code - np.rint(begin)) - 0.5) * nodes.weight), 0)
    head = np.append(np.where(nodes.adjacent[:-1], head[:-1], head[1:]), head[-1])
    best = [head]
    for _ in range(PIECES):
        best.append(_extend(best[-1], fits.error, np.maximum)[0])
    greatest = np.array([b[-1] for b in best])

    bound = max(greatest.min() * _SLACK, greatest.min() + _SLACK_CODES)
    share = np.concatenate([[0], np.cumsum(nodes.share)])
    within = fits.error <= bound
    total_excess = np.where(within, fits.excess, 0) * np.maximum(share[1:][None] - share[:-1, None], 1e-9)
    # Of equally good starts the first: what lies between two adjacent nodes is best left to the later piece.
    total_excess = np.where(within, total_excess + 1e-6 * np.arange(len(share) - 1)[:, None], np.inf)
    total = np.where(head <= bound, head / 2 * share[1:], np.inf)
    totals, came_from = [total[-1]], list[NDArray[np.intp]]()
    for _ in range(PIECES):
        total, origin = _extend(total, total_excess, np.add)
        totals.append(total[-1])
        came_from.append(origin)
    pieces = int(np.flatnonzero(np.array(totals) <= min(totals) + _GOOD_ENOUGH)[0])
    breaks: list[int] = []
    end = len(nodes.v) - 1
    for origin in reversed(came_from[:pieces]):
        first = int(origin[end])
        breaks.append(first)
        end = first - 1
    return breaks[::-1]


def _extend(before: _Real, cost: _Real, join: Callable[[_Real, _Real], _Real]) -> tuple[_Real, NDArray[np.intp]]:
    """Append one piece: for each last node the best joined cost and the first node of that piece."""
    joined = join(np.concatenate([[np.inf], before[:-1]])[:, None], cost)
    origin = joined.argmin(axis=0)
    return joined[origin, np.arange(len(before))], origin


def _assemble(nodes: _Nodes, fits: _Fits, breaks: list[int]) -> ActivationTable:
    ends = [*(b - 1 for b in breaks), len(nodes.v) - 1][1:]
    pieces: list[Piece] = []
    for p, q in zip(breaks, ends, strict=True):
        slope, level = fits.slope[p, q], fits.level[p, q]
        if slope == 0:
            before = nodes.v[p - 1] if p and nodes.adjacent[p - 1] else nodes.v[p]
            piece = Piece(int(np.floor((nodes.v[p] + before) / 2)), 0, 0, int(level))
        else:
            mul, shift = fixed_point(float(slope), 16, MAXIMUM_SHIFT)
            start = nodes.v[p] + float(_start(slope, level))
            piece = Piece(int(np.rint(start)), mul, shift, int(_add(slope, level)))
        # What the extension has covered entirely is not needed.
        while pieces and pieces[-1].start >= piece.start:
            pieces.pop()
        pieces.append(piece)
    return ActivationTable.of(int(np.rint(nodes.code[0])), pieces)
