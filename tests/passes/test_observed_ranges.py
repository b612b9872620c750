"""Ranges where readers are several, or look at values in another shape; against ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import kpuir

Samples = list[dict[str, np.ndarray]]


def cosines(
    path: Path,
    nodes: list[onnx.NodeProto],
    outputs: dict[str, list[int]],
    weights: dict[str, np.ndarray],
    samples: Samples,
) -> list[float]:
    """The smallest cosine of each output of a compiled model whose input is `x`, on its samples."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, samples[0]["x"].shape)
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], results, constants)
    file = path / "x.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    model = kpuir.compile(file, dataset=samples)
    session = onnxruntime.InferenceSession(file)
    found: dict[str, list[float]] = {name: [] for name in outputs}
    for sample in samples[:4]:
        ours = model.run(sample)
        for name, theirs in zip(outputs, session.run(None, sample), strict=True):
            a, b = ours[name].ravel(), np.asarray(theirs).ravel()
            found[name].append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
    return [min(values) for values in found.values()]


def test_two_layers_read_one_float_input(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(8, 3, 3, 3)).astype(np.float32) for name in "wv"}
    nodes = [helper.make_node("Conv", ["x", w], [y], name=y, pads=[1] * 4) for w, y in (("w", "a"), ("v", "b"))]
    samples = [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(6)]
    shape = [1, 8, 8, 8]
    assert min(cosines(tmp_path, nodes, {"a": shape, "b": shape}, weights, samples)) > 0.999


def test_a_softmax_looks_at_a_layer_in_another_shape(tmp_path: Path) -> None:
    """As in the heads of detectors: the layer's range is that of all its pixels."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.02, 1, 64).reshape(8, 8) ** 3 * 8
    samples = [{"x": (np.abs(rng.normal(size=(1, 3, 8, 8))) * ramp).astype(np.float32)} for _ in range(12)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a"),
        helper.make_node("Reshape", ["a", "s"], ["b"]),
        helper.make_node("Transpose", ["b"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Softmax", ["t"], ["y"], axis=1),
    ]
    weights = {"w": rng.normal(size=(8, 3, 1, 1)).astype(np.float32), "s": np.array([1, 2, 4, 64])}
    assert min(cosines(tmp_path, nodes, {"y": [1, 4, 2, 64]}, weights, samples)) > 0.999
