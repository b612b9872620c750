"""In which order steps are done decides how much is alive at once: steps in, an order out. Knows no IR.

A step waits for the steps before it whose bytes it reads or overwrites, and for those that read what it overwrites; any
order that keeps this gives the same results. Which buffers are alive depends only on what is done, not on its order,
so orders are searched as paths through sets of steps done. Where these are few the search is exact; otherwise it keeps
the most promising ones. It counts what it tries, never seconds, so an order does not depend on the machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import combinations

TRIALS = 4096
"""How often the exact search tries a step, for each space, before it gives way to the other, which may as often."""
WIDTH = 4
"""How many sets of steps the other keeps at a time."""


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


@dataclass(frozen=True)
class _State:
    """What is done, as bits, what may be next, what is alive in each space, and the most that was, in one."""

    done: int
    ready: tuple[int, ...]
    live: tuple[int, ...]
    peak: int
    order: tuple[int, ...]


def schedule(steps: Sequence[Sequence[Touch]], buffers: Sequence[Stored], trials: int = TRIALS) -> list[int]:
    """An order of the steps, by their numbers, with fewer bytes alive at once than in theirs; theirs if none is found.

    The peak in space 0 counts first, then that in space 1, and so on. None is better where the search ends within
    `trials`.
    """
    graph = _Graph(steps, buffers)
    best = list(range(len(steps)))
    most = graph.peaks(best)
    for space in range(len(most)):
        bound = graph.bound(space, most[space])
        found = None if bound == most[space] else graph.lowered(space, most, bound, trials)
        if found is not None:
            best, most = found, graph.peaks(found)
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


class _Graph:
    """Who waits for whom, and who uses which buffer. The caller is two more steps: done from the start, and never."""

    def __init__(self, steps: Sequence[Sequence[Touch]], buffers: Sequence[Stored]) -> None:
        count = len(steps)
        self.start, self.end = 1 << count, 1 << count + 1
        self.all = self.start | (self.start - 1)
        self.buffers = buffers
        self.left = 0
        self.spaces = 1 + max((buffer.space for buffer in buffers), default=0)
        self.touched = [sorted({touch.buffer for touch in step}) for step in steps]
        self.users = [buffer.filled * self.start | buffer.kept * self.end for buffer in buffers]
        for step, touched in enumerate(self.touched):
            for buffer in touched:
                self.users[buffer] |= 1 << step
        self.before = predecessors(steps)
        self.behind: list[list[int]] = [[] for _ in steps]
        for step, before in enumerate(self.before):
            for other in range(step):
                if before >> other & 1:
                    self.behind[other].append(step)

    def first(self) -> _State:
        """Before all steps."""
        live = [0] * self.spaces
        for buffer, users in zip(self.buffers, self.users, strict=True):
            if users & self.start and users != self.start:
                live[buffer.space] += buffer.size
        ready = tuple(step for step, before in enumerate(self.before) if not before)
        return _State(self.start, ready, tuple(live), 0, ())

    def during(self, state: _State, step: int) -> tuple[list[int], list[int]]:
        """What is alive in each space while a step is done, and after it."""
        self.left -= 1
        during, freed = list(state.live), [0] * self.spaces
        left = ~(state.done | 1 << step)
        for number in self.touched[step]:
            buffer, users = self.buffers[number], self.users[number]
            if not users & state.done:
                during[buffer.space] += buffer.size
            if not users & left:
                freed[buffer.space] += buffer.size
        return during, [most - size for most, size in zip(during, freed, strict=True)]

    def behind_step(self, state: _State, step: int, live: Sequence[int], peak: int) -> _State:
        """What is done when a step is, too."""
        done = state.done | 1 << step
        opened = [other for other in self.behind[step] if not self.before[other] & ~done]
        ready = tuple(sorted([other for other in state.ready if other != step] + opened))
        return _State(done, ready, tuple(live), peak, (*state.order, step))

    def cheaper(self, state: _State, step: int) -> list[int]:
        """The steps that a step opens, or that cost less behind it: a buffer is there already, or one is its last."""
        done = state.done | 1 << step
        found = list(self.behind[step])
        for number in self.touched[step]:
            left = self.users[number] & ~done & ~self.end
            if left and (not self.users[number] & state.done or not left & (left - 1)):
                found += (other for other in range(left.bit_length()) if left >> other & 1)
        return found

    def peaks(self, order: Sequence[int]) -> tuple[int, ...]:
        """The most bytes that are alive at once in each space."""
        state = self.first()
        peaks = state.live
        for step in order:
            during, live = self.during(state, step)
            peaks = tuple(map(max, peaks, during))
            state = self.behind_step(state, step, live, 0)
        return peaks

    def bound(self, space: int, most: int) -> int:
        """Bytes of a space, at most `most`, that are alive at once in every order.

        Whatever the order, a step finds a buffer alive if it, or a step that it waits for, uses it, and so does a step
        that waits for it.
        """
        earlier, later = [self.start] * len(self.before), [self.end] * len(self.before)
        for step, before in enumerate(self.before):
            earlier[step] |= 1 << step
            for other in range(step):
                if before >> other & 1:
                    earlier[step] |= earlier[other]
        for step in reversed(range(len(later))):
            later[step] |= 1 << step
            for other in self.behind[step]:
                later[step] |= later[other]
        sizes = [
            (users, buffer.size)
            for buffer, users in zip(self.buffers, self.users, strict=True)
            if buffer.space == space
        ]
        bound = self.first().live[space]
        for before, behind in zip(earlier, later, strict=True):
            bound = max(bound, sum(size for users, size in sizes if users & before and users & behind))
            if bound == most:
                break
        return bound

    def lowered(self, space: int, most: Sequence[int], bound: int, trials: int) -> list[int] | None:
        """An order with less than `most` in a space, and no more than that in the spaces before it."""
        limits = (*most[:space], most[space] - 1)
        first = self.first()
        first = self._settled(_State(first.done, first.ready, first.live, bound, ()), limits, list(first.ready))
        self.left = trials
        found, ended = self._exact(first, limits)
        if ended:
            return found
        self.left = TRIALS
        return self._beam(first, limits)

    def _exact(self, first: _State, limits: Sequence[int]) -> tuple[list[int] | None, bool]:
        """The order of the lowest peak, and whether all was seen: states are looked at in the order of theirs."""
        queue = [(first.peak, -len(first.order), 0, first)]
        seen: set[int] = set()
        serial = 0
        while queue and self.left > 0:
            state = heappop(queue)[-1]
            if state.done == self.all:
                return list(state.order), True
            if state.done in seen:
                continue
            seen.add(state.done)
            for follower in self._followers(state, limits):
                if follower.done not in seen:
                    serial += 1
                    heappush(queue, (follower.peak, -len(follower.order), serial, follower))
        return None, not queue

    def _beam(self, first: _State, limits: Sequence[int]) -> list[int] | None:
        """A good order, from the few most promising states at each number of choices."""
        kept, best = [first], None
        while kept and self.left > 0:
            followers: dict[int, _State] = {}
            for state in kept:
                for follower in self._followers(state, limits):
                    known = followers.get(follower.done)
                    if known is None or follower.peak < known.peak:
                        followers[follower.done] = follower
            for state in followers.values():
                if state.done == self.all and (best is None or state.peak < best.peak):
                    best = state
            open_ = [s for s in followers.values() if s.done != self.all and (best is None or s.peak < best.peak)]
            kept = sorted(open_, key=lambda state: (state.peak, state.live[len(limits) - 1], state.order))[:WIDTH]
        return None if best is None else list(best.order)

    def _followers(self, state: _State, limits: Sequence[int]) -> Iterator[_State]:
        """What may come next within the limits."""
        for step in state.ready:
            during, live = self.during(state, step)
            if all(most <= limit for most, limit in zip(during, limits, strict=False)):
                peak = max(state.peak, during[len(limits) - 1])
                yield self._settled(self.behind_step(state, step, live, peak), limits, self.cheaper(state, step))

    def _settled(self, state: _State, limits: Sequence[int], waiting: list[int]) -> _State:
        """The state behind all steps that cost nothing now, of those `waiting` and what gets cheaper by them.

        A step that leaves no more alive than before, and takes no more meanwhile than was taken already, may as well
        be next: done earlier, it starts no more buffers for the others, and ends no fewer.
        """
        allowed = (*limits[:-1], state.peak)
        while waiting:
            step = waiting.pop(0)
            if step not in state.ready:
                continue
            during, live = self.during(state, step)
            if all(a <= b for a, b in zip(during, allowed, strict=False)) and all(
                a <= b for a, b in zip(live, state.live[: len(limits)], strict=False)
            ):
                waiting += self.cheaper(state, step)
                state = self.behind_step(state, step, live, state.peak)
        return state
