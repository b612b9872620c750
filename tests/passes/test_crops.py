"""Networks on maps that are computed larger than the model wants compute what ONNX Runtime does, cropped late."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kpuir
from kpuir.dialects import kpu, ktensor
from kpuir.importers.onnx import import_onnx
from tests.importers.nets import runtime
from tests.passes.onnx_nets import Net, check, names
from tests.zoo.models import tcn, unet

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LEGAL = ("ktensor-simplify", "kpu-legalize")


class Crops(Net):
    """Convolutions with any padding, and what joins their results; maps are [1, C, H, W]."""

    def __init__(self, seed: int, channels: int, height: int, width: int) -> None:
        super().__init__(seed)
        self.channels = channels
        self.sizes = {(x := self.input(1, channels, height, width)): (height, width)}
        self.values = [x]

    def padded(self, x: str, kernel: tuple[int, int], pads: tuple[int, ...], dilation: int = 1) -> str:
        """A convolution of stride 1 as the padding leaves it; ReLU behind."""
        spread = 2 / np.sqrt(self.channels * np.prod(kernel))
        weight = self.random(self.channels, self.channels, *kernel, low=-spread, high=spread)
        dilations = [1 if size == 1 else dilation for size in kernel]
        y = self.op("Conv", x, weight, self.random(self.channels), pads=list(pads), dilations=dilations)
        extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
        height, width = self.sizes[x]
        return self.keep(
            self.op("Relu", y), height + pads[0] + pads[2] - extents[0] + 1, width + pads[1] + pads[3] - extents[1] + 1
        )

    def keep(self, x: str, height: int, width: int) -> str:
        self.sizes[x] = height, width
        self.values.append(x)
        return x

    def cut(self, x: str, height: int, width: int) -> str:
        """The middle of a map."""
        if self.sizes[x] == (height, width):
            return x
        starts = [(have - want) // 2 for have, want in zip(self.sizes[x], (height, width), strict=True)]
        ends = [start + want for start, want in zip(starts, (height, width), strict=True)]
        limits = [self.constant(np.array(array, np.int64)) for array in (starts, ends, [2, 3])]
        return self.keep(self.op("Slice", x, *limits), height, width)

    def joined(self, kind: str, a: str, b: str) -> str:
        """The sum of two maps, or both through a 1x1 convolution, as far as they overlap; perhaps a function."""
        height, width = (min(sizes) for sizes in zip(self.sizes[a], self.sizes[b], strict=True))
        a, b = (self.cut(x, height, width) for x in (a, b))
        if kind == "concat":
            y = self.op("Concat", a, b, axis=1)
            return self.keep(self.conv(y, 2 * self.channels, self.channels), height, width)
        y = self.op(kind.capitalize(), a, b)
        if self.rng.random() < 0.5:
            y = self.op("Mul", y, self.random(self.channels, 1, 1))
        return self.keep(self.op("Sigmoid", y), height, width)


def random_net(seed: int, channels: int, height: int, width: int, steps: list[str]) -> onnx.ModelProto:
    net = Crops(seed, channels, height, width)
    for step in steps:
        x = net.values[-1]
        height, width = net.sizes[x]
        dilation = 2 if step == "causal" and net.rng.random() < 0.5 else 1
        if step == "valid" and min(height, width) > 2:
            net.padded(x, (3, 3), (0, 0, 0, 0))
        elif step == "causal":
            net.padded(x, (1, 3), (0, 2 * dilation, 0, 0), dilation)
        elif step == "same":
            net.padded(x, (3, 3), (1, 1, 1, 1))
        elif step == "row":
            net.padded(x, (1, 3), (0, 1, 0, 1))
        elif step == "point":
            net.padded(x, (1, 1), (0, 0, 0, 0))
        elif step in ("add", "sub", "concat"):
            net.joined(step, x, net.values[int(net.rng.integers(len(net.values)))])
    return net.model(net.conv(net.values[-1], channels, 3))


STEPS = st.lists(
    st.sampled_from(["valid", "causal", "same", "row", "point", "add", "sub", "concat"]), min_size=2, max_size=7
)


@FEW
@given(
    seed=st.integers(0, 999),
    channels=st.sampled_from([1, 3, 8]),
    height=st.sampled_from([1, 2, 4, 9, 14]),
    width=st.sampled_from([1, 4, 9, 17, 34, 64]),
    steps=STEPS,
)
def test_crops(seed: int, channels: int, height: int, width: int, steps: list[str]) -> None:
    check(random_net(seed, channels, height, width, steps), to_kpu=LEGAL)


@FEW
@given(seed=st.integers(0, 999), width=st.sampled_from([4, 17, 40]), steps=STEPS)
def test_crops_in_order_of_passes(seed: int, width: int, steps: list[str]) -> None:
    """Each of both passes alone keeps what is computed."""
    model = random_net(seed, 4, 3, width, steps)
    check(model, "kpu-sink-crops")
    check(model, "kpu-cancel-crops")


def compiled(model: onnx.ModelProto, shape: tuple[int, ...], name: str) -> tuple[kpuir.CompiledModel, float]:
    """A kmodel, and its mean error in steps of the output's range."""
    rng = np.random.default_rng(0)
    samples = [{name: rng.uniform(-1, 1, shape).astype(np.float32)} for _ in range(6)]
    found = kpuir.compile(import_onnx(model.SerializeToString()), dataset=samples)
    wanted = np.stack([runtime(model, sample)[0] for sample in samples])
    ours = np.stack([next(iter(found.run(sample).values())) for sample in samples])
    step = (max(wanted.max(), 0) - min(wanted.min(), 0)) / 255
    return found, float(np.abs(ours - wanted).mean() / step)


@pytest.mark.parametrize(
    ("size", "steps"),
    [
        ((1, 64), ["row", "row", "add", "causal", "add"]),
        ((3, 20), ["point", "row", "sub", "concat"]),
        ((20, 20), ["valid", "valid", "add", "valid"]),
    ],
)
def test_crops_in_bytes(size: tuple[int, int], steps: list[str]) -> None:
    _, error = compiled(random_net(1, 8, *size, steps), (1, 8, *size), "x0")
    assert error <= 1.5


def test_residual_blocks_on_one_row_stay_in_kpu_ram() -> None:
    """Sums included; only the mean at the end is the CPU's."""
    found, error = compiled(tcn(64, 16), (1, 16, 1, 64), "image")
    assert (found.report.uploads, found.report.downloads) == (2, 2)
    assert not any("binary" in op for op in found.report.cpu_ops)
    assert error <= 1.5


@pytest.mark.parametrize("length", [32, 60, 64])
def test_causal_blocks_stay_in_kpu_ram(length: int) -> None:
    """Padding in front, also where rows are just as long as their lines."""
    net = Crops(0, 8, 1, length)
    x = net.padded("x0", (1, 1), (0, 0, 0, 0))
    for dilation in (1, 2, 4):
        pads = (0, 2 * dilation, 0, 0)
        y = net.padded(net.padded(x, (1, 3), pads, dilation), (1, 3), pads, dilation)
        x = net.keep(net.op("Relu", net.op("Add", x, y)), 1, length)
    found, error = compiled(net.model(net.conv(x, 8, 4)), (1, 8, 1, length), "x0")
    assert (found.report.uploads, found.report.downloads) == (1, 1)
    assert error <= 1.5


def test_transposed_convolutions_take_one_transpose_each() -> None:
    found, error = compiled(unet(32, 8), (1, 3, 32, 32), "image")
    transposes = found.report.cpu_ops.get("transpose", 0)
    assert 0 < transposes <= found.report.downloads
    assert error <= 1.5


def test_convolutions_without_padding_are_cropped_once() -> None:
    net = Crops(0, 8, 20, 20)
    for _ in range(3):
        net.padded(net.values[-1], (3, 3), (0, 0, 0, 0))
    assert names(check(net.model(net.values[-1]), to_kpu=LEGAL)) == ["conv2d", "conv2d", "conv2d", "crop"]


def test_zeros_that_are_seen_are_kept() -> None:
    """Behind a convolution without padding one that is padded, on 3 rows: the crop in between is no detour."""
    net = Crops(0, 4, 5, 12)
    net.padded(net.padded("x0", (3, 3), (0, 0, 0, 0)), (3, 3), (1, 1, 1, 1))
    check(net.model(net.values[-1]), to_kpu=LEGAL)


@pytest.mark.parametrize("build", [lambda: tcn(32, 8), lambda: unet(32, 8)])
def test_no_operation_outside_of_the_module_uses_a_value(build: Any) -> None:
    """Such a user would be rewritten again, or keep what it uses from being removed."""
    module = check(build(), to_kpu=LEGAL)
    users = [use.operation for op in module.walk() for result in op.results for use in result.uses]
    assert all(user.parent_block() is not None for user in users)
    assert not any(isinstance(op, ktensor.Conv2dOp) for op in module.walk())
    assert any(isinstance(op, kpu.Conv2dOp) for op in module.walk())
