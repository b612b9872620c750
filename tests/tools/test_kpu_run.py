"""kpu-run: arrays in and out of kmodels, comparison with a reference, test vectors, checks."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import kpuir
from kpuir.kmodel import v4
from tests.tools.conftest import Invoke


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as a kmodel with its .json."""
    digits = Path(__file__).parents[2] / "examples" / "digits"
    path = tmp_path_factory.mktemp("compiled") / "digits.kmodel"
    kpuir.compile(digits / "digits.onnx", dataset=digits / "calibration", samples=5).save(path)
    return path


def test_reference_vectors_and_outputs(invoke: Invoke, compiled: Path, digits: Path) -> None:
    options = ("--inputs", digits / "test.npz", "--samples", "6", "--reference", digits / "digits.onnx", "--check")
    ran = invoke("kpu-run", compiled, *options, "--outputs", "out.npz", "--vectors", "vectors", "--json")
    assert (ran.status, ran.err) == (0, "")
    result = json.loads(ran.out)
    (scores,) = result["outputs"]
    assert (scores["name"], scores["dtype"]) == ("scores", "float32")
    assert 0.99 < scores["cosine_min"] <= scores["cosine_mean"] <= 1.0000001
    assert 0 <= scores["max_abs_error"] < 0.2
    assert result["seconds_per_inference"] > 0
    assert result["warnings"] == []
    layers = {layer["layer"]: layer for layer in result["layers"]}
    assert layers["scores"]["snr_db"] > 20
    assert sum("note" not in layer for layer in layers.values()) >= 3

    with np.load(digits / "test.npz") as test:
        images = test["image"][[0, 50, 100, 150, 200, 250]]
    with np.load("out.npz") as outputs:
        stored = outputs["scores"].reshape(6, 10)
    names = sorted(path.name for path in Path("vectors").iterdir())
    assert names == sorted(f"s{n:03d}_{kind}0.bin" for n in range(6) for kind in ("in", "out"))
    for number in range(6):
        given = np.fromfile(f"vectors/s{number:03d}_in0.bin", np.uint8)
        np.testing.assert_array_equal(given, np.rint(images[number].ravel() * 255))
        came = np.fromfile(f"vectors/s{number:03d}_out0.bin", np.float32)
        np.testing.assert_array_equal(came, stored[number])
    check_against_api(compiled, images, stored, digits, scores)


def check_against_api(
    compiled: Path, images: np.ndarray, stored: np.ndarray, digits: Path, figures: dict[str, Any]
) -> None:
    """The same runs by hand: bytes in, and the comparison spelled out."""
    raw, exact = kpuir.load(compiled), kpuir.load(digits / "digits.onnx")
    errors: list[float] = []
    cosines: list[float] = []
    for image, scores in zip(images, stored, strict=True):
        pixels = np.rint(image * 255).astype(np.uint8).reshape(raw.inputs[0].kmodel_shape)
        np.testing.assert_array_equal(raw.run_raw([pixels])[0].ravel(), scores)
        wanted = exact.run({"image": image[None]})["scores"].ravel().astype(np.float64)
        errors.append(float(np.abs(wanted - scores).max()))
        cosines.append(float(wanted @ scores / np.linalg.norm(wanted) / np.linalg.norm(scores.astype(np.float64))))
    assert figures["max_abs_error"] == pytest.approx(max(errors), rel=1e-5)
    assert figures["cosine_mean"] == pytest.approx(np.mean(cosines), rel=1e-6)
    assert figures["cosine_min"] == pytest.approx(min(cosines), rel=1e-6)


def test_folders_of_images(invoke: Invoke, compiled: Path, digits: Path) -> None:
    ran = invoke("kpu-run", compiled, "--inputs", digits / "calibration", "--outputs", "a.npz")
    assert ran.status == 0
    assert ran.out.startswith("scores: ")
    assert "20 samples" in ran.err
    shutil.copy(compiled, "bare.kmodel")
    assert invoke("kpu-run", "bare.kmodel", "--inputs", digits / "calibration", "--outputs", "b.npz").status == 0
    with np.load("a.npz") as a, np.load("b.npz") as b:
        np.testing.assert_array_equal(a["scores"].ravel(), b["output0"].ravel())


def test_without_the_json_inputs_are_bytes(invoke: Invoke, compiled: Path, digits: Path) -> None:
    shutil.copy(compiled, "bare.kmodel")
    with np.load(digits / "test.npz") as test:
        pixels = np.rint(test["image"][:3] * 255)
    np.save("pixels.npy", pixels.astype(np.uint8))
    options = ("--inputs", "pixels.npy", "--reference", digits / "digits.onnx", "--json")
    (row,) = json.loads(invoke("kpu-run", "bare.kmodel", *options).out)["outputs"]
    assert row["name"] == "output0"
    assert row["cosine_min"] > 0.99
    np.save("pixels.npy", pixels)
    ran = invoke("kpu-run", "bare.kmodel", "--inputs", "pixels.npy")
    assert ran.status == 1
    assert "type is float32, input 'input0' takes uint8" in ran.err


def test_source_models_run_in_float(invoke: Invoke, digits: Path) -> None:
    ran = invoke("kpu-run", digits / "digits.onnx", "--inputs", digits / "test.npz", "--outputs", "out.npz")
    assert ran.status == 0
    with np.load("out.npz") as outputs, np.load(digits / "test.npz") as test:
        assert outputs["scores"].shape == (300, 10)
        assert (outputs["scores"].argmax(1) == test["label"]).mean() > 0.97


def test_check_fails_on_bytes_never_written(invoke: Invoke) -> None:
    never = v4.MemoryRange(v4.MemoryType.MAIN, v4.DataType.UINT8, 128, 12)
    given = v4.MemoryRange(v4.MemoryType.MAIN, v4.DataType.UINT8, 0, 12)
    real = v4.MemoryRange(v4.MemoryType.MAIN, v4.DataType.FLOAT32, 16, 48)
    model = v4.Model([(given, (1, 3, 2, 2))], [real], b"", 256, [v4.Dequantize(never, real, 3, 0.5)])
    Path("x.kmodel").write_bytes(v4.write(model))
    np.save("x.npy", np.zeros((1, 3, 2, 2), np.uint8))
    assert invoke("kpu-run", "x.kmodel", "--inputs", "x.npy").status == 0
    ran = invoke("kpu-run", "x.kmodel", "--inputs", "x.npy", "--check", "--json")
    assert ran.status == 4
    assert len(json.loads(ran.out)["warnings"]) == 1
    assert ran.err.startswith("error: x.kmodel: 1 warnings, the first: ")


def failure(invoke: Invoke, *arguments: str | Path) -> tuple[int, str]:
    ran = invoke("kpu-run", *arguments)
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    return ran.status, ran.err


def test_what_is_read_is_never_overwritten(invoke: Invoke, digits: Path) -> None:
    shutil.copy(digits / "digits.onnx", "x.onnx")
    before = Path("x.onnx").read_bytes()
    ran = invoke("kpu-run", "x.onnx", "--inputs", digits / "test.npz", "--outputs", "x.onnx")
    assert (ran.status, "would overwrite what is read" in ran.err) == (2, True)
    ran = invoke("kpu-run", "x.onnx", "--inputs", digits / "test.npz", "--vectors", "x.onnx")
    assert (ran.status, "is a file, not a folder" in ran.err) == (2, True)
    ran = invoke("kpu-translate", "--import-onnx", "x.onnx", "-o", "x.onnx")
    assert (ran.status, "would overwrite what is read" in ran.err) == (2, True)
    ran = invoke("kpu-opt", "x.onnx", "-o", "x.onnx")
    assert (ran.status, "would overwrite what is read" in ran.err) == (2, True)
    assert Path("x.onnx").read_bytes() == before
    Path("x.mlir").write_text("builtin.module {}")
    assert invoke("kpu-opt", "x.mlir", "-o", "x.mlir").status == 0  # text is transformed in place


def test_refusals(invoke: Invoke, compiled: Path, digits: Path) -> None:
    inputs = ("--inputs", digits / "test.npz", "--samples", "1")
    assert failure(invoke, "absent.kmodel", *inputs) == (1, "error: absent.kmodel: no such file\n")
    assert failure(invoke, compiled)[0] == 2
    assert failure(invoke, compiled, "--inputs", "absent.npy")[0] == 1
    assert failure(invoke, compiled, *inputs, "--reference", "absent.onnx")[0] == 1
    assert failure(invoke, compiled, *inputs, "--outputs", "absent/out.npz")[0] == 2
    Path("file").write_text("")
    assert failure(invoke, compiled, *inputs, "--vectors", "file")[0] == 2
    np.save("wrong.npy", np.zeros((2, 3, 16, 16), np.float32))
    status, text = failure(invoke, compiled, "--inputs", "wrong.npy")
    assert (status, "shape 2x3x16x16, input 'image' takes Nx1x1x16x16" in text) == (1, True)
    Path("x.kmodel").write_bytes(compiled.read_bytes()[:-100])
    status, text = failure(invoke, "x.kmodel", *inputs)
    assert status == 1
    assert text.startswith("error: x.kmodel: kmodel v4: byte ")
    Path("x.mlir").write_text("func.func @main(")
    assert failure(invoke, "x.mlir", *inputs)[0] == 1


def test_the_table_of_layers(invoke: Invoke, compiled: Path, digits: Path) -> None:
    options = ("--inputs", digits / "test.npz", "--samples", "4", "--reference")
    ran = invoke("kpu-run", compiled, *options, digits / "digits.onnx")
    assert ran.status == 0
    assert max(map(len, ran.out.splitlines())) <= 120
    head = (
        "layer",
        "op",
        "float",
        "range",
        "chosen",
        "range",
        "clip",
        "%",
        "sat",
        "%",
        "own",
        "dB",
        "acc",
        "dB",
        "dead",
    )
    assert head in [tuple(line.split()) for line in ran.out.splitlines()]
    assert "no layer's accumulated SNR is below 10 dB" in ran.out
    figures = json.loads(compiled.with_suffix(".json").read_text())["layers"]
    assert all(row["layer"][-20:] in ran.out for row in figures)
    ran = invoke("kpu-run", compiled, *options, digits / "digits.onnx", "--json")
    own = {row["layer"]: row["own_snr_db"] for row in json.loads(ran.out)["layers"] if "note" not in row}
    assert own == {row["layer"]: row["own_snr_db"] for row in figures if row["layer"] in own}


def test_layers_that_cannot_be_compared(invoke: Invoke, compiled: Path, digits: Path) -> None:
    options = ("--inputs", digits / "test.npz", "--samples", "2", "--reference")
    Path("other.onnx").write_bytes((digits / "digits.onnx").read_bytes() + b"\x12\x01x")
    ran = invoke("kpu-run", compiled, *options, "other.onnx")
    assert (ran.status, "made of another file" in ran.err) == (0, True)
    ran = invoke("kpu-run", digits / "digits.onnx", *options, digits / "digits.onnx")
    assert (ran.status, "no .json beside the model describes them" in ran.err) == (0, True)


@pytest.mark.parametrize(
    "change",
    [
        {"instruction": 10**6},
        {"operation": "x"},
        {"operation": -(10**6)},
        {"gains": [1.0, 2.0]},
        {"window": [[0, 3, 1], [0, 3, 1]]},
        {"window": [1]},
        {"shape": [1, 2]},
        {"scale": -1.0, "zero_point": 0},
    ],
)
def test_damaged_descriptions_of_layers(invoke: Invoke, compiled: Path, digits: Path, change: dict[str, Any]) -> None:
    shutil.copy(compiled, "x.kmodel")
    sidecar = json.loads(compiled.with_suffix(".json").read_text())
    row = next(row for row in sidecar["layers"] if "compare" in row and row["op"] == "conv2d")
    row["compare"].update(change)
    Path("x.json").write_text(json.dumps(sidecar))
    status, text = failure(
        invoke, "x.kmodel", "--inputs", digits / "test.npz", "--samples", "1", "--reference", digits / "digits.onnx"
    )
    assert status == 1
    assert "Traceback" not in text


def test_a_json_of_another_kmodel(invoke: Invoke, compiled: Path, digits: Path) -> None:
    shutil.copy(compiled, "x.kmodel")
    sidecar = json.loads(compiled.with_suffix(".json").read_text())
    Path("x.json").write_text(json.dumps({**sidecar, "outputs": []}))
    status, text = failure(invoke, "x.kmodel", "--inputs", digits / "test.npz")
    assert status == 1
    assert "has 0 outputs, the kmodel has 1" in text
    Path("x.json").write_text(json.dumps({**sidecar, "memory": {"kmodel_bytes": 5}}))
    status, text = failure(invoke, "x.kmodel", "--inputs", digits / "test.npz")
    assert status == 1
    assert text.startswith("error: x.json: describes a kmodel of 5 bytes, x.kmodel has ")


def test_layers_that_give_the_same_value_of_the_reference(invoke: Invoke) -> None:
    """A global mean and the scores behind it become several layers: none is compared with what it is not."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(0, 0.3, (24, 3, 3, 3)), "v": rng.normal(0, 0.3, (7, 24)), "b": rng.normal(0, 1, 7)}
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["g"], name="last", pads=[1, 1, 1, 1]),
        onnx.helper.make_node("GlobalAveragePool", ["g"], ["p"], name="mean"),
        onnx.helper.make_node("Flatten", ["p"], ["q"]),
        onnx.helper.make_node("Gemm", ["q", "v", "b"], ["y"], name="scores", transB=1),
    ]
    ports = [onnx.helper.make_tensor_value_info(*one) for one in (("x", 1, [1, 3, 14, 18]), ("y", 1, [1, 7]))]
    constants = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = onnx.helper.make_graph(nodes, "means", ports[:1], ports[1:], constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), "m.onnx")
    np.save("x.npy", rng.random((8, 3, 14, 18), dtype=np.float32))
    assert invoke("kpu-compile", "m.onnx", "--dataset", "x.npy").status == 0
    ran = invoke("kpu-run", "m.kmodel", "--inputs", "x.npy", "--reference", "m.onnx", "--json")
    assert ran.status == 0
    layers = json.loads(ran.out)["layers"]
    compared = {layer["layer"]: layer["snr_db"] for layer in layers if "snr_db" in layer}
    assert compared["last"] > 20
    assert min(compared.values()) > 15
