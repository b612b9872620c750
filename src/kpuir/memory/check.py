"""Checks an allocation, independently of how it was made."""

from collections.abc import Sequence
from itertools import pairwise

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
    buffers share a byte; nothing ends above the stated peak, nor the peak above `capacity` bytes.
    """
    problems = [problem for buffer in buffers for problem in _alone(buffer, allocation)]
    known = [buffer for buffer in buffers if buffer.name in allocation.offsets and buffer.size > 0]
    reported: set[tuple[str, str]] = set()
    for step in sorted({buffer.first for buffer in known}):
        live = sorted(
            (allocation.offsets[buffer.name], buffer.size, buffer.name)
            for buffer in known
            if buffer.first <= step <= buffer.last
        )
        for (low, size, name), (high, _, other) in pairwise(live):
            if low + size > high and (name, other) not in reported:
                reported.add((name, other))
                problems.append(f"at step {step} {name} ends at {low + size}, above the beginning of {other} at {high}")
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
