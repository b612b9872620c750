"""The networks that come with onnx, whose weights are all alike there, with random weights against ONNX Runtime.

All nine: `python -m tests.importers.test_onnx_zoo`; here those of a second.
"""

import math
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from kpuir.importers.onnx import import_onnx
from tests.importers.nets import feeds, interpret, runtime

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
QUICK = ("shufflenet", "squeezenet")


def with_random_weights(path: Path) -> onnx.ModelProto:
    """The model with random numbers, scaled to keep the size of activations, where it makes tensors of one value."""
    model = onnx.load(path)
    model.ir_version = 8  # of the oldest, initializers are inputs as well
    graph = model.graph
    shapes = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    rng = np.random.default_rng(0)
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = shapes[node.input[0]].tolist()
        readers = [
            (one.op_type, list(one.input).index(node.output[0])) for one in graph.node if node.output[0] in one.input
        ]
        if len(shape) > 1:
            values = rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / math.prod(shape[1:])))
        elif ("BatchNormalization", 4) in readers:
            values = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            values = rng.uniform(-0.1, 0.1, shape).astype(np.float32) + np.float32(("BatchNormalization", 1) in readers)
        graph.initializer.append(onnx.numpy_helper.from_array(values, node.output[0]))
    if kept[-1].op_type == "Softmax":  # which makes one of the large results 1 and all others 0
        graph.output[0].name = kept.pop().input[0]
    del graph.node[:]
    graph.node.extend(kept)
    return model


def difference(name: str) -> float:
    """The greatest difference to ONNX Runtime, relative to the largest output."""
    model = with_random_weights(FOLDER / f"light_{name}.onnx")
    inputs = feeds(model)
    (expected,) = runtime(model, inputs)
    (found,) = interpret(import_onnx(model.SerializeToString()), list(inputs.values()))
    assert found.shape == expected.shape
    assert float(np.ptp(expected)) > 1e-4 * float(np.abs(expected).max()), "the network computes a constant"
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", QUICK)
def test_network(name: str) -> None:
    assert difference(name) < 1e-4


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.onnx")):
        print(path.stem, difference(path.stem.removeprefix("light_")), flush=True)
