"""Which waits are used, from accesses alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpuir.memory import Access, Cuts, Moves, Way, plan, segments
from kpuir.memory.spill import cost, live_bytes

MOVES = Moves(copy=1.0, away=80.0, back=60.0)


def written(step: int, start: int, end: int) -> Access:
    return Access(step, start, end, MOVES)


def busy(first: int, last: int, size: int) -> list[Access]:
    return [written(first, 0, size), Access(last, 0, size)]


PARTS = [written(1, 0, 10), written(8, 10, 30), Access(9, 0, 30)]
"""Two parts of a concatenation, the first of which waits."""


@pytest.mark.parametrize(
    ("limit", "cuts"),
    [(70, {}), (50, {1: Way.COPY}), (49, {1: Way.AWAY}), (40, {1: Way.AWAY})],
)
def test_the_cheapest_way_that_suffices(limit: int, cuts: Cuts) -> None:
    """While another buffer takes 40 bytes, the first part takes 10 by itself, and nothing in main RAM."""
    assert plan([busy(3, 5, 40), PARTS], limit) == [{}, cuts]


def test_a_copy_is_made_before_the_other_parts_are_written() -> None:
    first, second = segments(PARTS, {1: Way.COPY})
    assert (first.start, first.end, first.restored) == (0, 10, ())
    assert (second.start, second.end, second.restored) == (0, 30, (0,))
    live = live_bytes(PARTS, {1: Way.COPY}, 9)
    assert [live[2 * step + 2] for step in (1, 5, 8, 9)] == [10, 10, 30, 30]
    assert live[2 * 8 + 1] == 40


def test_what_is_sent_once_comes_back_as_often_as_it_is_read() -> None:
    accesses = [written(1, 0, 10), Access(4, 0, 10), Access(8, 0, 10)]
    assert cost(accesses, {1: Way.AWAY, 2: Way.AWAY}) == MOVES.away + 2 * MOVES.back


def test_cuts_that_others_make_superfluous_are_taken_back() -> None:
    """One map that waits for long frees what two short waits would."""
    plans = plan([busy(1, 9, 10), busy(2, 4, 10), busy(6, 8, 10), busy(3, 3, 20), busy(7, 7, 20)], 30)
    assert plans == [{1: Way.AWAY}, {}, {}, {}, {}]


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 12), st.integers(1, 9)), min_size=1, max_size=9))
def test_what_is_used_at_one_step_always_fits(buffers: list[tuple[int, int, int]]) -> None:
    """Buffers that are written, wait and are read: at every step no more than what it names has to be there."""
    given_ = [busy(first, first + wait, size) for first, wait, size in buffers]
    steps = max(accesses[-1].step for accesses in given_)
    named = [sum(a[0].end for a in given_ if step in (a[0].step, a[-1].step)) for step in range(steps + 1)]
    limit = max(named)
    plans = plan(given_, limit)
    live = [live_bytes(accesses, cuts, steps) for accesses, cuts in zip(given_, plans, strict=True)]
    assert np.sum(live, axis=0).max() <= limit
