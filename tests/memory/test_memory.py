"""Allocation by properties, on the networks of allocation-facts.md 3, and the checker on broken allocations."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.memory import (
    Allocation,
    BadAllocationError,
    Buffer,
    allocate,
    busiest_step,
    check,
    find_problems,
    lower_bound,
)
from kpuir.target.k210 import feature_map_bytes
from tests.memory import networks
from tests.shared import shared_file


def overlaps(buffers: list[Buffer], offsets: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs of buffers that share a byte at a step: the definition, byte by byte and step by step."""
    seen: dict[tuple[int, int], str] = {}
    found: list[tuple[str, str]] = []
    for buffer in buffers:
        start = offsets[buffer.name]
        for step in range(buffer.first, buffer.last + 1):
            for byte in range(start, start + buffer.size):
                other = seen.setdefault((step, byte), buffer.name)
                if other != buffer.name:
                    found.append((other, buffer.name))
    return found


@st.composite
def problems(draw: st.DrawFn) -> list[Buffer]:
    count = draw(st.integers(0, 12))
    buffers: list[Buffer] = []
    for index in range(count):
        first = draw(st.integers(0, 8))
        last = draw(st.integers(first, 9))
        alignment = draw(st.sampled_from([1, 2, 8]))
        buffers.append(Buffer(f"b{index}", draw(st.integers(0, 20)), first, last, alignment))
    if buffers and draw(st.booleans()):
        buffers[0] = replace(buffers[0], fixed_offset=buffers[0].alignment * draw(st.integers(0, 5)))
    return buffers


@given(problems())
@settings(max_examples=200, deadline=None)
def test_allocations_are_valid(buffers: list[Buffer]) -> None:
    allocation = allocate(buffers)
    offsets = dict(allocation.offsets)
    assert not overlaps(buffers, offsets)
    assert all(offsets[b.name] % b.alignment == 0 for b in buffers)
    assert all(b.fixed_offset in (None, offsets[b.name]) for b in buffers)
    assert allocation.peak == max((offsets[b.name] + b.size for b in buffers), default=0)
    assert allocation.peak >= lower_bound(buffers)
    assert lower_bound(buffers) >= busiest_step(buffers)[1]
    check(buffers, allocation)
    assert allocate(buffers) == allocation


@given(problems(), st.data())
@settings(max_examples=200, deadline=None)
def test_the_checker_finds_what_the_definition_finds(buffers: list[Buffer], data: st.DataObject) -> None:
    """Random places, aligned but otherwise anywhere: the checker complains exactly when bytes are shared."""
    free = [b for b in buffers if b.fixed_offset is None]
    offsets = {b.name: b.alignment * data.draw(st.integers(0, 10)) for b in free}
    peak = max((offsets[b.name] + b.size for b in free), default=0)
    found = find_problems(free, Allocation(offsets, peak))
    assert bool(found) == bool(overlaps(free, offsets))


def test_the_checker_names_everything_wrong() -> None:
    buffers = [
        Buffer("a", 10, 0, 3),
        Buffer("b", 10, 3, 4, 8),
        Buffer("c", 4, 0, 9, fixed_offset=40),
        Buffer("d", 4, 0, 0),
        Buffer("e", 1, 9, 9),
    ]
    found = find_problems(buffers, Allocation({"a": 0, "b": 9, "c": 44, "d": -1}, 20), capacity=19)
    assert found == [
        "b is at 9, not a multiple of 8",
        "c is at 44, fixed at 40",
        "c ends at 48, above the peak of 20",
        "d is at -1, below 0",
        "e has no offset",
        "at step 0 d ends at 3, above the beginning of a at 0",
        "at step 3 a ends at 10, above the beginning of b at 9",
        "the peak is 20, above the capacity of 19",
    ]


def test_lifetimes_include_both_ends() -> None:
    touching = [Buffer("a", 8, 0, 1), Buffer("b", 8, 1, 2)]
    apart = [Buffer("a", 8, 0, 1), Buffer("b", 8, 2, 3)]
    assert allocate(touching).peak == 16
    assert allocate(apart).peak == 8


def test_lower_bound_counts_alignment_but_not_above_the_top() -> None:
    assert lower_bound([]) == 0
    assert lower_bound([Buffer("a", 9, 0, 0, 8)]) == 9
    assert lower_bound([Buffer("a", 9, 0, 0, 8), Buffer("b", 15, 0, 0, 8)]) == 25
    assert allocate([Buffer("a", 9, 0, 0, 8), Buffer("b", 15, 0, 0, 8)]).peak == 25
    assert lower_bound([Buffer("a", 9, 0, 0, 8, fixed_offset=800)]) == 809
    assert lower_bound([Buffer("a", 9, 0, 0, 64), Buffer("b", 9, 5, 5, 64)]) == 9


def test_fixed_buffers_stay_and_others_go_around() -> None:
    buffers = [Buffer("in", 100, 0, 1, fixed_offset=50), Buffer("a", 50, 0, 5), Buffer("b", 60, 1, 5)]
    allocation = allocate(buffers)
    assert allocation.offsets["in"] == 50
    assert allocation.offsets["a"] == 0
    assert allocation.offsets["b"] == 150
    with pytest.raises(ValueError, match="x and y overlap at 4"):
        allocate([Buffer("x", 8, 0, 5, fixed_offset=0), Buffer("y", 8, 5, 6, fixed_offset=4)])
    allocate([Buffer("x", 8, 0, 4, fixed_offset=0), Buffer("y", 8, 5, 6, fixed_offset=4)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", -1, 0, 0), "-1 bytes"),
        (("a", 1, 3, 2), "step 3 to step 2"),
        (("a", 1, 0, 0, 0), "alignment 0"),
        (("a", 1, 0, 0, 8, 4), "fixed at 4.*multiple of 8"),
    ],
)
def test_impossible_buffers(arguments: tuple[str, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Buffer(*arguments)


def test_one_name_twice() -> None:
    with pytest.raises(ValueError, match="called a"):
        allocate([Buffer("a", 1, 0, 0), Buffer("a", 1, 1, 1)])


def test_check_raises() -> None:
    buffers = [Buffer("a", 8, 0, 1), Buffer("b", 8, 1, 2)]
    check(buffers, Allocation({"a": 0, "b": 8}, 16), capacity=16)
    with pytest.raises(BadAllocationError, match="at step 1 a ends at 8, above the beginning of b at 7"):
        check(buffers, Allocation({"a": 0, "b": 7}, 16))
    with pytest.raises(BadAllocationError, match="the peak is 16, above the capacity of 15"):
        check(buffers, Allocation({"a": 0, "b": 8}, 16), capacity=15)


def test_too_much_is_returned_for_the_caller_to_explain() -> None:
    buffers = [Buffer("big", 1500, 0, 2), Buffer("map", 700, 2, 3), Buffer("later", 10, 3, 4)]
    assert allocate(buffers, capacity=2048).peak == 2200
    assert busiest_step(buffers) == (2, 2200, ["big", "map"])
    assert busiest_step([]) == (0, 0, [])


@st.composite
def small_problems(draw: st.DrawFn) -> list[Buffer]:
    """Up to 9 buffers, most of them in each other's way; some aligned, one fixed, two that must be apart."""
    buffers: list[Buffer] = []
    for index in range(draw(st.integers(1, 9))):
        first = draw(st.integers(0, 6))
        alignment = draw(st.sampled_from([1, 1, 2, 4]))
        buffers.append(Buffer(f"b{index}", draw(st.integers(1, 12)), first, first + draw(st.integers(0, 3)), alignment))
    if draw(st.booleans()):
        buffers[0] = replace(buffers[0], fixed_offset=buffers[0].alignment * draw(st.integers(0, 5)))
    if draw(st.booleans()):
        buffers[-1] = replace(buffers[-1], apart=frozenset({"b0"}) - {buffers[-1].name})
    return buffers


def optimum(buffers: list[Buffer]) -> int:
    """The lowest peak there is: every order in which each buffer takes the lowest place that is free."""
    best = sum(b.size + b.alignment + (b.fixed_offset or 0) for b in buffers)
    least = busiest_step(buffers)[1]

    def in_the_way(a: Buffer, b: Buffer) -> bool:
        return (a.first <= b.last and b.first <= a.last) or a.name in b.apart or b.name in a.apart

    def place(left: list[Buffer], placed: list[tuple[Buffer, int]], peak: int) -> None:
        nonlocal best
        if peak < best and not left:
            best = peak
        for buffer in left if peak < best and best > least else []:
            offset = 0
            for end in sorted({0, *(start + other.size for other, start in placed)}):
                offset = -(-end // buffer.alignment) * buffer.alignment
                if not any(
                    in_the_way(buffer, other) and start < offset + buffer.size and offset < start + other.size
                    for other, start in placed
                ):
                    break
            place([b for b in left if b is not buffer], [*placed, (buffer, offset)], max(peak, offset + buffer.size))

    fixed = [(b, b.fixed_offset) for b in buffers if b.fixed_offset is not None]
    place([b for b in buffers if b.fixed_offset is None], fixed, max((o + b.size for b, o in fixed), default=0))
    return best


@given(small_problems())
@settings(max_examples=100, deadline=None)
def test_small_problems_come_out_best(buffers: list[Buffer]) -> None:
    allocation = allocate(buffers)
    check(buffers, allocation)
    assert allocation.peak == optimum(buffers)
    assert lower_bound(buffers) <= allocation.bound <= allocation.peak


def test_parts_go_with_their_whole() -> None:
    buffers = [
        Buffer("whole", 16, 4, 5, 8),
        Buffer("head", 8, 0, 4, 8, parent="whole"),
        Buffer("tail", 8, 3, 4, 8, parent="whole", parent_offset=8),
        Buffer("early", 8, 0, 1),
        Buffer("elsewhere", 4, 8, 9, apart=frozenset({"whole"})),
    ]
    allocation = allocate(buffers)
    check(buffers, allocation)
    start = allocation.offsets["whole"]
    assert (allocation.offsets["head"], allocation.offsets["tail"]) == (start, start + 8)
    assert allocation.peak == 24
    offsets = {"whole": 0, "head": 0, "tail": 16, "early": 4, "elsewhere": 12}
    assert find_problems(buffers, Allocation(offsets, 24)) == [
        "at step 0 head ends at 8, above the beginning of early at 4",
        "elsewhere and whole share bytes, and must not at any time",
        "tail is not at 8, inside of whole",
    ]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Buffer("b", 8, 0, 0, parent="c"), "b is a part of c, which is not a whole buffer"),
        (Buffer("b", 8, 0, 0, parent="a", parent_offset=12), "b is not inside of the 16 bytes of a"),
        (Buffer("b", 4, 0, 0, 8, parent="a", parent_offset=4), "b at 4 of a is not aligned"),
    ],
)
def test_impossible_parts(part: Buffer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        allocate([Buffer("a", 16, 0, 0, 8), part])


def test_what_cannot_fit_is_proved() -> None:
    """11 bytes are alive at once, but below the fixed buffer there is no room for the other one."""
    buffers = [Buffer("fixed", 5, 0, 1, fixed_offset=5), Buffer("b", 6, 0, 1)]
    allocation = allocate(buffers, 11)
    assert lower_bound(buffers) == 11
    assert (allocation.peak, allocation.bound) == (16, 12)
    assert allocate(buffers).bound == 16
    assert allocate(buffers, nodes=0).bound == 11


def chain(shapes: list[tuple[int, int, int]]) -> list[Buffer]:
    """Maps of a network without branches: each lives from its producer to its only consumer."""
    return [Buffer(f"m{i}", feature_map_bytes(1, *shape), i, i + 1, 64) for i, shape in enumerate(shapes)]


def mobilenet_v1(size: int, width: float) -> list[tuple[int, int, int]]:
    """Channels, height and width of every map of MobileNet v1."""
    shapes = [(3, size, size), (int(32 * width), size // 2, size // 2)]
    at, channels = size // 2, int(32 * width)
    for out, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        at //= stride
        shapes += [(channels, at, at), (int(out * width), at, at)]
        channels = int(out * width)
    return shapes


@pytest.mark.parametrize(("size", "width", "kib"), [(224, 0.75, 1008), (224, 1.0, 1344), (256, 1.0, 1536)])
def test_mobilenet_meets_the_published_optimum(size: int, width: float, kib: int) -> None:
    """allocation-facts.md 3: the optimum of each, which first fit misses by up to half."""
    buffers = chain(mobilenet_v1(size, width))
    assert lower_bound(buffers) == kib * 1024
    assert allocate(buffers, capacity=2 * 1024 * 1024).peak == kib * 1024


@pytest.mark.parametrize("instance", ["C", "F", "G", "K"])
def test_published_hard_instances_fit(instance: str) -> None:
    """The easier ones of the eleven that MiniMalloc is measured by; benchmarks/bench_allocation.py places all."""
    path = shared_file(f"minimalloc/{instance}.1048576.csv")
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    buffers = [Buffer(row[0], int(row[3]), int(row[1]), int(row[2]) - 1) for row in rows]
    allocation = allocate(buffers, 1048576)
    check(buffers, allocation, capacity=1048576)
    assert allocate(buffers, 1048576, nodes=0).peak > 1048576


SHARPEST = [
    *((networks.mobilenet_v1, 256, 256, 1.0), (networks.mobilenet_v2, 256, 256, 1.0), (networks.unet, 160, 120, 1.5)),
    *((networks.squeezenet, 320, 256, 1.0), (networks.densenet, 128, 96, 1.0), (networks.yolov3_tiny, 416, 416, 1.5)),
]


@pytest.mark.parametrize(("family", "height", "width", "scale"), SHARPEST)
def test_networks_meet_the_lower_bound(
    family: Callable[[networks.Network, float], None], height: int, width: int, scale: float
) -> None:
    buffers = networks.network(family, height, width, scale)
    allocation = allocate(buffers, 2 * 1024 * 1024)
    check(buffers, allocation)
    assert allocation.peak == lower_bound(buffers)


def test_two_hundred_buffers_take_milliseconds() -> None:
    """Every order is tried here: the problem is built so that the bound is out of reach of them."""
    buffers = [Buffer(f"b{i}", 64 * (1 + i * 37 % 61), i * 7 % 200, i * 7 % 200 + 1 + i % 13, 64) for i in range(200)]
    began = time.process_time()
    allocate(buffers, nodes=0)
    assert time.process_time() - began < 1.0
