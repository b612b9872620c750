"""Places buffers: best fit in a few greedy orders, the lowest peak wins.

On the networks people run on the K210 one of these orders nearly always meets the lower bound, which proves that
nothing better exists; the search stops there. Everything is deterministic: ties are broken by the order given.
"""

from collections.abc import Callable, Sequence

from kpuir.errors import DoesNotFitError
from kpuir.memory.bounds import busiest_step, lower_bound
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


def allocate(buffers: Sequence[Buffer], capacity: int | None = None) -> Allocation:
    """Offsets at which no two buffers that live at the same time overlap, with a low peak.

    Raises DoesNotFitError, naming the busiest step, when the best peak found is above `capacity` bytes, and ValueError
    for two buffers of one name or two fixed ones in each other's way.
    """
    _check_names(buffers)
    movable = [b for b in buffers if b.fixed_offset is None and b.size]
    placed = {b.name: b.fixed_offset for b in buffers if b.fixed_offset is not None}
    placed |= {b.name: 0 for b in buffers if b.fixed_offset is None and not b.size}
    conflicts = _conflicts([b for b in buffers if b.size])
    _check_fixed(placed, conflicts)
    bound = lower_bound(buffers)
    best: Allocation | None = None
    for order in _ORDERS:
        for tight in (True, False):
            offsets = _place(sorted(movable, key=_key(order, conflicts)), placed, conflicts, tight)
            peak = max((offsets[b.name] + b.size for b in buffers), default=0)
            if best is None or peak < best.peak:
                best = Allocation(offsets, peak)
            if best.peak == bound:
                return _fitting(best, buffers, capacity)
    assert best is not None
    return _fitting(best, buffers, capacity)


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


def _fitting(allocation: Allocation, buffers: Sequence[Buffer], capacity: int | None) -> Allocation:
    if capacity is None or allocation.peak <= capacity:
        return allocation
    step, live, names = busiest_step(buffers)
    raise DoesNotFitError(
        f"{allocation.peak} bytes are needed, there are {capacity}; "
        f"at step {step} {', '.join(names)} take {live} bytes together"
    )
