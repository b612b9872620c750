"""Sums of maps on the KPU compute what ONNX Runtime does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.dialects import kpu, ktensor
from tests.passes.onnx_nets import Net, check, names, reasons

SIZES = st.tuples(st.sampled_from([1, 3, 5, 8]), st.integers(4, 12), st.sampled_from([4, 7, 16, 17, 32, 33]))
FEW = settings(max_examples=30)


@FEW
@given(
    size=SIZES,
    terms=st.lists(st.sampled_from(["conv", "relu", "depthwise", "input", "same", "scaled"]), min_size=2, max_size=4),
    kinds=st.lists(st.sampled_from(["Add", "Sub"]), min_size=3, max_size=3),
    choice=st.sampled_from(["auto", "layer", "fused"]),
    function=st.sampled_from(["", "Relu", "Sigmoid"]),
    seed=st.integers(0, 99),
)
def test_sums(
    size: tuple[int, int, int], terms: list[str], kinds: list[str], choice: str, function: str, seed: int
) -> None:
    net, channels = Net(seed), size[0]
    x = net.input(1, *size)
    total = first = net.conv(x, channels, channels, 3)
    for term, kind in zip(terms[1:], kinds, strict=False):
        if term == "scaled":
            part = net.op("Mul", net.op("Relu", first), net.random(channels, 1, 1))
        elif term in ("input", "same"):
            part = x if term == "input" else first
        else:
            part = net.conv(x, channels, channels, 3, term == "depthwise")
            part = net.op("Relu", part) if term == "relu" else part
        total = net.op(kind, total, part)
    y = net.op(function, total) if function else total
    module = check(net.model(net.conv(y, channels, 3)), f"kpu-legalize-adds{{adds={choice}}}")
    if choice != "auto":
        assert not any(isinstance(op, ktensor.BinaryOp) and op.lhs.type == op.rhs.type for op in module.walk())


def residual(choice: str, channels: int = 8, size: int = 16, function: str = "Relu") -> list[str]:
    net = Net()
    x = net.conv(net.input(1, 3, size, size), 3, channels)
    y = net.op("Add", x, net.conv(net.op("Relu", net.conv(x, channels, channels, 3)), channels, channels, 3))
    return names(check(net.model(net.conv(net.op(function, y), channels, 4)), f"kpu-legalize-adds{{adds={choice}}}"))


def test_a_residual_is_a_layer_with_its_activation() -> None:
    assert residual("auto") == ["conv2d", "conv2d", "conv2d", "concat", "conv2d", "conv2d"]


def test_a_residual_is_more_channels_of_the_convolution() -> None:
    assert residual("fused") == ["conv2d", "conv2d", "concat", "conv2d", "conv2d"]


def test_wide_sums_go_in_blocks() -> None:
    found = residual("auto", 520, 4)
    assert found.count("concat") > 2
    assert found.count("channel_slice") > 2


def test_three_maps_are_added_at_once() -> None:
    net = Net()
    a, b, c = (net.conv(net.input(1, 4, 16, 16), 4, 4) for _ in range(3))
    y = net.op("Sub", a, net.op("Add", b, c))
    module = check(net.model(net.conv(y, 4, 4)), "kpu-legalize-adds")
    assert names(module) == ["conv2d", "conv2d", "conv2d", "concat", "conv2d", "conv2d"]
    concat = next(op for op in module.walk() if isinstance(op, kpu.ConcatOp))
    assert len(concat.inputs) == 3


@pytest.mark.parametrize(
    ("kind", "shape", "reason"),
    [
        ("Mul", (), "the KPU has no mul of two maps, only sums, and products with constants"),
        ("Add", (1, 1, 16, 16), "the constant [1, 1, 16, 16] is not one number for each channel"),
        ("Add", (), "adds=cpu was asked for"),
    ],
)
def test_what_stays_has_a_reason(kind: str, shape: tuple[int, ...], reason: str) -> None:
    net = Net()
    a, b = (net.conv(net.input(1, 4, 16, 16), 4, 4) for _ in range(2))
    y = net.op(kind, a, net.random(*shape) if shape else b)
    module = check(net.model(net.conv(y, 4, 4), b), "kpu-legalize-adds{adds=cpu}")
    assert list(reasons(module)) == [reason]


def test_sums_of_the_cpu_stay_there() -> None:
    net = Net()
    module = check(net.model(net.op("Add", net.input(1, 4, 16, 16), net.input(1, 4, 16, 16))), "kpu-legalize-adds")
    assert (names(module), list(reasons(module))) == (["binary"], [])
