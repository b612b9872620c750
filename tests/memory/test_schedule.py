"""Orders of execution: valid, and as low as the best of all orders."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.memory.schedule import EFFORT, Stored, Touch, predecessors, schedule

Steps = Sequence[Sequence[Touch]]


def peaks(steps: Steps, buffers: Sequence[Stored], order: Sequence[int]) -> tuple[int, ...]:
    """The most bytes alive at once in either space, counted from first and last uses."""
    place = {step: index for index, step in enumerate(order)}
    used = [
        [place[n] for n, step in enumerate(steps) if number in {t.buffer for t in step}]
        for number in range(len(buffers))
    ]
    lives = [
        (-1 if buffer.filled else min(at), len(order) if buffer.kept else max(at), buffer)
        for at, buffer in zip(used, buffers, strict=True)
        if at
    ]
    times = range(-1, len(order) + 1)
    return tuple(max(sum(b.size for i, j, b in lives if b.space == s and i <= t <= j) for t in times) for s in (0, 1))


def valid(steps: Steps, order: Sequence[int]) -> bool:
    """Whether no two steps that touch the same bytes, one of them writing, changed places."""
    place = {step: index for index, step in enumerate(order)}
    return all(
        place[i] < place[j]
        for j in range(len(steps))
        for i in range(j)
        for a in steps[i]
        for b in steps[j]
        if a.buffer == b.buffer and (a.writes or b.writes) and max(a.start, b.start) < min(a.end, b.end)
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[Steps, Sequence[Stored]]:
    """Steps that read what is there and write buffers, or halves of them, old or new, in two spaces."""
    buffers = [Stored(2 * draw(st.integers(1, 9)), draw(st.integers(0, 1)), filled=True)]
    steps: list[list[Touch]] = []
    for _ in range(draw(st.integers(1, 6))):
        reads = [
            Touch(n, 0, buffers[n].size, False) for n in draw(st.sets(st.integers(0, len(buffers) - 1), max_size=2))
        ]
        target = draw(st.integers(0, 2 * len(buffers)))
        if target >= len(buffers):
            target = len(buffers)
            buffers.append(
                Stored(2 * draw(st.integers(1, 9)), draw(st.integers(0, 1)), kept=draw(st.integers(0, 4)) == 0)
            )
        size, part = buffers[target].size, draw(st.integers(0, 2))
        start, end = ((0, size), (0, size // 2), (size // 2, size))[part]
        steps.append([*reads, Touch(target, start, end, True)])
    return steps, buffers


@settings(max_examples=150, deadline=None)
@given(problems())
def test_no_order_is_better(problem: tuple[Steps, Sequence[Stored]]) -> None:
    steps, buffers = problem
    order = schedule(steps, buffers, (0, 0))
    assert sorted(order) == list(range(len(steps)))
    assert valid(steps, order)
    every = [other for other in permutations(range(len(steps))) if valid(steps, other)]
    assert peaks(steps, buffers, order) == min(peaks(steps, buffers, other) for other in every)
    if peaks(steps, buffers, order) == peaks(steps, buffers, range(len(steps))):
        assert order == list(range(len(steps)))


def branches(count: int) -> tuple[Steps, Sequence[Stored]]:
    """Branches that make a large map of a small input and a small one of that, given all large ones first."""
    buffers = [Stored(8, filled=True), *(Stored(100) for _ in range(count)), *(Stored(1) for _ in range(count))]
    grown = [[Touch(0, 0, 8, False), Touch(1 + n, 0, 100, True)] for n in range(count)]
    shrunk = [[Touch(1 + n, 0, 100, False), Touch(1 + count + n, 0, 1, True)] for n in range(count)]
    joined = [Touch(1 + count + n, 0, 1, False) for n in range(count)]
    return [*grown, *shrunk, joined], buffers


@pytest.mark.parametrize("effort", [0, EFFORT])
@pytest.mark.parametrize("count", [3, 9, 30, 100])
def test_branches_are_done_one_by_one(count: int, effort: int) -> None:
    steps, buffers = branches(count)
    order = schedule(steps, buffers, (10000, 0), effort)
    assert valid(steps, order)
    assert peaks(steps, buffers, range(len(steps)))[0] == 8 + 100 * count
    assert peaks(steps, buffers, order)[0] == 8 + 100 + count - 1


@settings(max_examples=100, deadline=None)
@given(problems())
def test_a_space_takes_more_only_where_one_before_it_does_not_fit(problem: tuple[Steps, Sequence[Stored]]) -> None:
    steps, buffers = problem
    given_peaks = peaks(steps, buffers, range(len(steps)))
    found = peaks(steps, buffers, schedule(steps, buffers, given_peaks))
    assert all(one <= other for one, other in zip(found, given_peaks, strict=True))


def test_steps_wait_for_the_bytes_they_share_only() -> None:
    left, right, whole = Touch(0, 0, 5, True), Touch(0, 5, 10, True), Touch(0, 0, 10, False)
    assert predecessors([[left], [right], [whole], [left]]) == [0b0, 0b0, 0b11, 0b101]


def test_nothing_to_do() -> None:
    assert schedule([], [Stored(8, filled=True, kept=True)], (0,)) == []
