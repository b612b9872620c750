"""Whether buffers fit below a capacity: a depth-first search through all allocations that could not fall any lower.

What lies on nothing can be lowered, so only allocations are looked at in which every buffer lies at 0 or on another
one (Moffitt, MiniMalloc, 2023). The buffer with the lowest place left to it is placed there; where that leads to
nothing it has to wait until it is lifted by another one. A branch ends where what is left cannot be stacked below the
capacity at some time; parts of the problem that no buffer connects in time are placed separately.

Which of several buffers comes first decides whether the search takes a moment or for ever, so several orders are tried
in rounds: by area (size times life) and by life, with more nodes in each round, and more and more often for a short
time those first that are alive when nothing fitted before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from kpuir.memory.buffers import Buffer

if TYPE_CHECKING:
    from kpuir.memory.exact_loops import Integers, Problem

_SHORT = 1000
"""Nodes of a short search."""


@dataclass(frozen=True)
class Found:
    """Offsets by name, or None: then there are none if that is `proved`. `nodes`: partial allocations looked at."""

    offsets: Mapping[str, int] | None
    proved: bool
    nodes: int


class Searcher:
    """Searches for allocations of the same buffers; `conflicts` are those in the way of each. None has 0 bytes."""

    def __init__(self, buffers: Sequence[Buffer], conflicts: Mapping[str, Sequence[Buffer]]) -> None:
        self._buffers = buffers
        self.grain = gcd(*(number for b in buffers for number in (b.size, b.alignment, b.fixed_offset or 0)))
        numbers = {b.name: index for index, b in enumerate(buffers)}
        self._near = np.zeros((len(buffers), len(buffers)), np.bool_)
        for name, others in conflicts.items():
            self._near[numbers[name], [numbers[other.name] for other in others]] = True
        self._low, self._high = _slots(buffers)
        self._size = np.array([b.size // self.grain for b in buffers], np.int64)
        self._slots = int(self._high.max()) + 1
        width = np.array([b.last - b.first + 1 for b in buffers], np.int64)
        live = np.array([self._size[(self._low <= t) & (t <= self._high)].sum() for t in range(self._slots)])
        self._area, self._width, self._total = self._size * width, width, self._over(live)

    def search(self, capacity: int, nodes: int) -> Found:
        """Look at up to `nodes` partial allocations below `capacity` bytes."""
        used = 0
        for order, effort, failures in self._rounds():
            effort = min(nodes - used, effort)
            result, offsets, seen = self._try(order, capacity // self.grain, effort, failures)
            used += seen
            if result >= 0:
                return Found(self._named(order, offsets) if result else None, True, used)
            if used >= nodes:
                break
        return Found(None, False, used)

    def _rounds(self) -> "Iterator[tuple[Integers, int, Integers]]":
        """Orders, the nodes to spend on each, and where failures in each slot are counted; without end."""
        by_area = np.argsort(-self._area, kind="stable")
        by_life = np.lexsort((-self._total, -self._area, -self._width))
        failures, ignored = np.zeros(self._slots, np.int64), np.zeros(self._slots, np.int64)
        longer = 1
        while True:
            yield by_area, _SHORT * longer, ignored
            yield by_life, _SHORT * longer, ignored
            for _ in range(2 * longer):
                by_failures = np.lexsort((-self._area, -self._width, -self._total, -self._over(failures)))
                failures //= 2  # the latest count most
                yield by_failures, _SHORT, failures
            longer *= 2

    def _over(self, by_slot: "Integers") -> "Integers":
        """The largest of some numbers during the life of each buffer."""
        return np.array([by_slot[low : high + 1].max() for low, high in zip(self._low, self._high, strict=True)])

    def _try(self, order: "Integers", capacity: int, nodes: int, failures: "Integers") -> "tuple[int, Integers, int]":
        from kpuir.memory.exact_loops import search

        return search(self._problem(order), capacity, nodes, failures)

    def _problem(self, order: "Integers") -> "Problem":
        from kpuir.memory.exact_loops import Problem

        low, high, near = self._low[order], self._high[order], self._near[np.ix_(order, order)]
        buffers = [self._buffers[index] for index in order]
        beyond = near & ((low[:, None] > high) | (low > high[:, None]))
        seen: dict[tuple[int, ...], int] = {}
        kind = [
            index
            if beyond[index].any() or b.fixed_offset is not None
            else seen.setdefault((low[index], high[index], b.size, b.alignment), index)
            for index, b in enumerate(buffers)
        ]
        return Problem(
            low,
            high,
            self._size[order],
            np.array([b.alignment // self.grain for b in buffers], np.int64),
            np.array([-1 if b.fixed_offset is None else b.fixed_offset // self.grain for b in buffers], np.int64),
            np.array(kind, np.int64),
            np.concatenate([[0], np.cumsum(near.sum(axis=1))]).astype(np.int64),
            np.nonzero(near)[1].astype(np.int64),
            np.where(beyond, low, low[:, None]).min(axis=1),
            np.where(beyond, high, high[:, None]).max(axis=1),
        )

    def _named(self, order: "Integers", offsets: "Integers") -> dict[str, int]:
        return {self._buffers[b].name: int(offset) * self.grain for b, offset in zip(order, offsets, strict=True)}


def _slots(buffers: Sequence[Buffer]) -> "tuple[Integers, Integers]":
    """The first and last slot of each buffer: of all steps, only those matter at which most buffers are alive.

    A slot ends where a buffer's life ends after another one's began.
    """
    events = sorted([(b.first, 0, i) for i, b in enumerate(buffers)] + [(b.last, 1, i) for i, b in enumerate(buffers)])
    low, high = np.zeros(len(buffers), np.int64), np.zeros(len(buffers), np.int64)
    slot, grew = -1, False
    for _, ends, index in events:
        if ends:
            high[index], grew = slot, False
        else:
            slot, grew = (slot, True) if grew else (slot + 1, True)
            low[index] = slot
    return low, high
