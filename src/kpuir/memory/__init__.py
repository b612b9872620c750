"""Static allocation: buffers with lifetimes in, byte offsets out. Knows no IR.

allocation = allocate([Buffer("a", 4096, 0, 1, 64), Buffer("b", 1024, 1, 2, 64)]
    allocation = allocate(buffers, capacity=2 * 1024 * 1024)
assert not check(buffers, allocation)
"""

from kpuir.memory.allocate import allocate
from kpuir.memory.bounds import busiest_step, lower_bound
from kpuir.memory.buffers import Allocation, Buffer
from kpuir.memory.check import BadAllocationError, check, find_problems
from kpuir.memory.schedule import Stored, Touch, schedule
from kpuir.memory.spill import Access, Cuts, Moves, Segment, Way, plan, segments

__all__ = [
    "Access",
    "Allocation",
    "BadAllocationError",
    "Buffer",
    "Cuts",
    "Moves",
    "Segment",
    "Stored",
    "Touch",
    "Way",
    "allocate",
    "busiest_step",
    "check",
    "find_problems",
    "lower_bound",
    "plan",
    "schedule",
    "segments",
]
