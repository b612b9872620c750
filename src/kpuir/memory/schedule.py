"""In which order steps are done decides how much is alive at once: steps in, an order out. Knows no IR.

A step waits for the steps before it whose bytes it reads or overwrites, and for those that read what it overwrites; any
order that keeps this gives the same results. Which buffers are alive depends only on what is done, not on its order,
so orders are searched as paths through sets of steps done: by sweeps that keep a few of the most promising sets, then,
where these do not reach what no order can avoid, exactly. What is looked at is counted, never seconds, so an order does
not depend on the machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import combinations
from typing import TypeAlias

EFFORT = 1 << 16
"""How many sets of steps a search of one space may look at, times the number of steps, which each of them costs."""
SCARCE = 64
"""So many times the effort is made for a space where the buffers do not fit."""
WIDTHS = (4, 16, 64)
"""How many sets of steps the sweeps keep at a time. The first reaches its end whatever the effort."""


@dataclass(frozen=True)
class Stored:
    """A buffer: its bytes, and in which space; lower spaces matter more.

    `filled`: before the first step; `kept`: behind the last.
    """

    size: int
    space: int = 0
    filled: bool = False
    kept: bool = False


@dataclass(frozen=True)
class Touch:
    """Bytes `start` to `end` of a buffer, by its number, that a step reads or writes."""

    buffer: int
    start: int
    end: int
    writes: bool


_Bytes: TypeAlias = tuple[int, ...]
"""In each space."""
_Path: TypeAlias = "tuple[_Path, int] | None"
"""An order backwards: all but its last step, and that one."""


@dataclass
class _State:
    """A set of steps that are done, as bits, and how it was reached with at most `peak` bytes alive.

    `ready`: what may be next, with the bytes that it adds to those alive while it is done, and behind it.
    """

    done: int
    ready: dict[int, tuple[_Bytes, _Bytes]]
    live: _Bytes
    peak: int = 0
    path: _Path = None

    def order(self) -> list[int]:
        """The steps that are done, from the first."""
        order: list[int] = []
        path = self.path
        while path is not None:
            path, step = path
            order.append(step)
        return order[::-1]


def schedule(
    steps: Sequence[Sequence[Touch]], buffers: Sequence[Stored], capacities: Sequence[int], effort: int = EFFORT
) -> list[int]:
    """An order of the steps, by their numbers, with fewer bytes alive at once than in theirs; theirs if none is found.

    `capacities`: the bytes of each space. The peak in space 0 counts first, then that in space 1, and so on; a peak is
    raised only if a space before it does not fit. No order is better where the exact search ends within the effort.
    """
    graph = _Graph(steps, buffers, len(capacities))
    best = list(range(len(steps)))
    peaks = graph.peaks(best)
    for space, capacity in enumerate(capacities):
        fits = peaks[space] <= capacity
        limits = [peak if fits or other <= space else sum(graph.sizes) for other, peak in enumerate(peaks)]
        search = _Search(graph, space, limits, (effort if fits else SCARCE * effort) // max(1, len(steps)))
        best = search.order() or best
        peaks = graph.peaks(best)
    return best


def predecessors(steps: Sequence[Sequence[Touch]]) -> list[int]:
    """For each step, as bits, the steps before it that have to stay there."""
    before = [0] * len(steps)
    touches: dict[int, list[tuple[int, Touch]]] = {}
    for number, step in enumerate(steps):
        for touch in step:
            touches.setdefault(touch.buffer, []).append((number, touch))
    for uses in touches.values():
        for (first, one), (second, other) in combinations(uses, 2):
            if first != second and (one.writes or other.writes) and one.start < other.end and other.start < one.end:
                before[second] |= 1 << first
    return before


def _bits(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set."""
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1


class _Graph:
    """Who waits for whom, and who uses which buffer. The caller is two more steps: done from the start, and never."""

    def __init__(self, steps: Sequence[Sequence[Touch]], buffers: Sequence[Stored], spaces: int) -> None:
        self.start, self.end = 1 << len(steps), 1 << len(steps) + 1
        self.spaces = spaces
        self.space_of = [buffer.space for buffer in buffers]
        self.sizes = [buffer.size for buffer in buffers]
        self.touched = [sorted({touch.buffer for touch in step}) for step in steps]
        self.users = [buffer.filled * self.start | buffer.kept * self.end for buffer in buffers]
        for step, touched in enumerate(self.touched):
            for buffer in touched:
                self.users[buffer] |= 1 << step
        self.before = predecessors(steps)
        self.behind: list[list[int]] = [[] for _ in steps]
        for step, before in enumerate(self.before):
            for other in _bits(before):
                self.behind[other].append(step)

    def first(self) -> _State:
        """Before all steps."""
        live = [0] * self.spaces
        for users, size, space in zip(self.users, self.sizes, self.space_of, strict=True):
            if users & self.start and users != self.start:
                live[space] += size
        ready = {step: self._effect(step, self.start) for step, before in enumerate(self.before) if not before}
        return _State(self.start, ready, tuple(live))

    def _effect(self, step: int, done: int) -> tuple[_Bytes, _Bytes]:
        """The bytes that a step adds to those alive, while it is done and behind it."""
        started, left = [0] * self.spaces, [0] * self.spaces
        behind = ~(done | 1 << step)
        for buffer in self.touched[step]:
            users, size, space = self.users[buffer], self.sizes[buffer], self.space_of[buffer]
            if not users & done:
                started[space] += size
                left[space] += size
            if not users & behind:
                left[space] -= size
        return tuple(started), tuple(left)

    def do(self, state: _State, step: int) -> None:
        """Do a step that is ready."""
        before, done = state.done, state.done | 1 << step
        state.done, state.path = done, (state.path, step)
        state.live = tuple(map(int.__add__, state.live, state.ready.pop(step)[1]))
        changed = {other for other in self.behind[step] if not self.before[other] & ~done}
        for buffer in self.touched[step]:
            users = self.users[buffer]
            left = users & ~done
            # The first user started it for the others; the one before the last leaves its end to that.
            if left and (not users & before or not left & (left - 1)):
                changed.update(other for other in _bits(left & ~self.end) if other in state.ready)
        for other in sorted(changed):
            state.ready[other] = self._effect(other, done)

    def peaks(self, order: Sequence[int]) -> _Bytes:
        """The most bytes that are alive at once in each space."""
        state = self.first()
        peaks = state.live
        for step in order:
            peaks = tuple(map(max, peaks, map(int.__add__, state.live, state.ready[step][0])))
            self.do(state, step)
        return peaks

    def bound(self, space: int) -> int:
        """Bytes of a space that are alive at once in every order.

        Whatever the order, a step finds a buffer alive if it, or a step that it waits for, uses it, and so does a step
        that waits for it.
        """
        count = len(self.before)
        earlier = [self.start | 1 << step for step in range(count)]
        later = [self.end | 1 << step for step in range(count)]
        for step, before in enumerate(self.before):
            for other in _bits(before):
                earlier[step] |= earlier[other]
        for step in reversed(range(count)):
            for other in self.behind[step]:
                later[step] |= later[other]
        buffers = [
            (users, size)
            for users, size, there in zip(self.users, self.sizes, self.space_of, strict=True)
            if there == space
        ]
        alive = (
            sum(size for users, size in buffers if users & before and users & behind)
            for before, behind in zip(earlier, later, strict=True)
        )
        return max(self.first().live[space], max(alive, default=0))


class _Search:
    """For an order with less than `limits` alive in one space, and no more than that in the others."""

    def __init__(self, graph: _Graph, space: int, limits: Sequence[int], trials: int) -> None:
        self._graph = graph
        self._space = space
        self._limits = [limit - (other == space) for other, limit in enumerate(limits)]
        self._trials = trials
        self._left = trials

    def order(self) -> list[int] | None:
        """The best order that is found."""
        bound = self._graph.bound(self._space)
        if bound > self._limits[self._space]:
            return None
        first = self._graph.first()
        first.peak = bound
        self._settle(first)
        best = None
        for width in WIDTHS:
            best = self._sweep(first, width) or best
            if self._left <= 0 or bound > self._limits[self._space]:
                break
        self._left = self._trials
        exact = self._exact(first) if bound <= self._limits[self._space] else None
        best = exact or best
        return None if best is None else best.order()

    def _found(self, state: _State) -> _State:
        """A way to the end; from now on only better ones are looked at."""
        self._limits[self._space] = state.peak - 1
        return state

    def _sweep(self, first: _State, width: int) -> _State | None:
        """A good way to the end, from the few most promising states at each number of choices."""
        kept, best = [first], None
        while kept and (self._left > 0 or width == WIDTHS[0]):
            found: dict[tuple[int, ...], _State] = {}
            for state in kept:
                for follower in self._followers(state, 2 * width):
                    if not follower.ready:
                        best = self._found(follower)
                    # Of states that look alike, branches of the same kind, one is enough.
                    found.setdefault((follower.peak, follower.live[self._space], len(follower.ready)), follower)
            kept = [found[key] for key in sorted(found)[:width] if found[key].ready]
        return best

    def _exact(self, first: _State) -> _State | None:
        """The way to the end with the lowest peak: states are looked at in the order of theirs, the latest first."""
        queue = [(first.peak, 0, first)]
        seen: set[int] = set()
        serial = 0
        while queue and self._left > 0:
            state = heappop(queue)[-1]
            if not state.ready:
                return state
            if state.done in seen:
                continue
            seen.add(state.done)
            for follower in self._followers(state, len(state.ready)):
                if follower.done not in seen:
                    serial -= 1
                    heappush(queue, (follower.peak, serial, follower))
        return None

    def _followers(self, state: _State, most: int) -> Iterator[_State]:
        """What may come next within the limits: behind the steps, at most so many, that leave the least alive."""
        space = self._space
        steps = sorted((behind[space], during[space], step) for step, (during, behind) in state.ready.items())
        for _, more, step in steps[:most]:
            if all(map(int.__le__, map(int.__add__, state.live, state.ready[step][0]), self._limits)):
                self._left -= 1
                peak = max(state.peak, state.live[space] + more)
                follower = _State(state.done, state.ready.copy(), state.live, peak, state.path)
                self._graph.do(follower, step)
                self._settle(follower)
                yield follower

    def _settle(self, state: _State) -> None:
        """Do all steps that cost nothing now.

        A step that leaves no more alive than before, and takes no more meanwhile than was taken already, may as well
        be next: done earlier, it starts no more buffers for the others, and ends no fewer.
        """
        allowed = self._limits.copy()
        allowed[self._space] = state.peak
        free: int | None = -1
        while free is not None:
            room = list(map(int.__sub__, allowed, state.live))
            free = next(
                (
                    step
                    for step, (during, behind) in state.ready.items()
                    if max(behind) <= 0 and all(map(int.__le__, during, room))
                ),
                None,
            )
            if free is not None:
                self._graph.do(state, free)
