"""Which buffers give up their bytes for a while so that the others fit: accesses in, cuts out. Knows no IR.

A buffer is cut between two steps that use it. Before the cut and after it, it takes other bytes, and only as many as
are used there; what is written before and read behind it is either copied at the end of the wait (`Way.COPY`: the bytes
before the cut stay until then, which helps where they are a part of the whole) or waits elsewhere (`Way.AWAY`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Way(Enum):
    """How bytes get over a cut."""

    COPY = auto()
    AWAY = auto()


@dataclass(frozen=True)
class Moves:
    """What it costs to copy what was written, to send it away once, and to bring it back each time."""

    copy: float
    away: float
    back: float


@dataclass(frozen=True)
class Access:
    """Bytes `start` to `end` of a buffer, used at a step; `moves` where they are written, None where they are read."""

    step: int
    start: int
    end: int
    moves: Moves | None = None


Cuts = dict[int, Way]
"""Where a buffer is cut, by the number of the access behind the cut, and how its bytes get there."""


@dataclass(frozen=True)
class Segment:
    """Accesses `first` to `behind` (excluded) of a buffer between two cuts, and the bytes it needs for them.

    `restored` are the numbers of earlier accesses, which wrote what has to be there before the first one.
    """

    first: int
    behind: int
    way: Way | None
    restored: tuple[int, ...]
    start: int
    end: int


def segments(accesses: Sequence[Access], cuts: Cuts) -> list[Segment]:
    """The parts of a buffer's life, in order; `accesses` are in order too."""
    bounds = [0, *sorted(cuts), len(accesses)]
    found: list[Segment] = []
    for first, behind in reversed(list(pairwise(bounds))):
        carried = found[-1].restored if found and found[-1].way is Way.COPY else ()
        reads = [access for access in accesses[first:behind] if access.moves is None]
        restored = tuple(
            index
            for index, written in enumerate(accesses[:first])
            if written.moves is not None
            and (index in carried or any(r.start < written.end and written.start < r.end for r in reads))
        )
        used = [accesses[index] for index in (*restored, *range(first, behind))]
        start, end = min(access.start for access in used), max(access.end for access in used)
        found.append(Segment(first, behind, cuts.get(first), restored, start, end))
    return found[::-1]


def cost(accesses: Sequence[Access], cuts: Cuts) -> float:
    """What all copies and ways of a buffer cost."""
    total, sent = 0.0, set[int]()
    for segment in segments(accesses, cuts):
        for index in segment.restored:
            moves = accesses[index].moves
            assert moves is not None
            total += moves.copy if segment.way is Way.COPY else moves.back
        if segment.way is Way.AWAY:
            sent.update(segment.restored)
    return total + sum(moves.away for index in sent if (moves := accesses[index].moves) is not None)


def plan(buffers: Sequence[Sequence[Access]], limit: int) -> list[Cuts]:
    """The cuts of each buffer after which `limit` bytes suffice at every step, or nearly where there are no such.

    Greedy: the cut that saves most bytes above the limit for its cost comes first; cuts that others made superfluous
    are taken back. Each buffer is given by its accesses in order.
    """
    steps = max((accesses[-1].step for accesses in buffers), default=0)
    chosen = _Plan(buffers, limit, steps)
    while chosen.excess() and (chosen.improve() or chosen.improve(short=True)):
        pass
    chosen.relax()
    return chosen.cuts


def live_bytes(accesses: Sequence[Access], cuts: Cuts, steps: int) -> "NDArray[np.int64]":
    """The bytes a buffer takes in front of each step and at it: entries 2 * step + 1 and 2 * step + 2."""
    import numpy as np

    live = np.zeros(2 * steps + 3, np.int64)
    parts = segments(accesses, cuts)
    for segment, following in zip(parts, [*parts[1:], None], strict=True):
        first = 2 * accesses[segment.first].step + (1 if segment.restored else 2)
        last = 2 * accesses[segment.behind - 1].step + 2
        if following is not None and following.way is Way.COPY and following.restored:
            last = 2 * accesses[following.first].step + 1
        live[first : last + 1] += segment.end - segment.start
    return live


class _Plan:
    """Cuts that grow until all buffers fit."""

    def __init__(self, buffers: Sequence[Sequence[Access]], limit: int, steps: int) -> None:
        import numpy as np

        self.buffers, self.limit, self.steps = buffers, limit, steps
        self.cuts: list[Cuts] = [{} for _ in buffers]
        self.each = [live_bytes(accesses, {}, steps) for accesses in buffers]
        self.live = sum(self.each, start=np.zeros(2 * steps + 3, np.int64))

    def excess(self, live: "NDArray[np.int64] | None" = None) -> int:
        """The bytes above the limit, summed over all steps."""
        return int((self.live if live is None else live).clip(self.limit).sum() - self.limit * len(self.live))

    def improve(self, *, short: bool = False) -> bool:
        """Make the best change that saves bytes above the limit; return whether there is one.

        A `short` wait ends with the next step: bytes written for one that needs them all need not be there before.
        """
        best: tuple[float, int, Cuts] | None = None
        for number, cuts in self._changes(short):
            saved = self.excess() - self.excess(self._with(number, cuts))
            price = self._price(number, cuts)
            if saved <= 0 or price == inf:
                continue
            worth = saved / price if price > 0 else inf
            if best is None or worth > best[0]:
                best = worth, number, cuts
        if best is None:
            return False
        self._set(*best[1:])
        return True

    def relax(self) -> None:
        """Take back cuts, or copy instead, where no more bytes than now are above the limit then; the dearest first."""
        dearest = sorted(range(len(self.cuts)), key=lambda each: -cost(self.buffers[each], self.cuts[each]))
        for number, index in [(each, index) for each in dearest for index in self.cuts[each]]:
            kept = {other: way for other, way in self.cuts[number].items() if other != index}
            for cuts in (kept, {**kept, index: Way.COPY}):
                if self.excess(self._with(number, cuts)) <= self.excess() and self._price(number, cuts) < 0:
                    self._set(number, cuts)
                    break

    def _changes(self, short: bool) -> Iterator[tuple[int, Cuts]]:
        """Every other way over every wait during which there are too many bytes, or with `short` right before it."""
        full = self.live > self.limit
        for number, accesses in enumerate(self.buffers):
            for index in range(1, len(accesses)):
                before, behind = accesses[index - 1].step, accesses[index].step
                waits = full[2 * before + 2 : 2 * behind + 2] if short else full[2 * before + 3 : 2 * behind + 2]
                if behind - before < (1 if short else 2) or not waits.any():
                    continue
                for way in Way:
                    if self.cuts[number].get(index) is not way:
                        yield number, {**self.cuts[number], index: way}

    def _price(self, number: int, cuts: Cuts) -> float:
        return cost(self.buffers[number], cuts) - cost(self.buffers[number], self.cuts[number])

    def _with(self, number: int, cuts: Cuts) -> "NDArray[np.int64]":
        """The bytes of all buffers if one were cut like this."""
        return self.live - self.each[number] + live_bytes(self.buffers[number], cuts, self.steps)

    def _set(self, number: int, cuts: Cuts) -> None:
        self.live = self._with(number, cuts)
        self.cuts[number], self.each[number] = cuts, live_bytes(self.buffers[number], cuts, self.steps)
