"""The KPU's activation table: 16 entries, the last 15 of them straight pieces (`kpu-hardware.md` 6.3)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOWEST_START = -(1 << 35)
"""Start of entry 0, below every possible batch-norm result (36 signed bits)."""

FIRST_UNUSED_START = (1 << 35) - 17
"""Unused entry i starts at this plus i: above every result `select_layer` admits."""

MAXIMUM_SHIFT = 20
"""The field is 8 bits wide, but 20 is what v0.2 limits itself to and silicon is known to obey."""

PIECES = 15


class Piece(NamedTuple):
    """For v > start: `round((v - start) * mul / 2**shift) + add`, clamped to 0..255."""

    start: int
    mul: int
    shift: int
    add: int


@dataclass(frozen=True, eq=False)
class ActivationTable:
    """start int64[16] strictly ascending, mul int16[16], shift uint8[16], add uint8[16]."""

    start: NDArray[np.int64]
    mul: NDArray[np.int16]
    shift: NDArray[np.uint8]
    add: NDArray[np.uint8]

    @classmethod
    def of(cls, below: int, pieces: Sequence[Piece]) -> "ActivationTable":
        """The table that gives code `below` up to the first start, then follows at most 15 ascending pieces.

        Unused entries come last and are out of reach. Raises ValueError for starts that do not ascend, more than 15
        pieces or fields too wide.
        """
        if len(pieces) > PIECES:
            raise ValueError(f"an activation table has at most {PIECES} pieces, got {len(pieces)}")
        entries = [Piece(LOWEST_START, 0, 0, below), *pieces]
        if any(a.start >= b.start for a, b in itertools.pairwise(entries)):
            raise ValueError(f"starts must ascend strictly, got {[e.start for e in entries]}")
        if entries[-1].start >= FIRST_UNUSED_START:
            raise ValueError(f"starts must be below {FIRST_UNUSED_START}, got {entries[-1].start}")
        for entry in entries:
            if not (-0x8000 <= entry.mul < 0x8000 and 0 <= entry.shift <= MAXIMUM_SHIFT and 0 <= entry.add <= 255):
                raise ValueError(f"mul is 16 bits signed, shift 0..{MAXIMUM_SHIFT}, add 0..255, got {entry}")
        top = 255 if entries[-1].mul > 0 else 0 if entries[-1].mul < 0 else entries[-1].add
        entries += [Piece(FIRST_UNUSED_START + i, 0, 0, top) for i in range(len(entries), 16)]
        start, mul, shift, add = zip(*entries, strict=True)
        return cls(
            np.array(start, np.int64), np.array(mul, np.int16), np.array(shift, np.uint8), np.array(add, np.uint8)
        )

    @property
    def used(self) -> int:
        """Entries in reach, entry 0 included."""
        return int(np.count_nonzero(self.start < FIRST_UNUSED_START))

    def evaluate(self, v: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The codes the simulators compute for batch-norm results `v` of any shape, v > -2**35.

        For a negative product their "rounding" takes 1 away from the floor where it should add 1
        (`kmodel-v4.md` 9.5); modelled as it is.
        """
        entry = np.searchsorted(self.start, v, side="left") - 1
        shift = self.shift[entry].astype(np.int64)
        product = (v - self.start[entry]) * self.mul[entry].astype(np.int64)
        floor = product >> shift
        twice = (product - (floor << shift)) * 2
        one = np.int64(1) << shift
        carry = (twice > one) | ((twice == one) & (floor & 1 == 1))
        rounded = floor + np.where(carry, np.where(product < 0, -1, 1), 0)
        return np.clip(rounded + self.add[entry], 0, 255).astype(np.uint8)
