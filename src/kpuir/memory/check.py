"""Checks an allocation, independently of how it was made."""

from collections.abc import Sequence

from kpuir.memory.buffers import Allocation, Buffer


class BadAllocationError(Exception):
    """An allocation that would let buffers destroy each other: an error of the allocator, not of the user."""


def check(buffers: Sequence[Buffer], allocation: Allocation, capacity: int | None = None) -> None:
    """Raise BadAllocationError with everything that `find_problems` finds."""
    problems = find_problems(buffers, allocation, capacity)
    if problems:
        raise BadAllocationError("; ".join(problems))


def find_problems(buffers: Sequence[Buffer], allocation: Allocation, capacity: int | None = None) -> list[str]:
    """What is wrong with an allocation, one sentence each; empty when nothing is.

    Every buffer has an offset that is not negative, aligned, and the fixed one where it is fixed; at no step two live
    buffers share a byte unless one is a part of the other or both of a third, in which they are where they belong;
    those that must be apart never do; nothing ends above the stated peak, nor the peak above `capacity` bytes.
    """
    problems = [problem for buffer in buffers for problem in _alone(buffer, allocation)]
    known = {buffer.name: buffer for buffer in buffers if buffer.name in allocation.offsets and buffer.size > 0}
    reported: set[tuple[str, str]] = set()
    for step in sorted({buffer.first for buffer in known.values()}):
        below: list[Buffer] = []
        live = [buffer for buffer in known.values() if buffer.first <= step <= buffer.last]
        for buffer in sorted(live, key=lambda each: (allocation.offsets[each.name], each.size, each.name)):
            start = allocation.offsets[buffer.name]
            below = [other for other in below if allocation.offsets[other.name] + other.size > start]
            for other in below:
                pair = other.name, buffer.name
                if (buffer.parent or buffer.name) != (other.parent or other.name) and pair not in reported:
                    reported.add(pair)
                    end = allocation.offsets[other.name] + other.size
                    problems.append(
                        f"at step {step} {other.name} ends at {end}, above the beginning of {buffer.name} at {start}"
                    )
            below.append(buffer)
    for buffer in known.values():
        for other in (known[name] for name in sorted(buffer.apart) if name in known):
            start, end = allocation.offsets[buffer.name], allocation.offsets[other.name]
            if start < end + other.size and end < start + buffer.size:
                problems.append(f"{buffer.name} and {other.name} share bytes, and must not at any time")
    for buffer in known.values():
        if buffer.parent is not None and buffer.parent in allocation.offsets:
            expected = allocation.offsets[buffer.parent] + buffer.parent_offset
            if allocation.offsets[buffer.name] != expected:
                problems.append(f"{buffer.name} is not at {expected}, inside of {buffer.parent}")
    if capacity is not None and allocation.peak > capacity:
        problems.append(f"the peak is {allocation.peak}, above the capacity of {capacity}")
    return problems


def _alone(buffer: Buffer, allocation: Allocation) -> list[str]:
    """What is wrong with the place of one buffer, whatever the others do."""
    if buffer.name not in allocation.offsets:
        return [f"{buffer.name} has no offset"]
    offset = allocation.offsets[buffer.name]
    problems: list[str] = []
    if offset < 0:
        problems.append(f"{buffer.name} is at {offset}, below 0")
    if offset % buffer.alignment:
        problems.append(f"{buffer.name} is at {offset}, not a multiple of {buffer.alignment}")
    if buffer.fixed_offset is not None and offset != buffer.fixed_offset:
        problems.append(f"{buffer.name} is at {offset}, fixed at {buffer.fixed_offset}")
    if offset + buffer.size > allocation.peak:
        problems.append(f"{buffer.name} ends at {offset + buffer.size}, above the peak of {allocation.peak}")
    return problems
