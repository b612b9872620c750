"""The inner loops of the exact search, compiled by numba. See `exact` for what is searched and why."""

# pyright: reportUnknownVariableType=false, reportUntypedFunctionDecorator=false

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]

FOUND, NONE, UNKNOWN = 1, 0, -1

_COUNT, _CHOSEN, _START, _MARK, _OWNER, _ALONE, _PARTS, _WAITING = range(8)
"""What a decision remembers: how many buffers there were, which one was placed; entries of `undo` before it and before
that; the decision to return to where nothing works; whether nothing lies on the buffer; and what was waiting."""


class Problem(NamedTuple):
    """Buffers in the order in which they are tried, alive in the time slots `low` to `high`.

    `fixed` is an offset or -1, `kind` the number of a buffer that it could change places with. `near` lists the buffers
    in the way of each: those of buffer b are near[near_start[b]:near_start[b + 1]]. `joined_low` and `joined_high` are
    the slots a part of the problem has to cover to hold a buffer and everything in its way.
    """

    low: Integers
    high: Integers
    size: Integers
    alignment: Integers
    fixed: Integers
    kind: Integers
    near_start: Integers
    near: Integers
    joined_low: Integers
    joined_high: Integers


class _State(NamedTuple):
    """Where the search is. `least` is the lowest offset that the buffers placed so far leave to each.

    `undo` holds (buffer, least, asleep) as they were; `items` by decision the unplaced buffers of its part; `place` the
    lowest offset that is known to be left; `stack` by slot how high they reach at least.
    """

    least: Integers
    placed: NDArray[np.bool_]
    asleep: NDArray[np.bool_]
    undo: Integers
    used: Integers  # one number: entries in `undo`
    items: Integers
    place: Integers
    stack: Integers
    weight: Integers  # by slot: how often nothing fitted there


@njit(cache=True)
def search(problem: Problem, capacity: int, nodes: int, weight: Integers) -> tuple[int, Integers, int]:
    """(FOUND, NONE or UNKNOWN, the offsets if found, how many of so many nodes were looked at)."""
    count, slots = len(problem.size), problem.joined_high.max() + 1
    state = _State(
        np.zeros(count, np.int64),
        np.zeros(count, np.bool_),
        np.zeros(count, np.bool_),
        np.zeros((2 * len(problem.near) + 3 * count, 3), np.int64),
        np.zeros(1, np.int64),
        np.zeros((count + 1, count), np.int64),
        np.zeros(count, np.int64),
        np.zeros(slots, np.int64),
        weight,
    )
    for b in range(count):
        state.least[b] = problem.fixed[b] if problem.fixed[b] >= 0 else _above_fixed(problem, b, 0)
    decisions = np.zeros((count + 1, 8), np.int64)
    # Parts of the problem that nothing connects wait one behind another: where they begin, and whose they are.
    waiting, parts = np.arange(count), np.zeros((count + 1, 2), np.int64)
    parts[0, 1], left, inside = -1, 1, count
    depth, seen = 0, 0
    while left > 0:
        left -= 1
        owner, begin = parts[left, 1], parts[left, 0]
        connected = _connected(problem, waiting, begin, inside, state.stack)
        here = decisions[depth]
        here[_COUNT], here[_OWNER], here[_START] = inside - connected, owner, state.used[0]
        state.items[depth, : inside - connected] = waiting[connected:inside]
        inside = connected
        if connected > begin:
            left += 1
        while True:
            here = decisions[depth]
            items = state.items[depth, : here[_COUNT]]
            if _bound(problem, state, capacity, items):
                if seen == nodes:
                    return UNKNOWN, state.least, seen
                seen += 1
                b = _lowest(state, items)
                here[_CHOSEN], here[_MARK], here[_PARTS], here[_WAITING] = b, state.used[0], left, inside
                if _put(problem, state, capacity, b):
                    here[_ALONE] = state.used[0] == here[_MARK] + 1
                    parts[left, 0], parts[left, 1] = inside, depth
                    for other in items:
                        if other != b:
                            waiting[inside] = other
                            inside += 1
                    if len(items) > 1:
                        left += 1
                    depth += 1
                    break
                here[_ALONE] = 0
            else:
                _undo(state, here[_START])
                depth = here[_OWNER]
                if depth < 0:
                    return NONE, state.least, seen
            # The last placement of decision `depth` led to nothing, whatever was tried after it.
            while True:
                here = decisions[depth]
                _undo(state, here[_MARK])
                left, inside, b = here[_PARTS], here[_WAITING], here[_CHOSEN]
                if not here[_ALONE] and problem.fixed[b] < 0:
                    break
                _undo(state, here[_START])  # nothing lies on it, so it has no part in that; or it has no other place
                depth = here[_OWNER]
                if depth < 0:
                    return NONE, state.least, seen
            _put_to_sleep(problem, state, b)
    return FOUND, state.least, seen


@njit(cache=True)
def _connected(problem: Problem, waiting: Integers, begin: int, end: int, reach: Integers) -> int:
    """Move a part of waiting[begin:end] that nothing connects to the rest to its end; return where it begins there."""
    first, last = problem.joined_low[waiting[begin]], problem.joined_high[waiting[begin]]
    for b in waiting[begin:end]:
        first, last = min(first, problem.joined_low[b]), max(last, problem.joined_high[b])
    reach[first : last + 1] = -1
    for b in waiting[begin:end]:
        reach[problem.joined_low[b]] = max(reach[problem.joined_low[b]], problem.joined_high[b])
    furthest, cut = first, first
    for t in range(first, last + 1):
        if t > furthest:
            cut = t
        furthest = max(furthest, reach[t])
    if cut == first:
        return begin
    middle = end
    k = begin
    while k < middle:
        if problem.joined_low[waiting[k]] >= cut:
            middle -= 1
            waiting[k], waiting[middle] = waiting[middle], waiting[k]
        else:
            k += 1
    return middle


@njit(cache=True)
def _above_fixed(problem: Problem, b: int, offset: int) -> int:
    """The lowest aligned place of `b` from `offset` on that no fixed buffer, placed or not, is in the way of."""
    moved = True
    while moved:
        moved = False
        offset += -offset % problem.alignment[b]
        for other in problem.near[problem.near_start[b] : problem.near_start[b + 1]]:
            begin = problem.fixed[other]
            if begin >= 0 and offset < begin + problem.size[other] and begin < offset + problem.size[b]:
                offset = int(begin + problem.size[other])
                moved = True
    return offset


@njit(cache=True)
def _note(state: _State, b: int) -> None:
    """Keep how a buffer is that is not placed."""
    entry = state.undo[state.used[0]]
    entry[0], entry[1], entry[2] = b, state.least[b], state.asleep[b]
    state.used[0] += 1


@njit(cache=True)
def _undo(state: _State, mark: int) -> None:
    """Let everything be as it was when `undo` had `mark` entries."""
    while state.used[0] > mark:
        state.used[0] -= 1
        entry = state.undo[state.used[0]]
        b = entry[0]
        state.least[b], state.asleep[b], state.placed[b] = entry[1], entry[2] != 0, False


@njit(cache=True)
def _put(problem: Problem, state: _State, capacity: int, b: int) -> bool:
    """Place `b` and lift what is in its way; False where that is too high for one of them."""
    _note(state, b)
    state.placed[b] = True
    top = state.least[b] + problem.size[b]
    for other in problem.near[problem.near_start[b] : problem.near_start[b + 1]]:
        if state.placed[other] or state.least[other] >= top:
            continue
        if problem.fixed[other] >= 0:
            return False
        _note(state, other)
        state.asleep[other] = False
        state.least[other] = _above_fixed(problem, other, top)
        if state.least[other] + problem.size[other] > capacity:
            return False
    return True


@njit(cache=True)
def _put_to_sleep(problem: Problem, state: _State, b: int) -> None:
    """From now on `b` has to be lifted by something that is not placed yet; so have all just like it."""
    _note(state, b)
    state.asleep[b] = True
    for other in problem.near[problem.near_start[b] : problem.near_start[b + 1]]:
        if (
            problem.kind[other] == problem.kind[b]
            and not state.placed[other]
            and not state.asleep[other]
            and state.least[other] == state.least[b]
        ):
            _note(state, other)
            state.asleep[other] = True


@njit(cache=True)
def _lowest(state: _State, items: Integers) -> int:
    """The buffer with the lowest place, of several the one that comes first. It is not asleep: what could lift it?"""
    b = items[0]
    for other in items:
        if state.place[other] < state.place[b] or (state.place[other] == state.place[b] and other < b):
            b = other
    return b


@njit(cache=True)
def _bound(problem: Problem, state: _State, capacity: int, items: Integers) -> bool:
    """Whether all of a part could still be stacked below the capacity in each slot; sorts `items` by their places.

    What sleeps lies on something that is not placed yet. In each slot the buffers are stacked by the lowest place each
    can have: one machine, jobs with release dates.
    """
    place, stack = state.place, state.stack
    for b in items:
        place[b] = capacity if state.asleep[b] else state.least[b]
    lower = True
    while lower:
        lower = False
        for b in items:
            if state.asleep[b]:
                for other in problem.near[problem.near_start[b] : problem.near_start[b + 1]]:
                    if not state.placed[other]:
                        offset = max(state.least[b], place[other] + problem.size[other])
                        if offset < place[b]:
                            place[b] = offset
                            lower = True
    for k in range(len(items)):
        b = items[k]
        if place[b] + problem.size[b] > capacity:
            state.weight[problem.low[b] : problem.high[b] + 1] += 1
            return False
        stack[problem.low[b] : problem.high[b] + 1] = 0
        j = k
        while j > 0 and place[items[j - 1]] > place[b]:
            items[j] = items[j - 1]
            j -= 1
        items[j] = b
    for b in items:
        for t in range(problem.low[b], problem.high[b] + 1):
            stack[t] = max(stack[t], place[b]) + problem.size[b]
            if stack[t] > capacity:
                state.weight[t] += 1
                return False
    return True
