"""Means over whole maps on the KPU, alone and in front of a matrix product, against ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import kpuir
from kpuir.dialects import kpu, ktensor
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.run import run
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.kpu_legalize_global_pools import sum_kernels
from kpuir.pipelines import make_context, parse_passes, run_passes

TO_KPU = "ktensor-simplify,kpu-legalize{means=kpu}"


def network(
    height: int, width: int, channels: int, neurons: int, padded: bool = True, relu: bool = True, bias: float = 0.0
) -> onnx.ModelProto:
    """A convolution with ReLU, the mean of its map, and `neurons` linear combinations of it (0: the mean itself)."""
    rng = np.random.default_rng(height * 100 + width)
    arrays = {
        "w": rng.normal(0, 0.3, (channels, 3, 3, 3)),
        "b": rng.normal(bias, 0.1, channels),
        "v": rng.normal(0, 0.3, (channels, max(neurons, 1))),
        "c": rng.normal(0, 0.1, max(neurons, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["f"], pads=[int(padded)] * 4),
        helper.make_node("Relu" if relu else "Identity", ["f"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["m"]),
        helper.make_node("Flatten", ["m"], ["y" if not neurons else "flat"]),
    ]
    if neurons:
        nodes.append(helper.make_node("Gemm", ["flat", "v", "c"], ["y"]))
    shape = [1, 3, height, width]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, neurons or channels])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def reference(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0])


@pytest.mark.parametrize("count", range(1, 9))
def test_kernels_average(count: int) -> None:
    product = np.ones(1)
    for kernel in sum_kernels(count):
        product = np.convolve(product, kernel)
    used = product[np.abs(product) > 1e-12]
    np.testing.assert_allclose(used, np.full(count, 1 / count), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), channels=st.integers(1, 9), neurons=st.integers(0, 3))
def test_means_in_real_numbers(height: int, width: int, channels: int, neurons: int) -> None:
    model = network(height, width, channels, neurons)
    x = np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)
    module = import_onnx(model.SerializeToString())
    run_passes(make_context(), module, parse_passes(TO_KPU, lambda: PIPELINES))
    wanted = reference(model, x)
    np.testing.assert_allclose(run(module, [x])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)


def compiled(model: onnx.ModelProto, samples: list[dict[str, np.ndarray]], means: str) -> kpuir.CompiledModel:
    """The network with its means on the KPU or on the CPU."""
    passes = f"ktensor-simplify,kpu-legalize{{means={means}}},kpu-quantize-all,kbuf-lower"
    module = import_onnx(model.SerializeToString())
    return kpuir.compile(module, dataset=samples, calibration="minmax", passes=passes)


def steps_off(model: onnx.ModelProto, samples: list[dict[str, np.ndarray]], means: str) -> float:
    """The mean error of the results, in steps of 1/255 of their range."""
    found = compiled(model, samples, means)
    wanted = np.stack([reference(model, sample["x"]) for sample in samples])
    step = (max(wanted.max(), 0) - min(wanted.min(), 0)) / 255
    return float(np.abs(np.stack([found.run(sample)["y"] for sample in samples]) - wanted).mean() / step)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    channels=st.sampled_from([1, 2, 3, 4, 5, 8, 12, 16, 32]),
    neurons=st.sampled_from([0, 1, 3, 10]),
    relu=st.booleans(),
    bias=st.sampled_from([-0.5, 0.0, 0.1, 1.0]),
    low=st.sampled_from([-1.0, -0.3, 0.0]),
)
def test_means_of_any_map_in_bytes(
    size: tuple[int, int], channels: int, neurons: int, relu: bool, bias: float, low: float
) -> None:
    """Wherever the bytes of the map carry the mean: not where its channels cancel each other."""
    model = network(*size, channels, neurons, relu=relu, bias=bias)
    rng = np.random.default_rng(2)
    samples = [{"x": rng.uniform(low, 1, (1, 3, *size)).astype(np.float32)} for _ in range(8)]
    assume(steps_off(model, samples, "cpu") <= 0.4)
    assert steps_off(model, samples, "kpu") <= 1.5


@pytest.mark.parametrize("neurons", [0, 12])
@pytest.mark.parametrize(
    "size", [(3, 3), (4, 4), (5, 5), (7, 7), (8, 8), (25, 5), (6, 8), (9, 9), (13, 13), (15, 20)], ids=str
)
def test_means_in_bytes(size: tuple[int, int], neurons: int) -> None:
    """Within one and a half steps of the result on average, without any mean on the CPU."""
    model = network(*size, 32, neurons)
    rng = np.random.default_rng(1)
    samples = [{"x": rng.uniform(0, 1, (1, 3, *size)).astype(np.float32)} for _ in range(8)]
    assert set(compiled(model, samples, "kpu").report.cpu_ops) <= {"dequantize", "pad", "quantize"}
    assert steps_off(model, samples, "kpu") <= 1.5


def test_a_mean_stays_in_kpu_ram() -> None:
    module = import_onnx(network(25, 5, 64, 12).SerializeToString())
    run_passes(make_context(), module, parse_passes("ktensor-simplify,kpu-legalize", lambda: PIPELINES))
    assert not any(isinstance(op, ktensor.AveragePool2dOp | ktensor.ReduceOp) for op in module.walk())
    assert [kpu.size4(op.output.type)[1] for op in module.walk() if isinstance(op, kpu.FoldRowsOp)] == [320]


def test_a_large_product_reads_only_4x4_pixels() -> None:
    """On the whole of a 7x7 map it would take longer than the CPU's mean and its ways there and back."""
    model = network(7, 7, 256, 1000)
    module = import_onnx(model.SerializeToString())
    run_passes(make_context(), module, parse_passes("ktensor-simplify,kpu-legalize", lambda: PIPELINES))
    assert not any(isinstance(op, ktensor.AveragePool2dOp | ktensor.ReduceOp) for op in module.walk())
    *_, product = [op for op in module.walk() if isinstance(op, kpu.Conv2dOp)]
    assert kpu.size4(product.output.type) == (1, 1000, 4, 4)
    x = np.random.default_rng(0).normal(size=(1, 3, 7, 7)).astype(np.float32)
    wanted = reference(model, x)
    np.testing.assert_allclose(run(module, [x])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)


def test_a_product_of_partial_sums_reads_the_whole_map() -> None:
    """More channels than a layer takes: no pixel is cropped and padded again in front of the sums."""
    model = network(7, 7, 1280, 10)
    module = import_onnx(model.SerializeToString())
    run_passes(make_context(), module, parse_passes("ktensor-simplify,kpu-legalize", lambda: PIPELINES))
    assert not any(isinstance(op, ktensor.ReduceOp | kpu.PadOp) for op in module.walk())
    assert [ktensor.shape_of(op.input) for op in module.walk() if isinstance(op, kpu.CropOp)] == [(1, 10, 7, 7)]
    x = np.random.default_rng(0).normal(size=(1, 3, 7, 7)).astype(np.float32)
    wanted = reference(model, x)
    np.testing.assert_allclose(run(module, [x])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)
    samples = [{"x": np.random.default_rng(seed).uniform(0, 1, x.shape).astype(np.float32)} for seed in range(4)]
    assert steps_off(model, samples, "kpu") <= 1.5


@pytest.mark.parametrize("neurons", [0, 3])
def test_an_unpadded_convolution_in_front_of_a_large_map(neurons: int) -> None:
    """The mean of 12x12 pixels of a map of 14x14: cropped, then pooled."""
    model = network(14, 14, 8, neurons, padded=False)
    x = np.random.default_rng(0).normal(size=(1, 3, 14, 14)).astype(np.float32)
    module = import_onnx(model.SerializeToString())
    run_passes(make_context(), module, parse_passes(TO_KPU, lambda: PIPELINES))
    assert not any(isinstance(op, ktensor.AveragePool2dOp | ktensor.ReduceOp) for op in module.walk())
    wanted = reference(model, x)
    np.testing.assert_allclose(run(module, [x])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)
