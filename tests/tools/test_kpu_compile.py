"""kpu-compile: what it writes and prints, and every way to refuse."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kpuir
from kpuir.errors import UsageError
from kpuir.target.firmware import FIRMWARES
from kpuir.target.k210 import K210
from tests.importers.tflite_builder import one_op
from tests.kmodel.check_v3 import check
from tests.tools import models
from tests.tools.conftest import Invoke


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset for `models.conv`."""
    path = tmp_path / "data.npy"
    np.save(path, np.random.default_rng(6).random((3, 4, 8, 8), np.float32))
    return path


def compile_digits(invoke: Invoke, digits: Path, *options: str | Path) -> Any:
    dataset = ("--dataset", digits / "calibration", "--samples", "5")
    return invoke("kpu-compile", digits / "digits.onnx", *dataset, *options)


def test_digits(invoke: Invoke, digits: Path) -> None:
    ran = compile_digits(invoke, digits, "--json", "--report", "reports", "--dump-ir", "dumps")
    assert (ran.status, ran.err) == (0, "")
    figures = json.loads(ran.out)
    assert figures["kmodel"] == "digits.kmodel"
    data = Path("digits.kmodel").read_bytes()
    assert figures["kmodel_bytes"] == len(data)
    assert figures["version"] == "v4"
    assert figures["kpu_layers"] >= 5
    assert figures["cpu_ops"]["softmax"] == 1
    assert 0 < figures["kpu_ram_peak"] < K210.KPU_RAM_BYTES
    assert 0 < figures["main_ram_peak"] < K210.MAIN_RAM_BYTES
    assert figures["estimated_ms"] > 0
    assert {"import", "kpu-calibrate", "write"} <= set(figures["stages"])
    assert set(figures) == {
        *("kmodel", "kmodel_bytes", "version", "kpu_layers", "cpu_ops", "uploads", "downloads"),
        *("kpu_ram_peak", "main_ram_peak", "constants_bytes", "estimated_ms", "estimated_ms_by_place", "stages"),
        *("layers", "mixed_precision"),
    }
    assert set(figures["estimated_ms_by_place"]) == {"kpu", "cpu", "transfer"}
    assert sum(figures["estimated_ms_by_place"].values()) == pytest.approx(figures["estimated_ms"], abs=0.002)
    check_sidecar(json.loads(Path("digits.json").read_text()), digits)
    names = {path.name for path in Path("reports").iterdir()}
    assert names == {
        *("index.html", "summary.txt", "coverage.txt", "coverage.html", "coverage.json"),
        *("memory.txt", "memory.json", "memory-kpu.svg", "memory-main.svg", "layers.txt", "layers.json"),
    }
    check_coverage(Path("reports"), figures)
    check_layers(Path("reports"), figures)
    dumps = sorted(path.name for path in Path("dumps").iterdir())
    assert dumps[0].startswith("00-")
    assert dumps[-1].endswith("-kbuf-allocate.mlir")

    again = compile_digits(invoke, digits, "-o", "again.kmodel")
    assert (again.status, again.out) == (0, "")
    assert Path("again.kmodel").read_bytes() == data
    assert f"{figures['kpu_layers']} layers on the KPU" in again.err
    assert "softmax (scores)" in again.err
    assert "wrote again.kmodel" in again.err


def test_a_firmware_of_kmodel_v3(invoke: Invoke, digits: Path) -> None:
    options = ("--firmware", "maixpy-minimum", "--weights-bits", "16", "--report", "reports", "-o", "x.kmodel")
    ran = compile_digits(invoke, digits, *options)
    assert ran.status == 0
    assert "fits maixpy-minimum: yes, 3.5 MB spare" in ran.err
    assert Path("reports/summary.txt").read_text().count("fits ") == len(FIRMWARES)
    assert check(Path("x.kmodel").read_bytes(), outputs=1, input_bytes=256) == []
    sidecar = json.loads(Path("x.json").read_text())
    assert (sidecar["kmodel"], sidecar["firmware"]) == ("v3", "maixpy-minimum")
    reference = ("--reference", digits / "digits.onnx")
    ran = invoke("kpu-run", "x.kmodel", "--inputs", digits / "test.npz", "--samples", "20", "--check", *reference)
    assert ran.status == 0


def check_coverage(reports: Path, figures: dict[str, Any]) -> None:
    coverage = json.loads((reports / "coverage.json").read_text())
    totals, layers = coverage["totals"], coverage["layers"]
    assert (totals["kpu_layers"], totals["uploads"], totals["downloads"]) == (
        figures["kpu_layers"],
        figures["uploads"],
        figures["downloads"],
    )
    assert totals["estimated_ms"] == pytest.approx(figures["estimated_ms"], abs=0.001)
    assert sum(layer["estimated_ms"] for layer in layers) == pytest.approx(totals["estimated_ms"], abs=1e-4)
    assert all(layer["reason"] for layer in layers if layer["where"] != "KPU")
    softmax = next(layer for layer in layers if layer["op"] == "softmax")
    assert (softmax["layer"], softmax["where"]) == ("scores", "CPU")
    page = (reports / "index.html").read_text()
    assert "softmax" in page
    assert all(path.name in page for path in reports.iterdir() if path.name != "index.html")


def check_layers(reports: Path, figures: dict[str, Any]) -> None:
    layers = figures["layers"]
    assert json.loads((reports / "layers.json").read_text())["layers"] == layers
    assert (layers[0]["layer"], layers[0]["op"]) == ("image", "input")
    assert (layers[-1]["layer"], layers[-1]["op"]) == ("scores", "softmax")
    assert all("note" in layer or layer["snr_db"] > 15 for layer in layers)
    text = (reports / "layers.txt").read_text()
    assert max(map(len, text.splitlines())) <= 120
    assert "no layer's accumulated SNR is below 10 dB" in text
    assert "Layer errors" in (reports / "index.html").read_text()
    described = json.loads(Path("digits.json").read_text())["layers"]
    assert [{key: row[key] for key in row if key != "compare"} for row in described] == layers


def check_sidecar(sidecar: dict[str, Any], digits: Path) -> None:
    source = (digits / "digits.onnx").read_bytes()
    assert sidecar["source"] == {"file": "digits.onnx", "sha256": hashlib.sha256(source).hexdigest()}
    assert (sidecar["kmodel"], sidecar["firmware"]) == ("v4", None)
    (image,) = sidecar["inputs"]
    assert (image["name"], image["shape"], image["layout"]) == ("image", [1, 1, 16, 16], "NCHW")
    assert (image["kmodel_shape"], image["kmodel_layout"], image["type"]) == ([1, 1, 16, 16], "NCHW", "uint8")
    assert (image["scale"], image["zero_point"]) == (pytest.approx(1 / 255), 0)
    assert (image["mean"], image["std"]) == (None, None)
    (scores,) = sidecar["outputs"]
    assert (scores["name"], scores["type"]) == ("scores", "float32")
    assert {"op": "softmax", "layer": "scores", "where": "CPU"} in sidecar["instructions"]
    assert sum(one["where"] == "KPU" for one in sidecar["instructions"]) >= 5


def test_the_api_writes_the_same_bytes(invoke: Invoke, digits: Path) -> None:
    assert compile_digits(invoke, digits).status == 0
    compiled = kpuir.compile(digits / "digits.onnx", dataset=digits / "calibration", samples=5)
    assert compiled.kmodel_bytes == Path("digits.kmodel").read_bytes()
    with np.load(digits / "test.npz") as test:
        sample = {"image": test["image"][:1]}
    from_file = kpuir.load("digits.kmodel").run(sample)
    np.testing.assert_array_equal(compiled.run(sample)["scores"], from_file["scores"])


def test_shapes_are_the_models_own(invoke: Invoke, digits: Path) -> None:
    assert compile_digits(invoke, digits).status == 0
    (scores,) = kpuir.load("digits.kmodel").outputs
    assert scores.shape == (1, 10)


def failure(invoke: Invoke, *arguments: str | Path) -> tuple[int, str]:
    """Status and message of a refusal, which must leave nothing behind."""
    before = {path.name for path in Path().iterdir()}
    ran = invoke("kpu-compile", *arguments, "-o", "out.kmodel")
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    assert {path.name for path in Path().iterdir()} == before
    return ran.status, ran.err


def test_missing_and_wrong_files(invoke: Invoke, digits: Path, data: Path) -> None:
    assert failure(invoke, "absent.onnx") == (1, "error: absent.onnx: no such file\n")
    assert failure(invoke, ".") == (1, "error: .: is a directory\n")
    shutil.copy(digits / "calibration" / "00.png", "picture.onnx")
    status, text = failure(invoke, "picture.onnx", "--dataset", data)
    assert (status, "picture.onnx: the file is a PNG image" in text) == (1, True)


def test_truncated_models(invoke: Invoke, digits: Path, data: Path) -> None:
    content = (digits / "digits.onnx").read_bytes()
    for size in (3, 50_000, len(content) - 7):
        Path("short.onnx").write_bytes(content[:size])
        assert failure(invoke, "short.onnx", "--dataset", data)[0] == 1
    Path("short.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(30))
    assert failure(invoke, "short.tflite", "--dataset", data)[0] == 1


def test_unsupported_ops_are_reported_together(invoke: Invoke, data: Path) -> None:
    nodes = [
        models.node("IsNaN", ["x"], "a"),
        models.node("Relu", ["a"], "b"),
        models.node("NonZero", ["b"], "y"),
    ]
    models.save(Path("x.onnx"), nodes, (1, 4, 8, 8))
    status, text = failure(invoke, "x.onnx", "--dataset", data)
    assert status == 1
    assert "a_node: " in text
    assert "IsNaN" in text
    assert "y_node: " in text
    assert "NonZero" in text
    assert "b_node" not in text


def test_a_dynamic_shape_that_cannot_be_fixed(invoke: Invoke, data: Path) -> None:
    models.save(Path("x.onnx"), [models.node("Relu", ["x"], "y")], ("N", 4, "height", "width"))
    status, text = failure(invoke, "x.onnx", "--dataset", data)
    assert status == 1
    assert "x" in text
    assert "height" in text


def test_weights_that_are_not_numbers(invoke: Invoke, data: Path) -> None:
    for bad in (np.nan, np.inf):
        models.conv(Path("x.onnx"), weight=bad)
        status, text = failure(invoke, "x.onnx", "--dataset", data)
        assert status == 1
        assert "NaN" in text or "finite" in text or "infinit" in text


def test_datasets(invoke: Invoke, data: Path) -> None:
    model = models.conv(Path("x.onnx"))
    assert "there is no dataset" in failure(invoke, model)[1]
    assert failure(invoke, model, "--dataset", "absent") == (
        1,
        "error: absent: no such file or folder\n"
        "hint: a dataset is a folder of images (png, jpg, bmp), a .npy or a .npz file\n",
    )
    Path("empty").mkdir()
    assert "the dataset is empty" in failure(invoke, model, "--dataset", "empty")[1]
    np.save("empty.npy", np.zeros((0, 4, 8, 8), np.float32))
    assert "the dataset is empty" in failure(invoke, model, "--dataset", "empty.npy")[1]
    np.save("wrong.npy", np.zeros((3, 8, 8, 4), np.float32))
    status, text = failure(invoke, model, "--dataset", "wrong.npy")
    assert status == 1
    assert "the array has shape 3x8x8x4, input 'x' takes Nx1x4x8x8" in text
    np.save("nan.npy", np.full((3, 4, 8, 8), np.nan))
    assert "holds a NaN" in failure(invoke, model, "--dataset", "nan.npy")[1]


def test_ranges(invoke: Invoke, data: Path) -> None:
    model = models.conv(Path("x.onnx"))
    assert invoke("kpu-compile", model, "--dataset", data, "--save-ranges", "r.json").status == 0
    ran = invoke("kpu-compile", model, "--load-ranges", "r.json", "--load-ranges", "r.json", "--save-ranges", "s.json")
    assert ran.status == 0
    assert json.loads(Path("s.json").read_text())["samples"] == 2 * json.loads(Path("r.json").read_text())["samples"]
    before = Path("r.json").read_bytes()
    status, text = failure(invoke, model, "--load-ranges", "r.json", "--save-ranges", "./r.json")
    assert (status, "would overwrite what is read" in text, Path("r.json").read_bytes()) == (2, True, before)
    for path in ("out.kmodel", "out.json", "absent/r.json"):
        assert failure(invoke, model, "--dataset", data, "--save-ranges", path)[0] == 2
    Path("bad.json").write_text('{"tensors": {"y_node": [1, NaN]}}')
    for path, message in (
        ("absent.json", "cannot be read"),
        ("bad.json", "NaN is no number"),
        (data, "cannot be used"),
    ):
        status, text = failure(invoke, model, "--load-ranges", path)
        assert (status, text.startswith(f"error: {path}: "), message in text) == (1, True, True)


def test_unwritable_output(invoke: Invoke, data: Path) -> None:
    model = models.conv(Path("x.onnx"))
    for output in ("absent/y.kmodel", "."):
        ran = invoke("kpu-compile", model, "--dataset", data, "-o", output)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith(f"error: {output}: cannot write: ")
    ran = invoke("kpu-compile", model, "--dataset", data, "--report", data)
    assert ran.status == 2
    assert "cannot write" in ran.err


def test_what_is_read_is_never_overwritten(invoke: Invoke, data: Path) -> None:
    models.conv(Path("x.onnx"))
    before = Path("x.onnx").read_bytes(), data.read_bytes()
    for output in ("x.onnx", data, "./x.onnx"):
        ran = invoke("kpu-compile", "x.onnx", "--dataset", data, "-o", output)
        assert (ran.status, "would overwrite what is read" in ran.err) == (2, True)
    assert (Path("x.onnx").read_bytes(), data.read_bytes()) == before
    ran = invoke("kpu-compile", "x.onnx", "--dataset", data, "-o", "-")
    assert (ran.status, ran.out, "do not fit into stdout" in ran.err) == (2, "", True)


def test_folders_that_are_files(invoke: Invoke, data: Path) -> None:
    model = models.conv(Path("x.onnx"))
    for option in ("--report", "--dump-ir"):
        status, text = failure(invoke, model, "--dataset", data, option, data)
        assert (status, "is a file, not a folder" in text, option in text) == (2, True, True)


def test_what_does_not_fit_names_layer_and_sizes(invoke: Invoke) -> None:
    nodes = [models.node("Mul", ["x", "x"], "a"), models.node("Add", ["a", "x"], "y")]
    models.save(Path("x.onnx"), nodes, (1, 3, 1000, 1000))
    np.save("big.npy", np.random.default_rng(7).random((1, 3, 1000, 1000), np.float32))
    status, text = failure(invoke, "x.onnx", "--dataset", "big.npy")
    assert status == 3
    assert text.startswith("error: a_node: ")  # the sum is written where the product lies
    assert f"24000000 bytes of main RAM are needed, there are {K210.MAIN_RAM_BYTES}" in text
    status, text = failure(invoke, "x.onnx", "--suggest-input-size")
    assert status == 3
    assert "hint: largest input that fits: 504x504 (given 1000x1000)" in text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--kmodel", "v7"], "invalid choice: 'v7'"),
        (["--runtime", "1.9"], "releases of the runtime differ for kmodel v5 only, not for v4"),
        (["--kmodel", "v5", "--runtime", "2"], "invalid choice: '2'"),
        (["--firmware", "nobody-knows"], "nobody-knows"),
        (["--firmware", "freertos", "--kmodel", "v4"], "freertos loads kmodels v3, not v4"),
        (["--weights-bits", "16"], "kmodel v4 has no weights of 16 bits"),
        (["--samples", "0"], "0 is not at least 1"),
        (["--samples", "many"], "invalid whole number value: 'many'"),
        (["--allocation-seconds", "-1"], "-1 is not a time from 0 on"),
        (["--mean", "0.5,x"], "'0.5,x' is not a list of numbers"),
        (["--std", "nan"], "holds a number that is not finite"),
        (["--calibration", "magic"], "invalid choice: 'magic'"),
        (["--passes", "kpu-defualt"], "did you mean kpu-default"),
        (["--nothing"], "unrecognized arguments: --nothing"),
    ],
)
def test_wrong_options(invoke: Invoke, data: Path, option: list[str], message: str) -> None:
    model = models.conv(Path("x.onnx"))
    status, text = failure(invoke, model, "--dataset", data, *option)
    assert status == 2
    assert message in text


def test_reports_are_the_same_each_time(invoke: Invoke, data: Path) -> None:
    model = models.conv(Path("x.onnx"))
    for folder in ("first", "second/deep"):
        assert invoke("kpu-compile", model, "--dataset", data, "--report", folder).status == 0
    first = {path.name: path.read_bytes() for path in Path("first").iterdir()}
    assert first == {path.name: path.read_bytes() for path in Path("second/deep").iterdir()}


def test_reports_that_cannot_be_written_leave_no_kmodel(invoke: Invoke, data: Path) -> None:
    model = models.conv(Path("x.onnx"))
    status, text = failure(invoke, model, "--dataset", data, "--report", data / "reports")
    assert (status, "cannot write" in text, "--report" in text) == (2, True, True)
    Path("reports/coverage.txt").mkdir(parents=True)  # a file cannot take the place of a folder
    status, text = failure(invoke, model, "--dataset", data, "--report", "reports")
    assert (status, "coverage.txt: cannot write" in text) == (2, True)
    assert not Path("out.kmodel").exists()


def test_the_kpu_can_be_required(invoke: Invoke, data: Path) -> None:
    status, text = failure(invoke, models.computed(Path("x.onnx")), "--require-kpu", "--dataset", data)
    assert status == 1
    assert text.startswith("error: 2 layers cannot run on the KPU:\n  a_node: ktensor.matmul: the right operand is no")
    assert "\n  y_node: ktensor.matmul: " in text
    assert "store the weights in the model" in text
    model = models.conv(Path("y.onnx"))
    assert invoke("kpu-compile", model, "--dataset", data, "--require-kpu").status == 0
    passes = "ktensor-simplify,kpu-legalize{until=cse},kpu-quantize-all,kbuf-lower"
    status, text = failure(invoke, model, "--dataset", data, "--require-kpu", "--passes", passes)
    assert (status, "let it run kpu-explain" in text) == (2, True)


def test_options_of_passes_go_through_pipelines(invoke: Invoke, data: Path) -> None:
    model = models.computed(Path("x.onnx"))
    status, text = failure(invoke, model, "--passes", "kpu-default{require=true}")
    assert (status, "2 layers cannot run on the KPU" in text) == (1, True)


def test_a_pipeline_that_ends_too_early(invoke: Invoke, data: Path) -> None:
    status, text = failure(invoke, models.conv(Path("x.onnx")), "--dataset", data, "--passes", "canonicalize")
    assert status in (1, 2)
    assert "kbuf" in text


@pytest.mark.parametrize("input_type", ["uint8", "float32"])
@pytest.mark.parametrize("layout", ["model", "NCHW"])
def test_types_and_layouts_of_inputs_and_outputs(invoke: Invoke, digits: Path, input_type: str, layout: str) -> None:
    options = ("--input-type", input_type, "--input-layout", layout, "--output-layout", layout)
    assert compile_digits(invoke, digits, *options).status == 0
    (image,) = json.loads(Path("digits.json").read_text())["inputs"]
    assert (image["type"], image["kmodel_layout"]) == (input_type, "NCHW")
    reference = ("--reference", digits / "digits.onnx")
    ran = invoke("kpu-run", "digits.kmodel", "--inputs", digits / "test.npz", "--samples", "20", *reference, "--json")
    assert ran.status == 0
    (scores,) = json.loads(ran.out)["outputs"]
    assert scores["cosine_mean"] > 0.99


def test_inputs_of_a_kmodel_may_be_channels_last(invoke: Invoke, digits: Path) -> None:
    assert compile_digits(invoke, digits, "--input-layout", "NHWC").status == 0
    (image,) = json.loads(Path("digits.json").read_text())["inputs"]
    assert (image["shape"], image["layout"]) == ([1, 1, 16, 16], "NCHW")
    assert (image["kmodel_shape"], image["kmodel_layout"], image["type"]) == ([1, 16, 16, 1], "NHWC", "uint8")


@pytest.mark.parametrize(
    "options", [{"calibration_effort": "x"}, {"input_type": "int8"}, {"input_layout": "x"}, {"output_layout": "NCWH"}]
)
def test_options_that_are_none_of_the_choices(digits: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"there is no .*\nhint: choose"):
        kpuir.compile(digits / "digits.onnx", **options)


def test_preprocessing_becomes_the_inputs_scale(invoke: Invoke, digits: Path) -> None:
    assert compile_digits(invoke, digits, "--mean", "0.5", "--std", "0.25").status == 0
    (image,) = json.loads(Path("digits.json").read_text())["inputs"]
    assert image["scale"] == pytest.approx(1 / (255 * 0.25), rel=1e-2)
    assert image["zero_point"] in (127, 128)
    assert (image["mean"], image["std"]) == ([0.5], [0.25])


def test_layers_stay_in_float(invoke: Invoke, digits: Path) -> None:
    ran = compile_digits(invoke, digits, "--json", "--float", "conv1", "--float", "*conv2*", "--report", "reports")
    assert ran.status == 0
    rows = json.loads(Path("reports/coverage.json").read_text())["layers"]
    kept = [row["layer"] for row in rows if row["reason"] == "it was asked to stay in float"]
    assert any("conv1" in name for name in kept)
    assert any("conv2" in name for name in kept)
    assert not any("conv1" in row["layer"] for row in rows if row["where"] == "KPU")


def test_unknown_layers_to_keep_in_float(invoke: Invoke, digits: Path) -> None:
    status, text = failure(invoke, digits / "digits.onnx", "--dataset", digits / "calibration", "--float", "conv11")
    assert status == 2
    assert "there is no layer 'conv11' to keep in float\nhint: did you mean conv1" in text
    passes = "ktensor-simplify,kpu-legalize,kpu-quantize-all,kbuf-lower"
    status, text = failure(
        invoke, digits / "digits.onnx", "--dataset", digits / "calibration", "--float", "conv1", "--passes", passes
    )
    assert (status, "the pipeline cannot keep layers in float" in text) == (2, True)


def test_a_cosine_is_reached(invoke: Invoke, digits: Path) -> None:
    plain = json.loads(compile_digits(invoke, digits, "--json", "--min-cosine", "0.5").out)
    assert plain["mixed_precision"]["kept"] == []
    without = plain["mixed_precision"]["without"]
    wanted = 1 - (1 - without) / 2
    ran = compile_digits(invoke, digits, "--json", "--min-cosine", str(wanted))
    assert ran.status == 0
    mixed = json.loads(ran.out)["mixed_precision"]
    assert mixed["without"] == without < wanted <= mixed["reached"]
    assert mixed["kept"]
    assert all(one["gain"] > 0 for one in mixed["kept"])
    assert json.loads(Path("digits.json").read_text())["mixed_precision"] == mixed
    ran = compile_digits(invoke, digits, "--min-cosine", str(wanted))
    assert f"in float: {mixed['kept'][0]['layer']}" in ran.err


def test_a_cosine_that_bytes_do_not_reach(invoke: Invoke, data: Path) -> None:
    model = models.conv(Path("m.onnx"))
    status, text = failure(invoke, model, "--dataset", data, "--input-type", "uint8", "--min-cosine", "1")
    assert status == 4
    assert "a cosine of 1 is not reached: it is 0.9" in text
    assert "with 1 of them in float" in text


def test_cosines_that_cannot_be(invoke: Invoke, digits: Path) -> None:
    model, dataset = digits / "digits.onnx", ("--dataset", digits / "calibration", "--samples", "3")
    for value in ("0", "1.5", "-1", "nan"):
        status, text = failure(invoke, model, *dataset, f"--min-cosine={value}")
        assert status == 2
        assert "cannot be reached" in text
    assert failure(invoke, model, *dataset, "--min-cosine", "much")[0] == 2
    status, text = failure(invoke, model, "--min-cosine", "0.9")
    assert (status, "measured on a dataset" in text) == (2, True)


def test_shapes_and_outputs(invoke: Invoke, tmp_path: Path) -> None:
    kernel = np.random.default_rng(5).normal(0, 0.1, (4, 3, 3, 3)).astype(np.float32)
    nodes = [models.node("Conv", ["x", "w"], "c", pads=[1] * 4), models.node("NonZero", ["c"], "y")]
    path = models.save(tmp_path / "open.onnx", nodes, ("n", 3, "h", "w"), {"w": kernel})
    samples = tmp_path / "data.npy"
    np.save(samples, np.random.default_rng(6).random((3, 3, 8, 10), np.float32))
    ran = invoke("kpu-compile", path, "--dataset", samples)
    assert ran.status == 1
    assert "dimension 2 is dynamic ('h')" in ran.err
    assert "give a shape (--input-shape x=1x3x224x224)" in ran.err
    assert "y_node: NonZero" in ran.err
    options = ("--input-shape", "x=1x3x8x10", "--outputs", "c_node")
    assert invoke("kpu-compile", path, "--dataset", samples, *options).status == 0
    sidecar = json.loads(Path("open.json").read_text())
    assert sidecar["outputs"][0]["name"] == "c"
    assert sidecar["outputs"][0]["shape"] == [1, 4, 8, 10]
    ran = invoke("kpu-run", "open.kmodel", "--inputs", samples, "--reference", path, "--json")
    assert json.loads(ran.out)["outputs"][0]["cosine_min"] > 0.999
    for options, message in (
        (("--input-shape", "1x3x8x10"), "'1x3x8x10' is not of the form NAME=1x3x224x224"),
        (("--input-shape", "x=1x3x0x10"), "'x=1x3x0x10' is not of the form"),
        (("--outputs", "d"), "there is no value or layer 'd' to end at"),
    ):
        ran = invoke("kpu-compile", path, *options)
        assert ran.status == 2
        assert message in ran.err


def test_shapes_are_for_models(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(one_op("RELU", [(1, 4)]))
    ran = invoke("kpu-compile", path, "--input-shape", "z=1x5")
    assert (ran.status, "there is no input 'z' to give a shape" in ran.err) == (2, True)
    ran = invoke("kpu-translate", "--import-tflite", path, "--input-shape", "x0=1x5")
    assert (ran.status, "is 1x4 and cannot be 1x5" in ran.err) == (2, True)
    ran = invoke("kpu-translate", "--info", path, "--input-shape", "x=1x4")
    assert (ran.status, "are for --import-onnx and --import-tflite" in ran.err) == (2, True)
