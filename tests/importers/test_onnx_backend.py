"""ONNX's own node tests for the ops in scope: each passes, or is listed in `backend` with the reason.

The pooling cases and those made of functions' bodies are left out here, since making them takes ten seconds; all of
them: `python -m tests.importers.backend`.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import pytest
from onnx import TensorProto

import kpuir
from kpuir import onnx_backend, plugins
from kpuir.errors import InvalidInputError, KpuirError
from tests.importers.backend import FAILING, FAILING_AS_INSTRUCTIONS, SLOW, cases, in_scope, outcome, surprises
from tests.importers.nets import net, node


@pytest.fixture(autouse=True)
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for installed packages takes longer than importing one node."""
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [])


@cache
def found() -> dict[str, Any]:
    return {name: case for name, case in cases(SLOW, functions=False).items() if in_scope(case)}


def test_node_cases() -> None:
    """Every other case; which of them changes with the version of onnx."""
    results = {name: outcome(found()[name]) for name in sorted(found())[::2]}
    assert not surprises(results, "ktensor")
    assert len(results) >= 325


def test_node_cases_as_instructions() -> None:
    """Every fifteenth case, compiled in float and run by the machine."""
    results = {name: outcome(found()[name], "kbuf") for name in sorted(found())[::15]}
    assert not surprises(results, "kbuf")


def test_few_cases_fail() -> None:
    """Of those in scope, 1138 with onnx 1.23, at least 97 percent pass as functions, and 90 percent as instructions."""
    assert len(FAILING) <= 0.03 * len(found())
    assert len(FAILING) + len(FAILING_AS_INSTRUCTIONS) <= 0.1 * len(found())


def test_integers_and_bools_come_back_as_such() -> None:
    element = onnx.helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)
    graph = onnx.helper.make_graph(
        [element],
        "net",
        [onnx.helper.make_tensor_value_info("x", TensorProto.INT32, [2, 3])],
        [onnx.helper.make_tensor_value_info("y", TensorProto.INT64, [2])],
    )
    x = np.array([[1, 7, 7], [9, -2, 3]], np.int32)
    (y,) = onnx_backend.run_model(onnx.helper.make_model(graph), [x])
    assert y.dtype == np.int64
    assert y.tolist() == [1, 0]
    info = [(np.dtype(np.bool_), (2, 3))]
    (z,) = onnx_backend.run_node(node("Greater", ["a", "b"]), [x, x[:, ::-1]], outputs_info=info)
    assert z.dtype == np.bool_
    assert np.array_equal(z, x > x[:, ::-1])


def test_parameters_that_come_as_inputs_are_those_of_each_run() -> None:
    model = net([node("Reshape", ["x", "s"])], {"x": [2, 6], "s": [2]})
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    prepared = onnx_backend.prepare(model)
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    for shape in ([3, 4], [4, 3]):
        assert prepared.run([x, np.array(shape)])[0].shape == tuple(shape)


def test_batches_of_matrices_that_broadcast_as_instructions() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 1, 3, 4), (1, 2, 4, 2)))
    model = net([node("MatMul", ["a", "b"])], {"a": a.shape, "b": b.shape})
    (y,) = onnx_backend.run_model(model, [a, b], through="kbuf")
    np.testing.assert_allclose(y, a @ b, rtol=1e-5, atol=1e-5)


def test_scalars_are_compiled_too(tmp_path: Path) -> None:
    path = tmp_path / "scale.onnx"
    path.write_bytes(net([node("Mul", ["x", "s"])], {"x": (1, 4, 4, 4), "s": ()}).SerializeToString())
    samples = [{"x": np.ones((1, 4, 4, 4), np.float32), "s": np.array(0.5, np.float32)}]
    assert np.allclose(kpuir.compile(path, dataset=samples).run(samples[0])["y"], 0.5, atol=0.01)


def test_what_is_not_supported() -> None:
    assert onnx_backend.supports_device("CPU")
    assert not onnx_backend.supports_device("CUDA")
    with pytest.raises(ValueError, match="no device 'CUDA'"):
        onnx_backend.prepare(net([node("Relu", ["x"])], {"x": [1]}), "CUDA")
    with pytest.raises(KpuirError, match="IsNaN has no counterpart"):
        onnx_backend.run_model(net([node("IsNaN", ["x"])], {"x": [1]}), [np.zeros(1, np.float32)])
    with pytest.raises(InvalidInputError, match="2 inputs"):
        onnx_backend.run_model(net([node("Relu", ["x"])], {"x": [1]}), [np.zeros(1, np.float32)] * 2)
