"""Places buffers: best fit in a few greedy orders, the lowest peak wins.

On the networks people run on the K210 one of these orders nearly always meets the lower bound, which proves that
nothing better exists; the search stops there. Everything is deterministic: ties are broken by the order given.
"""

from collections.abc import Callable, Sequence

from kpuir.memory.bounds import lower_bound
from kpuir.memory.buffers import Allocation, Buffer

_Order = Callable[[Buffer, int, int], tuple[int, ...]]
"""Sort key of a buffer, its number of conflicts and its contention (the largest live sum during its life)."""

_ORDERS: tuple[_Order, ...] = (
    lambda b, conflicts, contention: (-b.size,),
    lambda b, conflicts, contention: (-contention, b.first - b.last, -b.size),
    lambda b, conflicts, contention: (-conflicts, -b.size),
    lambda b, conflicts, contention: (-b.size * (b.last - b.first + 1),),
    lambda b, conflicts, contention: (b.first - b.last, -b.size),
    lambda b, conflicts, contention: (b.first, -b.size),
)

_REPAIRS = 200
"""How often an allocation above the capacity is tried to be repaired."""


def allocate(buffers: Sequence[Buffer], capacity: int | None = None) -> Allocation:
    """Offsets at which no two buffers that live at the same time overlap, with a low peak.

    Where the orders leave the peak above `capacity` bytes, the best one is repaired step by step; the result may still
    be above: compare. Raises ValueError for two buffers of one name or two fixed ones in each other's way.
    """
    _check_names(buffers)
    movable = [b for b in buffers if b.fixed_offset is None and b.size]
    placed = {b.name: b.fixed_offset for b in buffers if b.fixed_offset is not None}
    placed |= {b.name: 0 for b in buffers if b.fixed_offset is None and not b.size}
    conflicts = _conflicts([b for b in buffers if b.size])
    _check_fixed(placed, conflicts)
    bound = lower_bound(buffers)
    best: tuple[Allocation, list[Buffer], bool] | None = None
    for order in _ORDERS:
        ordered = sorted(movable, key=_key(order, conflicts))
        for tight in (True, False):
            found = _measured(buffers, _place(ordered, placed, conflicts, tight))
            if best is None or found.peak < best[0].peak:
                best = found, ordered, tight
            if found.peak == bound:
                return found
    assert best is not None
    allocation, ordered, tight = best
    limit = allocation.peak if capacity is None else capacity
    for _ in range(_REPAIRS if bound <= limit < allocation.peak else 0):
        ordered = _topmost_first(ordered, allocation)
        found = _measured(buffers, _place(ordered, placed, conflicts, tight))
        allocation = min(allocation, found, key=lambda candidate: candidate.peak)
        if allocation.peak <= limit:
            break
    return allocation


def _measured(buffers: Sequence[Buffer], offsets: dict[str, int]) -> Allocation:
    return Allocation(offsets, max((offsets[b.name] + b.size for b in buffers), default=0))


def _topmost_first(order: list[Buffer], allocation: Allocation) -> list[Buffer]:
    """The order with the movable buffer that ends highest at its front: the next time it gets a better place."""
    top = max(range(len(order)), key=lambda i: allocation.offsets[order[i].name] + order[i].size, default=0)
    return [order[top], *order[:top], *order[top + 1 :]] if order else order


def _key(order: _Order, conflicts: dict[str, list[Buffer]]) -> Callable[[Buffer], tuple[int, ...]]:
    def key(buffer: Buffer) -> tuple[int, ...]:
        others = conflicts[buffer.name]
        return order(buffer, len(others), buffer.size + sum(other.size for other in others))

    return key


def _place(
    order: Sequence[Buffer], placed: dict[str, int], conflicts: dict[str, list[Buffer]], tight: bool
) -> dict[str, int]:
    """Offsets of the buffers placed in `order`: each in its smallest (`tight`) or lowest gap, or above everything."""
    offsets = dict(placed)
    for buffer in order:
        taken = sorted(
            (offsets[other.name], offsets[other.name] + other.size)
            for other in conflicts[buffer.name]
            if other.name in offsets
        )
        offsets[buffer.name] = _gap(buffer, taken, tight)
    return offsets


def _gap(buffer: Buffer, taken: list[tuple[int, int]], tight: bool) -> int:
    """Where `buffer` goes between the `taken` ranges, which are sorted by their beginning."""
    top, best, room = 0, -1, 0
    for begin, end in taken:
        start = -(-top // buffer.alignment) * buffer.alignment
        if start + buffer.size <= begin and (best < 0 or begin - top < room):
            best, room = start, begin - top
            if not tight:
                break
        top = max(top, end)
    return best if best >= 0 else -(-top // buffer.alignment) * buffer.alignment


def _conflicts(buffers: Sequence[Buffer]) -> dict[str, list[Buffer]]:
    """By name, the other buffers that are alive at some step of a buffer's life."""
    result: dict[str, list[Buffer]] = {b.name: [] for b in buffers}
    alive: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: b.first):
        alive = [other for other in alive if other.last >= buffer.first]
        for other in alive:
            result[other.name].append(buffer)
            result[buffer.name].append(other)
        alive.append(buffer)
    return result


def _check_names(buffers: Sequence[Buffer]) -> None:
    names: set[str] = set()
    for buffer in buffers:
        if buffer.name in names:
            raise ValueError(f"two buffers are called {buffer.name}")
        names.add(buffer.name)


def _check_fixed(placed: dict[str, int], conflicts: dict[str, list[Buffer]]) -> None:
    sizes = {other.name: other.size for others in conflicts.values() for other in others}
    for name, others in conflicts.items():
        if name not in placed or name not in sizes:
            continue
        for other in others:
            if other.name not in placed:
                continue
            start, end = placed[name], placed[name] + sizes[name]
            if start < placed[other.name] + other.size and placed[other.name] < end:
                raise ValueError(f"fixed buffers {name} and {other.name} overlap at {max(start, placed[other.name])}")
