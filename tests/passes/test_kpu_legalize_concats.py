"""Concats, slices and shuffles of channels on the KPU compute what ONNX Runtime does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.dialects import kpu, ktensor
from tests.passes.onnx_nets import Net, check, names, reasons

WIDTHS = st.sampled_from([4, 7, 16, 17, 32, 33])
FEW = settings(max_examples=40)
ALL = (
    "kpu-legalize-adds",
    "kpu-legalize-prelu",
    "kpu-legalize-elementwise",
    "kpu-legalize-space-to-depth",
    "kpu-legalize-concats",
)


def sliced(net: Net, x: str, begin: int, end: int, axis: int = 1) -> str:
    """Channels from `begin` to `end`."""
    return net.op("Slice", x, *(net.constant(np.array([number])) for number in (begin, end, axis)))


def shuffled(net: Net, x: str, channels: int, groups: int, size: tuple[int, int]) -> str:
    """Channels as group convolutions like them."""
    x = net.op("Reshape", x, net.constant(np.array([1, groups, channels // groups, *size])))
    x = net.op("Transpose", x, perm=[0, 2, 1, 3, 4])
    return net.op("Reshape", x, net.constant(np.array([1, channels, *size])))


def random_net(net: Net, size: tuple[int, int], steps: list[str]) -> str:
    """A net in which channels move; every step takes a map and its number of channels."""
    x, channels = net.conv(net.input(1, 3, *size), 3, 6, 3), 6
    old = (x, channels)
    for step in steps:
        before = (x, channels)
        if step == "slice":
            begin = int(net.rng.integers(0, channels // 2))
            end = int(net.rng.integers(begin + 1, channels + 1))
            x, channels = sliced(net, x, begin, end), end - begin
        elif step == "concat":
            x, channels = net.op("Concat", old[0], x, axis=1), old[1] + channels
        elif step == "shuffle" and channels % 2 == 0:
            x = shuffled(net, x, channels, 2, size)
        elif step.startswith("conv"):
            outputs = int(net.rng.integers(2, 7))
            x, channels = net.conv(x, channels, outputs, int(step[4])), outputs
        elif step == "depthwise":
            x = net.conv(x, channels, channels, 3, True)
        elif step == "add":
            x = net.op("Add", x, net.op("Relu", x))
        elif step == "sigmoid":
            x = net.op("Sigmoid", x)
        elif step == "pool" and min(size) >= 8 and step != steps[-1]:
            pooled = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            net.extra.append(net.conv(pooled, channels, 2, 1))
        old = before if net.rng.random() < 0.5 else old
    return x


STEPS = st.lists(
    st.sampled_from(
        ["slice", "slice", "concat", "concat", "shuffle", "conv1", "conv3", "depthwise", "add", "sigmoid", "pool"]
    ),
    min_size=2,
    max_size=8,
)


@FEW
@given(
    width=WIDTHS,
    height=st.integers(4, 9),
    steps=STEPS,
    choice=st.sampled_from(["auto", "kpu"]),
    seed=st.integers(0, 999),
)
def test_random_nets(width: int, height: int, steps: list[str], choice: str, seed: int) -> None:
    net = Net(seed)
    channels_net = random_net(net, (height, width), steps)
    passes = (*ALL[:-1], f"kpu-legalize-concats{{concats={choice}}}")
    check(net.model(channels_net, *net.extra), *passes)


def test_fire() -> None:
    """SqueezeNet: the concat of two convolutions is read by one; a pool goes into both."""
    net = Net()
    x = net.conv(net.input(1, 3, 16, 16), 3, 6)
    y = net.op("Concat", net.op("Relu", net.conv(x, 6, 5)), net.op("Relu", net.conv(x, 6, 7, 3)), axis=1)
    y = net.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    module = check(net.model(net.conv(y, 12, 4)), *ALL, "kpu-fuse-pools")
    assert names(module) == ["conv2d", "conv2d", "conv2d", "concat", "conv2d"]
    last = [op for op in module.walk() if isinstance(op, kpu.Conv2dOp)][-1]
    assert ktensor.shape_of(last.weight) == (4, 15, 1, 1)


def test_shuffle_units() -> None:
    """ShuffleNetV2: units of half the channels, shuffled and split; each reads only what the one before made."""
    net = Net()
    x = net.conv(net.input(1, 3, 14, 14), 3, 16)
    for _ in range(4):
        left, right = sliced(net, x, 0, 8), sliced(net, x, 8, 16)
        right = net.op("Relu", net.conv(right, 8, 8))
        right = net.op("Relu", net.conv(net.conv(right, 8, 8, 3, True), 8, 8))
        x = shuffled(net, net.op("Concat", left, right, axis=1), 16, 2, (14, 14))
    module = check(net.model(net.conv(x, 16, 4)), *ALL)
    found = names(module)
    assert set(found) == {"conv2d", "depthwise", "move", "channel_slice", "concat"}
    assert found.count("channel_slice") == 1
    assert max(ktensor.shape_of(op.output)[1] for op in module.walk() if isinstance(op, kpu.ConcatOp)) == 24
    assert found.count("move") == 3


def test_dense_block() -> None:
    """DenseNet: concats of concats, normalized and rectified before each convolution."""
    net = Net()
    x, channels = net.conv(net.input(1, 3, 8, 20), 3, 5), 5
    for _ in range(3):
        y = net.op("Mul", x, net.random(channels, 1, 1, low=0.5))
        y = net.conv(net.op("Relu", net.op("Add", y, net.random(channels, 1, 1))), channels, 3, 3)
        x, channels = net.op("Concat", x, y, axis=1), channels + 3
    module = check(net.model(net.conv(x, channels, 4)), *ALL)
    assert set(names(module)) == {"conv2d", "depthwise", "concat", "channel_slice"} - {"channel_slice"}


def test_passthrough() -> None:
    """YOLO: a finer map as four times the channels beside a coarser one."""
    net = Net()
    x = net.conv(net.input(1, 3, 16, 16), 3, 8)
    y = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    z = net.op("Concat", net.op("SpaceToDepth", x, blocksize=2), net.conv(y, 8, 8, 3), axis=1)
    module = check(net.model(net.conv(z, 40, 4)), *ALL, "kpu-legalize-strides")
    assert "space_to_depth" not in names(module)
    assert names(module)[-2:] == ["concat", "conv2d"]


def test_tight_slices() -> None:
    """A slice on lines is free; another one costs weights of zero."""
    for begin, expected in ((4, ["conv2d", "channel_slice", "conv2d"]), (1, ["conv2d", "conv2d"])):
        net = Net()
        x = net.conv(net.input(1, 3, 16, 16), 3, 8)
        assert names(check(net.model(net.conv(sliced(net, x, begin, 8), 8 - begin, 4)), *ALL)) == expected


def test_for_the_cpu_nothing_changes() -> None:
    net = Net()
    x = net.input(1, 3, 16, 16)
    y = net.op("Concat", net.conv(x, 3, 4), net.conv(x, 3, 5), axis=1)
    module = check(net.model(y), *ALL)
    assert names(module) == ["conv2d", "conv2d", "concat"]
    assert any(isinstance(op, ktensor.ConcatOp) for op in module.walk())


@pytest.mark.parametrize("wide", [False, True])
def test_what_stays_has_a_reason(wide: bool) -> None:
    net = Net()
    x = net.conv(net.input(1, 3, 4, 4), 3, 600 if wide else 8)
    y = net.conv(net.input(1, 3, 4, 4), 3, 600 if wide else 8)
    z = net.op("Concat", x, y, axis=1)
    z = sliced(net, z, 300, 900) if wide else z
    module = check(
        net.model(net.conv(z, 600 if wide else 16, 4)), f"kpu-legalize-concats{{concats={'auto' if wide else 'cpu'}}}"
    )
    assert list(reasons(module)) == ([] if wide else ["concats=cpu was asked for"])
