"""How much memory buffers need at least, whatever their places."""

from collections.abc import Sequence
from math import gcd

from kpuir.memory.buffers import Buffer


def busiest_step(buffers: Sequence[Buffer]) -> tuple[int, int, list[str]]:
    """(step, bytes, names) of the step at which the live buffers are largest together; the earliest such step.

    Without buffers (0, 0, []).
    """
    events = sorted([(b.first, b.size) for b in buffers] + [(b.last + 1, -b.size) for b in buffers])
    step, most, live = 0, 0, 0
    for at, change in events:  # at one step, sizes that end come before sizes that begin: they are negative
        live += change
        if live > most:
            step, most = at, live
    return step, most, [b.name for b in buffers if b.first <= step <= b.last and most]


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """Bytes that no allocation can go below.

    The live buffers of any step lie one after another; each but the topmost is followed by an offset that is a multiple
    of what all alignments have in common. A fixed buffer ends where it ends.
    """
    grain = gcd(*(b.alignment for b in buffers), *(b.fixed_offset or 0 for b in buffers)) or 1
    ends = [b.fixed_offset + b.size for b in buffers if b.fixed_offset is not None]
    rounded = [(b, -(-b.size // grain) * grain) for b in buffers if b.size]
    steps = {b.first for b in buffers}  # the live set only grows where a buffer begins
    bounds = [
        sum(size for _, size in live) - max((size - b.size for b, size in live), default=0)
        for live in ([(b, size) for b, size in rounded if b.first <= step <= b.last] for step in steps)
    ]
    return max([0, *ends, *bounds])
