"""Places buffers: best fit in a few greedy orders, then orders that lift what is on top, then an exact search.

On the networks people run on the K210 one of the orders nearly always meets the lower bound, which proves that
nothing better exists; it ends there. Everything is deterministic: ties are broken by the order given, and the exact
search counts what it looks at, not seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kpuir.memory.bounds import lower_bound
from kpuir.memory.buffers import Allocation, Buffer, wholes

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

ORDERS = 2 * len(_ORDERS)
"""How many greedy placements are tried."""

REPAIRS = 200
"""How often the best of them is tried to be improved by placing what lies on top first, at most."""

_REPAIRED_BUFFERS = 20_000
"""How many buffers are placed at most for that."""

NODES_PER_SECOND = 50_000
"""What the exact search looks at in a second on a slow core with a few hundred buffers."""

NODES = 10 * NODES_PER_SECOND
"""How far the exact search goes unless told otherwise."""

_NODES_WHERE_IT_FITS = 20_000
"""How far it goes at most for a lower peak where the capacity is not what is missing."""


def allocate(buffers: Sequence[Buffer], capacity: int | None = None, nodes: int = NODES) -> Allocation:
    """Offsets at which no two buffers that live at the same time overlap, with a low peak.

    Where no order meets the lower bound, an exact search looks at up to `nodes` partial allocations: for one within
    `capacity` bytes, if there is none yet, then with less effort for a lower peak. The result may still be above the
    capacity: compare. Raises ValueError for buffers that contradict each other.
    """
    movable, placed, conflicts = _prepared(whole := wholes(buffers))
    bound = lower_bound(whole)
    best = _greedy(whole, movable, placed, conflicts, bound)
    if best.peak > bound and nodes:
        best = _searched(whole, conflicts, best, capacity, nodes)
    of_parts = {
        part.name: best.offsets[part.parent] + part.parent_offset for part in buffers if part.parent is not None
    }
    return replace(best, offsets={**best.offsets, **of_parts})


def _prepared(buffers: list[Buffer]) -> tuple[list[Buffer], dict[str, int], dict[str, list[Buffer]]]:
    """What is to be placed, the offsets that are settled, and what is in the way of each."""
    movable = [b for b in buffers if b.fixed_offset is None and b.size]
    placed = {b.name: b.fixed_offset for b in buffers if b.fixed_offset is not None}
    placed |= {b.name: 0 for b in buffers if b.fixed_offset is None and not b.size}
    conflicts = _conflicts([b for b in buffers if b.size])
    _check_fixed(placed, conflicts)
    return movable, placed, conflicts


def _greedy(
    buffers: list[Buffer],
    movable: list[Buffer],
    placed: dict[str, int],
    conflicts: dict[str, list[Buffer]],
    bound: int,
) -> Allocation:
    """The best of the orders, and of what follows from it when what lies on top is placed first again and again."""
    best: tuple[Allocation, list[Buffer], bool] | None = None
    for order in _ORDERS:
        ordered = sorted(movable, key=_key(order, conflicts))
        for tight in (True, False):
            found = _measured(buffers, _place(ordered, placed, conflicts, tight), bound)
            if best is None or found.peak < best[0].peak:
                best = found, ordered, tight
            if found.peak == bound:
                return found
    assert best is not None
    allocation, ordered, tight = best
    last = allocation
    for _ in range(min(REPAIRS, _REPAIRED_BUFFERS // max(len(movable), 1))):
        if allocation.peak == bound:
            break
        ordered = _topmost_first(ordered, last)
        last = _measured(buffers, _place(ordered, placed, conflicts, tight), bound)
        allocation = min(allocation, last, key=lambda candidate: candidate.peak)
    return allocation


def _searched(
    buffers: list[Buffer], conflicts: dict[str, list[Buffer]], best: Allocation, capacity: int | None, nodes: int
) -> Allocation:
    """The best allocation that the exact search finds from there on."""
    from kpuir.memory.exact import Searcher

    searcher = Searcher([b for b in buffers if b.size], conflicts)
    bound, used = best.bound, 0

    def below(limit: int, effort: int) -> bool:
        nonlocal best, bound, used
        found = searcher.search(limit, effort)
        used += found.nodes
        if found.offsets is not None:
            best = _measured(buffers, {**best.offsets, **found.offsets}, bound)
        elif found.proved and limit >= bound:
            bound = (limit // searcher.grain + 1) * searcher.grain
        return found.offsets is not None

    too_much = capacity is not None and bound <= capacity < best.peak
    if capacity is None or best.peak <= capacity or (too_much and below(capacity, nodes)):
        low, effort = bound, min(nodes, _NODES_WHERE_IT_FITS)
        while low < best.peak and effort:
            # The bound itself is the likeliest; if there is nothing, halve what is between.
            limit = bound if low == bound else (low + best.peak) // 2 // searcher.grain * searcher.grain
            before = used
            if not below(max(limit, low), effort):
                low = max(limit, low) + searcher.grain
            effort -= min(effort, used - before)
    return replace(best, bound=bound, nodes=used)


def _measured(buffers: Sequence[Buffer], offsets: dict[str, int], bound: int) -> Allocation:
    return Allocation(offsets, max((offsets[b.name] + b.size for b in buffers), default=0), bound)


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
    """By name, the other buffers that are alive at some step of a buffer's life, or must be apart from it."""
    result: dict[str, list[Buffer]] = {b.name: [] for b in buffers}
    alive: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: b.first):
        alive = [other for other in alive if other.last >= buffer.first]
        for other in alive:
            result[other.name].append(buffer)
            result[buffer.name].append(other)
        alive.append(buffer)
    named = {b.name: b for b in buffers}
    for buffer in buffers:
        for other in (named[name] for name in sorted(buffer.apart) if name in named and name != buffer.name):
            if other not in result[buffer.name]:
                result[buffer.name].append(other)
                result[other.name].append(buffer)
    return result


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
