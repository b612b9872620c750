"""Tensor functions of kmodel v5 that no compiler of ours writes, and what of them is refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime import InferenceSession

from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf import Machine
from kpuir.kmodel import v5
from kpuir.target.stackvm import BINARY, UNARY, DataType, signatures
from kpuir.translate import check_loadable, read_kmodel

TYPES = {"float32": DataType.FLOAT32, "int64": DataType.INT64}


def kmodel(function: str, fields: dict[str, Any], inputs: Sequence[NDArray[Any]], *outputs: Sequence[int]) -> bytes:
    """One function of inputs; outputs are float32."""
    taken = [v5.TensorType(TYPES[one.dtype.name], one.shape) for one in inputs]
    given = [v5.TensorType(DataType.FLOAT32, tuple(shape)) for shape in outputs]
    places = [v5.Address(v5.Location.INPUT, start) for start in v5.offsets(taken)[:-1]]
    places += [v5.Address(v5.Location.OUTPUT, start) for start in v5.offsets(given)[:-1]]
    names = [one.name for one in signatures("1.9")[function].pushes]
    code = (v5.Operation(function, fields, dict(zip(names, places, strict=True))),)
    module = v5.Module(v5.STACKVM, (v5.Function(taken, given, code),), b"", ((v5.Location.DATA, 0),))
    return v5.write(v5.Model((module,)))


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize(("scale", "ratio", "size"), [(0.5, 2, (3, 4)), (1.0, 0, (2, 2)), (0.25, 3, (5, 7))])
def test_regions_as_onnx_runtime(mode: str, scale: float, ratio: int, size: tuple[int, int]) -> None:
    """Bit by bit as in nncase's simulator, which has the same formula."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 9, 11)).astype(np.float32)
    rois = np.array(
        [(0, 0, 20, 16), (3, 2, 4, 3), (-5, -6, 9, 9), (10, 4, 30, 25), (5, 5, 5, 5), (1.3, 2.7, 17.2, 12)], np.float32
    )
    images = np.array([0, 1, 1, 0, 0, 1])
    shape = (6, 3, *size)
    fields = {"dt": DataType.FLOAT32, "sh": x.shape, "shd": shape, "mode": int(mode == "max")}
    fields |= {"spatial_scale": scale, "sampling_ratio": ratio}
    (found,) = Machine(read_kmodel(kmodel("roi_align", fields, [x, rois, images], shape)), check=True).run(
        [x, rois, images]
    )
    names = {"x": x, "r": rois, "b": images}
    numbers: dict[str, Any] = {
        "output_height": size[0],
        "output_width": size[1],
        "sampling_ratio": ratio,
        "spatial_scale": scale,
    }
    kinds = [TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("RoiAlign", [*names], ["y"], mode=mode, **numbers)],
        "g",
        [info(name, kind, array.shape) for (name, array), kind in zip(names.items(), kinds, strict=True)],
        [info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=7)
    expected = np.asarray(InferenceSession(model.SerializeToString()).run(None, names)[0])
    np.testing.assert_allclose(found.reshape(shape), expected, rtol=1e-5, atol=1e-6)


X = np.ones((1, 4), np.float32)
ONE = {"dt": DataType.FLOAT32, "sh": (1, 4), "st": (4, 1), "std": (4, 1)}
_SHAPES = {**dict.fromkeys(("sh1", "sh2", "shd"), (1, 4)), **dict.fromkeys(("st1", "st2", "std"), (4, 1))}
PAIR = {**_SHAPES, "dt": DataType.FLOAT32, "lo": -1.0, "hi": 1.0}


@pytest.mark.parametrize(
    ("function", "fields", "why"),
    [
        ("binary", PAIR | {"op": BINARY.index("floor_mod")}, "no runtime does binary floor_mod"),
        ("binary", PAIR | {"op": 99}, "no runtime does binary number 99"),
        ("unary", ONE | {"op": UNARY.index("bitwise_not")}, "no runtime does unary bitwise_not"),
        ("sigmoid", ONE | {"dt": DataType.INT32}, "no runtime does sigmoid on int32"),
    ],
)
def test_what_no_runtime_does(function: str, fields: dict[str, Any], why: str) -> None:
    data = kmodel(function, fields, [X] * (2 if function == "binary" else 1), (1, 4))
    assert check_loadable(read_kmodel(data)) == [f"operation 0: kbuf.v5_tensor: {why}"]
    with pytest.raises(InvalidInputError, match=why):
        Machine(read_kmodel(data))


def test_what_is_not_executed() -> None:
    topk = {"dt": DataType.FLOAT32, "sh": (1, 4), "st": (4, 1), "k": 4, "axis": 1, "largest": 1, "sorted": 0}
    topk |= {"shd1": (1, 4), "std1": (4, 1), "shd2": (1, 4), "std2": (4, 1)}
    with pytest.raises(InvalidInputError, match="in which order runtimes leave what they do not sort"):
        Machine(read_kmodel(kmodel("topk", topk, [X], (1, 4), (1, 8))))
    numbers = {"dt": DataType.FLOAT32, "shd": (1, 4), "mean": 0.0, "std": 1.0, "seed": 0.0}
    with pytest.raises(InvalidInputError, match="random_normal is not executed: each run gives other numbers"):
        Machine(read_kmodel(kmodel("random_normal", numbers, [], (1, 4))))


ANCHORS = np.array([(0.5, 0.5, 1, 1), (0.5, 0.6, 1, 1), (2.5, 2.5, 1, 1), (5, 5, 2, 2)], np.float32)
BOXES = np.array([[(0, 0, 0, 0), (0, 0, 0, 0), (1, -2, 0, 0), (0, 0, 0, 0)]], np.float32)
SCORES = np.array([[(0, 0.5, 0.2, 0.1), (0, 0.7, 0.6, 0.3), (0.1, 0.3, 0.4, 0.9), (0, 0.2, 0.35, 0)]], np.float32)
FIRST, THIRD, LAST = [0, 0.1, 1, 1.1], [2.1, 1.6, 3.1, 2.6], [4, 4, 6, 6]


@pytest.mark.parametrize(
    ("by_class", "corners", "classes", "scores"),
    [
        (0, [THIRD, FIRST, LAST], [2, 0, 1], [0.9, 0.7, 0.35]),
        (1, [FIRST, FIRST, THIRD, LAST, THIRD], [0, 1, 1, 1, 0], [0.7, 0.6, 0.4, 0.35, 0.3]),
    ],
)
def test_detections_as_in_the_simulator_of_nncase(
    by_class: int, corners: list[list[float]], classes: list[int], scores: list[float]
) -> None:
    """It leaves out the last class where it looks at each by itself."""
    inputs = [BOXES, SCORES, ANCHORS]
    fields: dict[str, Any] = {"sh_boxes": BOXES.shape, "sh_scores": SCORES.shape, "sh_anchors": ANCHORS.shape}
    fields |= {"max_detections": 5, "max_classes_per_detection": 1, "detections_per_class": 5, "classes": 3}
    fields |= {"regular_nms": by_class, "score_threshold": 0.25, "iou_threshold": 0.5}
    fields |= {"y_scale": 10.0, "x_scale": 5.0, "h_scale": 5.0, "w_scale": 5.0}
    data = kmodel("tflite_detection_postprocess", fields, inputs, (1, 5, 4), (1, 5), (1, 5), (1,))
    found = [one.ravel() for one in Machine(read_kmodel(data)).run(inputs)]
    count = len(scores)
    np.testing.assert_allclose(found[0].reshape(5, 4)[:count], corners, atol=1e-6)
    assert found[1][:count].tolist() == classes
    np.testing.assert_allclose(found[2][:count], scores, atol=1e-6)
    assert found[3].tolist() == [count]
