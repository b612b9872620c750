"""Pooling of every window, padding and stride in KPU RAM, against ONNX Runtime."""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp

import kpuir
from kpuir.dialects import kpu, ktensor
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.run import run
from kpuir.named_pipelines import PIPELINES
from kpuir.pipelines import make_context, parse_passes, run_passes

TO_KPU = "ktensor-simplify,kpu-legalize{pools=kpu}"


@dataclass(frozen=True)
class Pool:
    """One pooling operation of a model, and the convolution in front of it."""

    size: tuple[int, int]
    window: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil: bool = False
    mean: bool = False
    activation: str = "Relu"
    padded: bool = True
    """Whether the convolution keeps the size of the map."""
    depthwise: bool = False
    channels: int = 5
    counts: bool = False
    """Whether padding counts in a mean."""
    whole: str = ""
    """The operator that takes the maximum of the whole map instead."""

    def model(self) -> onnx.ModelProto:
        """An ONNX model."""
        rng = np.random.default_rng(self.size)
        inputs = self.channels
        arrays = {
            "w": rng.normal(0, 0.4, (self.channels, 1 if self.depthwise else inputs, 3, 3)),
            "b": rng.normal(0, 0.4, self.channels),
        }
        pool = helper.make_node(
            "AveragePool" if self.mean else "MaxPool",
            ["g" if self.activation else "f"],
            ["y"],
            kernel_shape=self.window,
            strides=self.strides,
            pads=self.pads,
            ceil_mode=int(self.ceil),
        )
        if self.counts:
            pool.attribute.append(helper.make_attribute("count_include_pad", 1))
        if self.whole:
            pool = helper.make_node(self.whole, pool.input, ["y"])
        if self.whole == "ReduceMax":
            pool.attribute.append(helper.make_attribute("axes", [2, 3]))
        groups = inputs if self.depthwise else 1
        nodes = [
            helper.make_node("Conv", ["x", "w", "b"], ["f"], pads=[int(self.padded)] * 4, group=groups),
            *([helper.make_node(self.activation, ["f"], ["g"])] if self.activation else []),
            pool,
        ]
        graph = helper.make_graph(
            nodes,
            "pools",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, inputs, *self.size])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    def sample(self, seed: int = 0) -> np.ndarray:
        """An input."""
        rng = np.random.default_rng(seed)
        return rng.uniform(-1, 1, (1, self.channels, *self.size)).astype(np.float32)


def reference(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0])


def legalized(model: onnx.ModelProto, passes: str = TO_KPU) -> ModuleOp:
    module = import_onnx(model.SerializeToString())
    run_passes(make_context(), module, parse_passes(passes, lambda: PIPELINES))
    module.verify()
    return module


def pools_left(module: ModuleOp) -> list[ktensor.MaxPool2dOp | ktensor.AveragePool2dOp]:
    return [op for op in module.walk() if isinstance(op, ktensor.MaxPool2dOp | ktensor.AveragePool2dOp)]


@st.composite
def maxima(draw: st.DrawFn) -> Pool:
    window = draw(st.integers(1, 6))
    low, high = st.integers(0, min(window - 1, 3)), st.integers(0, min(window - 1, 3))
    stride = draw(st.sampled_from([1, 2, 2, 4]))
    return Pool(
        (draw(st.integers(3, 14)), draw(st.integers(3, 14))),
        (window, window),
        (stride, stride),
        (draw(low), draw(low), draw(high), draw(high)),
        draw(st.booleans()),
        activation=draw(st.sampled_from(["Relu", "HardSwish", "LeakyRelu", ""])),
        padded=draw(st.booleans()),
        depthwise=draw(st.booleans()),
    )


@settings(max_examples=40, deadline=None)
@given(maxima())
def test_maxima_in_real_numbers(pool: Pool) -> None:
    shrunk = 0 if pool.padded else 2
    sizes = [
        side - shrunk + low + high for side, low, high in zip(pool.size, pool.pads[:2], pool.pads[2:], strict=True)
    ]
    assume(min(sizes) >= pool.window[0] and min(pool.size) > shrunk)
    model = pool.model()
    module = legalized(model)
    wanted = reference(model, pool.sample())
    np.testing.assert_allclose(run(module, [pool.sample()])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)
    assert not pools_left(module)


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    whole=st.sampled_from(["GlobalMaxPool", "ReduceMax"]),
    activation=st.sampled_from(["Relu", "LeakyRelu", ""]),
    depthwise=st.booleans(),
    padded=st.booleans(),
)
def test_maxima_of_whole_maps_in_real_numbers(
    size: tuple[int, int], whole: str, activation: str, depthwise: bool, padded: bool
) -> None:
    assume(padded or min(size) > 2)
    pool = Pool(size, size, (1, 1), activation=activation, depthwise=depthwise, padded=padded, whole=whole)
    model = pool.model()
    module = legalized(model)
    wanted = reference(model, pool.sample())
    np.testing.assert_allclose(run(module, [pool.sample()])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)
    assert not pools_left(module)


MEANS = (
    Pool((9, 9), (2, 2), (2, 2), mean=True, depthwise=True),
    Pool((9, 12), (2, 2), (2, 2), mean=True, padded=False),
    Pool((16, 20), (4, 4), (4, 4), mean=True, depthwise=True),
    Pool((19, 18), (4, 4), (4, 4), mean=True, padded=False),
    Pool((6, 5), (2, 2), (1, 1), (0, 0, 1, 1), mean=True, depthwise=True),
    Pool((6, 5), (2, 2), (1, 1), mean=True, padded=False),
    Pool((4, 6), (2, 2), (2, 2), mean=True, activation=""),
    Pool((9, 8), (3, 3), (1, 1), (1, 1, 1, 1), mean=True, counts=True),
    Pool((9, 8), (3, 3), (2, 2), mean=True),
    Pool((9, 8), (3, 2), (2, 1), (1, 0, 0, 1), mean=True, counts=True),
)

MAXIMA = (
    Pool((12, 12), (2, 2), (2, 2), depthwise=True),
    Pool((12, 13), (2, 2), (2, 2), padded=False),
    Pool((12, 13), (3, 3), (2, 2), (1, 1, 1, 1), channels=16),
    Pool((12, 13), (3, 3), (2, 2), ceil=True, activation="LeakyRelu"),
    Pool((12, 13), (3, 3), (2, 2), ceil=True),
    Pool((7, 8), (3, 3), (1, 1), (1, 1, 1, 1), activation="HardSwish"),
    Pool((7, 9), (5, 5), (1, 1), (2, 2, 2, 2), activation="LeakyRelu"),
    Pool((7, 8), (9, 9), (1, 1), (4, 4, 4, 4)),
    Pool((13, 10), (13, 13), (1, 1), (6, 6, 6, 6), activation=""),
    Pool((8, 8), (8, 8), (1, 1), whole="GlobalMaxPool"),
    Pool((13, 15), (13, 15), (1, 1), whole="GlobalMaxPool", activation="LeakyRelu"),
    Pool((16, 16), (16, 16), (1, 1), whole="ReduceMax", depthwise=True),
)


ROWS = (
    Pool((1, 16), (1, 2), (1, 2)),
    Pool((1, 17), (1, 3), (1, 2), (0, 1, 0, 1)),
    Pool((2, 9), (2, 3), (2, 1), activation="LeakyRelu"),
    Pool((8, 8), (8, 8), (1, 1), depthwise=True),
)


@pytest.mark.parametrize("pool", [*MEANS, *ROWS], ids=str)
def test_others_in_real_numbers(pool: Pool) -> None:
    model = pool.model()
    module = legalized(model)
    wanted = reference(model, pool.sample())
    np.testing.assert_allclose(run(module, [pool.sample()])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)
    assert not pools_left(module)


@pytest.mark.parametrize("pool", [*MEANS, *MAXIMA], ids=str)
def test_pools_in_bytes(pool: Pool) -> None:
    """Within one and a half steps of the result on average, no pool on the CPU."""
    model = pool.model()
    samples = [{"x": pool.sample(seed)} for seed in range(6)]
    passes = f"{TO_KPU},kpu-quantize-all,kbuf-lower"
    compiled = kpuir.compile(import_onnx(model.SerializeToString()), dataset=samples, passes=passes)
    assert set(compiled.report.cpu_ops) <= {"dequantize", "pad", "quantize", "strided_slice"}
    wanted = np.stack([reference(model, sample["x"]) for sample in samples])
    found = np.stack([compiled.run(sample)["y"] for sample in samples])
    step = (max(wanted.max(), 0) - min(wanted.min(), 0)) / 255
    assert np.abs(found - wanted).mean() <= 1.5 * step


@pytest.mark.parametrize("activation", ["", "LeakyRelu"])
def test_padding_below_all_values_stays_in_kpu_ram(activation: str) -> None:
    """The stem of a ResNet without ReLU: what lies outside never wins, and no map is moved by the CPU."""
    pool = Pool((28, 29), (3, 3), (2, 2), (1, 1, 1, 1), activation=activation, channels=16)
    samples = [{"x": pool.sample(seed)} for seed in range(6)]
    compiled = kpuir.compile(import_onnx(pool.model().SerializeToString()), dataset=samples)
    assert set(compiled.report.cpu_ops) <= {"dequantize", "quantize"}
    wanted = np.stack([reference(pool.model(), sample["x"]) for sample in samples])
    found = np.stack([compiled.run(sample)["y"] for sample in samples])
    assert np.abs(found - wanted).mean() <= 1.5 * np.ptp(wanted) / 255


def pyramid(channels: int) -> onnx.ModelProto:
    """Maxima of three windows around each pixel beside the map itself (SPP), between two convolutions."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(0, 0.4, (channels, 3, 1, 1)), "v": rng.normal(0, 0.1, (8, 4 * channels, 1, 1))}
    nodes = [helper.make_node("Conv", ["x", "w"], ["f"]), helper.make_node("Relu", ["f"], ["r"])]
    for window in (5, 9, 13):
        pads = [window // 2] * 4
        nodes.append(helper.make_node("MaxPool", ["r"], [f"p{window}"], kernel_shape=[window] * 2, pads=pads))
    nodes.append(helper.make_node("Concat", ["r", "p5", "p9", "p13"], ["c"], axis=1))
    nodes.append(helper.make_node("Conv", ["c", "v"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "pyramid",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 10, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 8, 10, 8])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def test_a_pyramid_stays_in_kpu_ram_and_shares_its_layers() -> None:
    model = pyramid(16)
    samples = [{"x": np.random.default_rng(seed).uniform(-1, 1, (1, 3, 10, 8)).astype(np.float32)} for seed in range(4)]
    compiled = kpuir.compile(import_onnx(model.SerializeToString()), dataset=samples)
    assert (compiled.report.uploads, compiled.report.downloads) == (0, 1)
    assert compiled.report.cpu_ops == {"dequantize": 1}
    module = legalized(model, "ktensor-simplify,kpu-legalize")
    pooling = [op for op in module.walk() if isinstance(op, kpu.Conv2dOp) and op.pool_kind.is_max]
    assert len(pooling) == 12
    for sample in samples:
        wanted = reference(model, sample["x"])
        assert np.abs(compiled.run(sample)["y"] - wanted).mean() <= 1.5 * np.ptp(wanted) / 255
