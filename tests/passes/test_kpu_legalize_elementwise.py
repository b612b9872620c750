"""Functions, scales, shifts and PReLUs on the KPU compute what ONNX Runtime does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.dialects import kpu, ktensor
from kpuir.passes.kpu_legalize_elementwise import Choice
from tests.passes.onnx_nets import Net, check, names, reasons

SIZES = st.tuples(st.sampled_from([1, 3, 5, 8]), st.integers(4, 12), st.integers(4, 40))
FEW = settings(max_examples=30)
FUNCTIONS = ("Relu", "Sigmoid", "HardSwish", "Abs", "Neg", "Tanh")


def chain(net: Net, x: str, channels: int, steps: list[str]) -> str:
    """Functions, and scales and shifts with one number or one for each channel."""
    for step in steps:
        if step in FUNCTIONS:
            x = net.op(step, x)
        else:
            kind, size = step.split()
            other = net.random(1, channels if size == "C" else 1, 1, 1, low=0.5, high=2)
            x = net.op(kind, *((other, x) if size == "swapped" else (x, other)))
    return x


STEPS = st.lists(
    st.sampled_from([*FUNCTIONS, "Add C", "Mul C", "Sub 1", "Div C", "Mul 1", "Sub swapped"]), min_size=1, max_size=4
)


@FEW
@given(size=SIZES, steps=STEPS, before=st.booleans(), after=st.sampled_from([0, 1, 3]), seed=st.integers(0, 99))
def test_chains_behind_and_before_convolutions(
    size: tuple[int, int, int], steps: list[str], before: bool, after: int, seed: int
) -> None:
    net, channels = Net(seed), size[0]
    x = net.input(1, *size)
    y = net.conv(x, channels, channels) if before else x
    z = chain(net, y, channels, steps)
    w = net.conv(z, channels, 4, after) if after else z
    module = check(net.model(w, z, *([y] if before else [])), "kpu-legalize-elementwise{elementwise=kpu}")
    if before or after:
        assert set(names(module)) <= {"conv2d", "depthwise"}


@FEW
@given(size=SIZES, kernel=st.sampled_from([1, 3]), depthwise=st.booleans(), seed=st.integers(0, 99))
def test_scales_fold_into_convolutions(size: tuple[int, int, int], kernel: int, depthwise: bool, seed: int) -> None:
    """Without the pass that does it at the ktensor level, so that there is something left to fold."""
    net, channels = Net(seed), size[0]
    x = chain(net, net.input(1, *size), channels, ["Mul C"])
    y = net.conv(net.op("Add", x, net.random(1, channels, 1, 1)), channels, channels, kernel, depthwise)
    y = net.op("Add", net.op("Mul", y, net.random(1, channels, 1, 1)), net.random(1, channels, 1, 1))
    module = check(net.model(y), "kpu-legalize-elementwise{elementwise=kpu}", to_kpu=["convert-ktensor-to-kpu"])
    assert len(names(module)) == (1 if kernel == 1 else 2)


def test_a_function_behind_a_concat_goes_into_the_convolutions() -> None:
    net = Net()
    x = net.input(1, 4, 8, 8)
    y = net.op("Sigmoid", net.op("Concat", net.conv(x, 4, 3), net.conv(x, 4, 5, 3), axis=1))
    module = check(net.model(y), "kpu-legalize-elementwise")
    assert names(module) == ["conv2d", "conv2d", "concat"]


def test_chains_are_one_layer() -> None:
    net = Net()
    y = net.conv(net.input(1, 4, 32, 32), 4, 4)
    z = net.conv(chain(net, y, 4, ["Mul C", "Add C", "Sigmoid", "Mul 1"]), 4, 4)
    module = check(net.model(net.op("Add", y, z)), "kpu-legalize-elementwise")
    assert names(module) == ["conv2d", "depthwise", "conv2d", "binary"]


def test_many_channels_go_in_parts() -> None:
    net = Net()
    x = net.input(1, 1030, 4, 4)
    y = net.op("Sigmoid", x)
    parts = [net.op("Slice", y, *(net.constant(np.array([v])) for v in (b, b + 515, 1))) for b in (0, 515)]
    z = net.op("Add", *(net.conv(part, 515, 4) for part in parts))
    module = check(net.model(z), "kpu-legalize-elementwise{elementwise=kpu}")
    assert names(module)[:5] == ["channel_slice", "depthwise", "channel_slice", "depthwise", "concat"]


@pytest.mark.parametrize(
    ("choice", "steps", "reason"), [("cpu", ["Relu"], "elementwise=cpu was asked for"), ("auto", ["Neg"], "")]
)
def test_who_decides(choice: Choice, steps: list[str], reason: str) -> None:
    net = Net()
    y = net.conv(net.input(1, 4, 32, 32), 4, 4)
    z = net.conv(chain(net, y, 4, steps), 4, 4)
    module = check(net.model(y, z), f"kpu-legalize-elementwise{{elementwise={choice}}}")
    assert list(reasons(module)) == ([reason] if reason else [])


@FEW
@given(
    size=SIZES,
    kernel=st.sampled_from([1, 3]),
    producer=st.sampled_from(["conv", "depthwise", "shared", "none"]),
    readers=st.lists(st.sampled_from(["conv1", "conv3", "depthwise", "pool", "result"]), min_size=1, max_size=2),
    choice=st.sampled_from(["auto", "absorb", "layer"]),
    seed=st.integers(0, 99),
)
def test_prelu(
    size: tuple[int, int, int], kernel: int, producer: str, readers: list[str], choice: str, seed: int
) -> None:
    net, channels = Net(seed), size[0]
    x = net.input(1, *size)
    if producer != "none":
        x = net.conv(x, channels, channels, kernel, producer == "depthwise")
    p = net.op("PRelu", x, net.random(channels, 1, 1))
    results = [x] if producer == "shared" else []
    for reader in readers:
        if reader.startswith("conv"):
            results.append(net.conv(p, channels, 3, int(reader[4])))
        elif reader == "depthwise":
            results.append(net.conv(p, channels, channels, 3, True))
        else:
            results.append(net.op("MaxPool", p, kernel_shape=[2, 2], strides=[2, 2]) if reader == "pool" else p)
    module = check(net.model(*results), f"kpu-legalize-prelu{{prelu={choice}}}")
    if choice != "auto" and (producer != "none" or set(readers) & {"conv1", "conv3", "depthwise"}):
        assert not any(isinstance(op, ktensor.PReluOp) for op in module.walk())


@pytest.mark.parametrize("producer", [True, False])
def test_prelu_of_many_channels(producer: bool) -> None:
    net = Net()
    x = net.input(1, 8 if producer else 600, 4, 4)
    x = net.conv(x, 8, 600) if producer else x
    y = net.conv(net.op("PRelu", x, net.random(600, 1, 1)), 600, 4)
    module = check(net.model(y), "kpu-legalize-prelu{prelu=absorb}")
    layers = [op for op in module.walk() if isinstance(op, kpu.Conv2dOp)]
    assert len(layers) == (5 if producer else 7)


def test_prelu_is_absorbed() -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 16, 16), 3, 8, 3)
    y = net.conv(net.op("PRelu", x, net.random(8, 1, 1)), 8, 8, 3)
    assert names(check(net.model(y), "kpu-legalize-prelu")) == ["conv2d", "conv2d"]


def test_prelu_of_one_slope_is_leaky_relu() -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 16, 16), 3, 8, 3)
    y = net.op("PRelu", x, net.constant(np.full((8, 1, 1), 0.25)))
    assert names(check(net.model(y), "kpu-legalize-prelu", "kpu-legalize-elementwise")) == ["conv2d"]


def test_prelu_stays_with_a_reason() -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 16, 16), 3, 8, 3)
    y = net.op("PRelu", x, net.random(8, 16, 1))
    module = check(net.model(y), "kpu-legalize-prelu")
    assert list(reasons(module)) == ["the slopes are no constants, one for each channel"]
