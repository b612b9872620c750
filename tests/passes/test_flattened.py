"""Matrix products with flattened maps, and several in a row, against ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import kpuir
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.run import run
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.kpu_legalize_flattened import copies
from kpuir.pipelines import make_context, parse_passes, run_passes

TO_KPU = "ktensor-simplify,kpu-legalize{flattened=kpu}"


def network(height: int, width: int, channels: int, *neurons: int) -> onnx.ModelProto:
    """A convolution with ReLU, flattened, and matrix products with ReLU behind it."""
    rng = np.random.default_rng(height * 100 + width)
    arrays = {"w": rng.normal(0, 0.3, (channels, 3, 3, 3)), "b": rng.normal(0, 0.1, channels)}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["f"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["f"], ["r"]),
        helper.make_node("Flatten", ["r"], ["y0"]),
    ]
    inputs = channels * height * width
    for index, outputs in enumerate(neurons):
        arrays[f"v{index}"] = rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs))
        arrays[f"c{index}"] = rng.normal(0, 0.1, outputs)
        nodes.append(helper.make_node("Gemm", [f"y{index}", f"v{index}", f"c{index}"], [f"z{index}"]))
        last = index == len(neurons) - 1
        nodes.append(helper.make_node("Identity" if last else "Relu", [f"z{index}"], [f"y{index + 1}"]))
        inputs = outputs
    graph = helper.make_graph(
        nodes,
        "flattened",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info(f"y{len(neurons)}", onnx.TensorProto.FLOAT, [1, neurons[-1]])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def reference(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0])


@pytest.mark.parametrize("size", range(1, 12))
def test_copies_see_every_row(size: int) -> None:
    seen = {row for moved in copies(size) for row in range(moved, moved + 3)}
    assert set(range(size)) <= seen


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.integers(1, 9), neurons=st.integers(1, 4))
def test_products_in_real_numbers(height: int, width: int, channels: int, neurons: int) -> None:
    model = network(height, width, channels, neurons, 3)
    x = np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)
    module = import_onnx(model.SerializeToString())
    run_passes(make_context(), module, parse_passes(TO_KPU, lambda: PIPELINES))
    wanted = reference(model, x)
    np.testing.assert_allclose(run(module, [x])[0], wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (7, 7), (5, 9)], ids=str)
def test_products_in_bytes(size: tuple[int, int]) -> None:
    """Nothing is left for the CPU but conversions, also of a second and third product."""
    model = network(*size, 16, 24, 12, 10)
    rng = np.random.default_rng(1)
    samples = [{"x": rng.uniform(0, 1, (1, 3, *size)).astype(np.float32)} for _ in range(8)]
    compiled = kpuir.compile(
        import_onnx(model.SerializeToString()), dataset=samples, passes=f"{TO_KPU},kpu-quantize-all,kbuf-lower"
    )
    assert set(compiled.report.cpu_ops) <= {"dequantize", "quantize"} | ({"pad"} if min(size) < 4 else set())
    wanted = np.stack([reference(model, sample["x"]) for sample in samples])
    found = np.stack([compiled.run(sample)["y3"] for sample in samples])
    step = (max(wanted.max(), 0) - min(wanted.min(), 0)) / 255
    assert np.abs(found - wanted).mean() <= 3 * 1.5 * step  # one and a half for each product
