"""Element-wise results in the place of their operands: less memory, the same numbers, in every version."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import kpuir

SHAPE = [1, 2, 16, 16]


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_a_chain_of_functions(version: str, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Exp", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Cos", ["b"], ["c"]),
        helper.make_node("Add", ["c", "a"], ["d"]),
        helper.make_node("Abs", ["d"], ["y"]),
    ]
    values = (helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy")
    x, y = values
    graph = helper.make_graph(nodes, "g", [x], [y])
    path = tmp_path / "x.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    samples = [{"x": np.random.default_rng(i).normal(size=SHAPE).astype(np.float32)} for i in range(2)]
    whole, plain = (
        kpuir.compile(path, dataset=samples, kmodel=version, passes=passes)
        for passes in (None, "kpu-default{until=kbuf-legalize-v5},kbuf-allocate")
    )
    size = 4 * int(np.prod(SHAPE))
    assert whole.report.main_ram_peak <= plain.report.main_ram_peak - size
    theirs = onnxruntime.InferenceSession(path).run(None, samples[0])[0]
    for model in (whole, plain):
        np.testing.assert_allclose(model.run(samples[0])["y"], np.asarray(theirs), rtol=1e-5, atol=1e-6)
    loaded = whole.loaded(check=True)
    loaded.run(samples[0])
    assert loaded.warnings == []
