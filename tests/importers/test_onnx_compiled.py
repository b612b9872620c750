"""ONNX models through the whole compiler: preprocessing that is part of the model, and ops that are made of others."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from PIL import Image

import kpuir
import kpuir.onnx_backend
from tests.importers.nets import Array, floats, net, node, runtime
from tests.importers.test_onnx_ops import weights

NETWORK = [
    node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
    node("Relu", ["c"], ["r"]),
    node("Conv", ["r", "v"], ["y"], pads=[1, 1, 1, 1]),
]
CONSTANTS = {
    "w": weights(8, 3, 3, 3),
    "v": weights(8, 8, 3, 3),
    "mean": floats([123, 117, 104]).reshape(1, 3, 1, 1),
    "std": floats([58, 57, 56]).reshape(1, 3, 1, 1),
    "last_mean": floats([123, 117, 104]),
    "unit": np.float32(1 / 255),
    "half": np.float32(127.5),
    "one": np.float32(1),
    "zero": np.float32(0),
    "255": np.float32(255),
    "norm_scale": floats([1, 1.1, 0.9]),
    "norm_variance": floats([3400, 3300, 3200]),
    "reversed": np.array([2, 1, 0]),
    "-1": np.array([-1]),
    "-9": np.array([-9]),
    "axis": np.array([1]),
    "0": np.array([0]),
    "axes01": np.array([0, 1]),
    "joined": weights(3, 12, 1, 1),
    "to_end": np.array([2**31, 2**31]),
    "twice": np.array([2, 2]),
    "axes1": np.array([1, 2]),
    "axes2": np.array([2, 3]),
    **{f"{row}{column}": np.array([row, column]) for row in (0, 1) for column in (0, 1)},
}


def cast(source: str, target: str) -> onnx.NodeProto:
    return node("Cast", [source], [target], to=TensorProto.FLOAT)


def to_planar(source: str, target: str) -> onnx.NodeProto:
    return node("Transpose", [source], [target], perm=[0, 3, 1, 2])


def focus(axis: int) -> list[onnx.NodeProto]:
    """What YOLOv5 begins with, rows being an axis: every second pixel, column by column, as channels."""
    parts = [
        node("Slice", ["a", f"{row}{column}", "to_end", f"axes{axis}", "twice"], [f"f{row}{column}"])
        for column in (0, 1)
        for row in (0, 1)
    ]
    joined = node("Concat", [part.output[0] for part in parts], ["f"], axis=1 if axis == 2 else 3)
    return [cast("x", "a"), *parts, joined]


PREPROCESSING: dict[str, tuple[str, list[onnx.NodeProto]]] = {
    # the layout of the input, and what is done to it
    "mean and deviation": ("NCHW", [node("Sub", ["x", "mean"], ["a"]), node("Div", ["a", "std"], ["image"])]),
    "bytes": ("NCHW", [cast("x", "a"), node("Mul", ["a", "unit"], ["image"])]),
    "channels last": ("NHWC", [to_planar("x", "image")]),
    "from -1 to 1": ("NCHW", [cast("x", "a"), node("Div", ["a", "half"], ["b"]), node("Sub", ["b", "one"], ["image"])]),
    "pixels limited": (
        "NCHW",
        [cast("x", "a"), node("Div", ["a", "255"], ["b"]), node("Clip", ["b", "zero", "one"], ["image"])],
    ),
    "focus": ("NCHW", [*focus(2), node("Conv", ["f", "joined"], ["image"])]),
    "focus of channels last": ("NHWC", [*focus(1), to_planar("f", "g"), node("Conv", ["g", "joined"], ["image"])]),
    "batch norm": (
        "NCHW",
        [
            cast("x", "a"),
            node("BatchNormalization", ["a", "norm_scale", "norm_scale", "last_mean", "norm_variance"], ["image"]),
        ],
    ),
    "BGR by Gather": (
        "NHWC",
        [node("Gather", ["x", "reversed"], ["a"], axis=3), to_planar("a", "b"), node("Mul", ["b", "unit"], ["image"])],
    ),
    "BGR by Slice": (
        "NCHW",
        [cast("x", "a"), node("Slice", ["a", "-1", "-9", "axis", "-1"], ["b"]), node("Sub", ["b", "mean"], ["image"])],
    ),
    "BGR by Split and Concat": (
        "NHWC",
        [
            cast("x", "a"),
            node("Split", ["a"], ["red", "green", "blue"], axis=3),
            node("Concat", ["blue", "green", "red"], ["b"], axis=3),
            node("Sub", ["b", "last_mean"], ["c0"]),
            to_planar("c0", "image"),
        ],
    ),
    "everything": (
        "NHWC",
        [
            cast("x", "a"),
            node("Sub", ["a", "last_mean"], ["b"]),
            to_planar("b", "c0"),
            node("Div", ["c0", "std"], ["image"]),
        ],
    ),
}


def used(nodes: list[onnx.NodeProto]) -> dict[str, Any]:
    names = {name for one in nodes for name in one.input}
    return {name: array for name, array in CONSTANTS.items() if name in names}


def compiled(model: onnx.ModelProto, samples: list[dict[str, Array]], folder: Path) -> kpuir.CompiledModel:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return kpuir.compile(path, dataset=samples)


def cosine(found: Array, expected: Array) -> float:
    return float((found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", PREPROCESSING)
def test_the_bytes_of_the_camera_go_in_directly(name: str, tmp_path: Path) -> None:
    layout, before = PREPROCESSING[name]
    nodes = [*before, *NETWORK]
    element = TensorProto.UINT8 if before[0].op_type == "Cast" else TensorProto.FLOAT
    shape = (1, 3, 16, 16) if layout == "NCHW" else (1, 16, 16, 3)
    model = net(nodes, {"x": shape}, used(nodes), element=element)
    rng = np.random.default_rng(0)
    samples = [{"x": rng.integers(0, 256, shape).astype(np.float32)} for _ in range(6)]
    result = compiled(model, samples, tmp_path)
    entry = result.sidecar["inputs"][0]
    assert (entry["type"], entry["scale"], entry["zero_point"]) == ("uint8", 1.0, 0)
    assert (entry["layout"], entry["kmodel_layout"]) == (layout, "NCHW")
    assert result.report.cpu_ops == {"dequantize": 1}
    x = samples[0]["x"]
    given = x.astype(np.uint8) if element == TensorProto.UINT8 else x
    assert cosine(result.run({"x": x})["y"], runtime(model, {"x": given})[0]) > 0.9995


PICTURES: dict[str, tuple[tuple[int, ...], list[onnx.NodeProto]]] = {
    "HWC": (
        (16, 16, 3),
        [
            cast("x", "a"),
            node("Sub", ["a", "last_mean"], ["b"]),
            node("Transpose", ["b"], ["c0"], perm=[2, 0, 1]),
            node("Unsqueeze", ["c0", "0"], ["image"]),
        ],
    ),
    "HWC with a batch first": ((16, 16, 3), [node("Unsqueeze", ["x", "0"], ["a"]), to_planar("a", "image")]),
    "HWC, BGR": (
        (16, 16, 3),
        [
            node("Gather", ["x", "reversed"], ["a"], axis=2),
            node("Unsqueeze", ["a", "0"], ["b"]),
            to_planar("b", "image"),
        ],
    ),
    "CHW": ((3, 16, 16), [node("Mul", ["x", "unit"], ["a"]), node("Unsqueeze", ["a", "0"], ["image"])]),
    "HW": (
        (16, 16),
        [cast("x", "a"), node("Unsqueeze", ["a", "axes01"], ["b"]), node("Concat", ["b", "b", "b"], ["image"], axis=1)],
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_without_a_batch_go_in_directly(name: str, tmp_path: Path) -> None:
    shape, before = PICTURES[name]
    nodes = [*before, *NETWORK]
    element = TensorProto.UINT8 if before[0].op_type == "Cast" else TensorProto.FLOAT
    model = net(nodes, {"x": shape}, used(nodes), element=element)
    rng = np.random.default_rng(0)
    samples = [{"x": rng.integers(0, 256, shape).astype(np.float32)} for _ in range(4)]
    result = compiled(model, samples, tmp_path)
    entry = result.sidecar["inputs"][0]
    assert (entry["type"], entry["scale"], entry["kmodel_layout"]) == ("uint8", 1.0, "NCHW")
    assert entry["kmodel_shape"] == [1, 1 if name == "HW" else 3, 16, 16]
    assert result.report.cpu_ops == {"dequantize": 1}
    x = samples[0]["x"]
    given = x.astype(np.uint8) if element == TensorProto.UINT8 else x
    assert cosine(result.run({"x": given})["y"], runtime(model, {"x": given})[0]) > 0.9995
    (exact,) = kpuir.onnx_backend.run_model(model, [given])
    np.testing.assert_allclose(exact, runtime(model, {"x": given})[0], rtol=1e-4, atol=1e-4)


def test_images_are_pixels_to_a_model_that_takes_bytes(tmp_path: Path) -> None:
    nodes = [cast("x", "a"), node("Mul", ["a", "unit"], ["b"]), to_planar("b", "image"), *NETWORK]
    (tmp_path / "model.onnx").write_bytes(
        net(nodes, {"x": (1, 16, 16, 3)}, used(nodes), element=TensorProto.UINT8).SerializeToString()
    )
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(100, 156, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "1.png")
    found = {
        mean: kpuir.compile(tmp_path / "model.onnx", dataset=tmp_path / "images", mean=mean).sidecar["inputs"][0]
        for mean in (None, (0.0,))
    }
    assert [found[mean]["scale"] for mean in (None, (0.0,))] == [1.0, pytest.approx(1 / 255)]
    assert found[None]["codes"] == {"type": "uint8", "scale": 1.0, "zero_point": 0}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kmodel", ["v3", "v4", "v5"])
def test_kmodels_that_take_and_give_channels_last(layout: str, kmodel: str, tmp_path: Path) -> None:
    """Whatever the source model's layout is: a transpose by the CPU each, of bytes and of floats."""
    before = [to_planar("x", "image")] if layout == "NHWC" else [node("Identity", ["x"], ["image"])]
    shape = (1, 16, 20, 3) if layout == "NHWC" else (1, 3, 16, 20)
    model = net([*before, *NETWORK], {"x": shape}, used(NETWORK))
    samples = [{"x": weights(*shape, seed=seed)} for seed in range(4)]
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    planar = kpuir.compile(path, dataset=samples, kmodel=kmodel).run(samples[0])["y"]
    result = kpuir.compile(path, dataset=samples, kmodel=kmodel, input_layout="NHWC", output_layout="NHWC")
    entry, output = result.sidecar["inputs"][0], result.sidecar["outputs"][0]
    assert (tuple(entry["shape"]), entry["layout"], entry["kmodel_layout"]) == (shape, layout, "NHWC")
    assert (output["shape"], output["layout"]) == ([1, 8, 8, 10], "NCHW")
    assert (output["kmodel_shape"], output["kmodel_layout"]) == ([1, 8, 10, 8], "NHWC")
    result.save(tmp_path / "model.kmodel")
    loaded = kpuir.load(tmp_path / "model.kmodel")
    assert np.array_equal(loaded.run(samples[0])["y"], planar)
    pixels = samples[0]["x"] if layout == "NHWC" else samples[0]["x"].transpose(0, 2, 3, 1)
    codes = np.clip(np.rint(pixels / np.float64(entry["scale"])) + entry["zero_point"], 0, 255).astype(np.uint8)
    (raw,) = loaded.run_raw([codes.reshape(entry["kmodel_shape"])])
    assert np.array_equal(raw.reshape(1, 8, 10, 8), planar.transpose(0, 2, 3, 1))


COMPOSED: dict[str, list[onnx.NodeProto]] = {
    "a table by the largest channel": [
        node("ArgMax", ["c"], ["i"], axis=1, keepdims=0),
        node("Gather", ["table", "i"], ["y"]),
    ],
    "a choice": [
        node("Greater", ["c", "zero"], ["m"]),
        node("Sinh", ["c"], ["s"]),
        node("Where", ["m", "s", "zero"], ["y"]),
    ],
    "the best three": [
        node("GlobalAveragePool", ["c"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("TopK", ["f", "three"], ["y", "i"]),
    ],
}


@pytest.mark.parametrize("name", COMPOSED)
def test_composed_ops_behind_a_layer(name: str, tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), *COMPOSED[name]]
    extra = {"table": weights(8, 5), "zero": np.float32(0), "three": np.array([3])}
    names = {one for each in nodes for one in each.input}
    constants = {"w": weights(8, 3, 3, 3), **{one: array for one, array in extra.items() if one in names}}
    model = net(nodes, {"x": (1, 3, 8, 8)}, constants)
    samples = [{"x": weights(1, 3, 8, 8, seed=seed) * 2} for seed in range(6)]
    result = compiled(model, samples, tmp_path)
    assert result.report.kpu_layers >= 1
    # the table is chosen by a comparison, so now and then a byte decides otherwise
    assert cosine(result.run(samples[0])["y"], runtime(model, samples[0])[0]) > 0.97


def test_codes_in_and_codes_out(tmp_path: Path) -> None:
    """Inputs and outputs that are codes keep their scale and zero point, and need no dataset."""
    constants: dict[str, Any] = {"s": np.float32(0.02), "z": np.uint8(120), "s2": np.float32(0.05), "z2": np.uint8(90)}
    nodes = [
        node("DequantizeLinear", ["x", "s", "z"], ["a"]),
        node("Conv", ["a", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("QuantizeLinear", ["c", "s2", "z2"], ["y"]),
    ]
    codes = np.random.default_rng(2).integers(-60, 61, (8, 3, 3, 3)).astype(np.float32)
    model = net(nodes, {"x": (1, 3, 8, 8)}, {**constants, "w": codes * np.float32(0.004)}, element=TensorProto.UINT8)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    path = tmp_path / "codes.onnx"
    path.write_bytes(model.SerializeToString())
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8), np.uint8)
    expected = runtime(model, {"x": x})[0]
    result = kpuir.compile(path)
    entry = result.sidecar["outputs"][0]["codes"]
    found = result.run({"x": x})["y"] / entry["scale"] + entry["zero_point"]
    assert (entry["type"], result.sidecar["inputs"][0]["codes"]["zero_point"]) == ("uint8", 120)
    assert np.abs(found - expected).max() <= 1.01
    assert (np.rint(found) == expected).mean() > 0.98
    assert np.array_equal(kpuir.onnx_backend.run_model(model, [x])[0], expected)
