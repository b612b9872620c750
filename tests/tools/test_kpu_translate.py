"""kpu-translate: every direction, and what cannot be translated."""

import io
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kpuir.kmodel import v4
from kpuir.kmodel.info import describe
from tests.shared import shared_file
from tests.tools.conftest import Invoke


def small_kmodel(output: int = 48, real: int = 16) -> bytes:
    """Twelve bytes dequantized; the floats lie where asked for."""
    stored = v4.MemoryRange(v4.MemoryType.MAIN, v4.DataType.UINT8, 0, 12)
    floats = v4.MemoryRange(v4.MemoryType.MAIN, v4.DataType.FLOAT32, real, output)
    node = v4.Dequantize(stored, floats, 3, 0.5)
    return v4.write(v4.Model([(stored, (1, 3, 2, 2))], [floats], b"", 64, [node]))


@pytest.fixture
def kmodel(tmp_path: Path) -> Path:
    path = tmp_path / "small.kmodel"
    path.write_bytes(small_kmodel())
    return path


def test_kmodel_to_ir_and_back(invoke: Invoke, kmodel: Path) -> None:
    assert invoke("kpu-translate", "--import-kmodel", kmodel, "-o", "x.mlir").status == 0
    assert "kbuf.dequantize" in Path("x.mlir").read_text()
    assert invoke("kpu-translate", "--export-kmodel", "v4", "x.mlir", "-o", "y.kmodel").status == 0
    assert Path("y.kmodel").read_bytes() == kmodel.read_bytes()
    assert invoke("kpu-translate", "--export-kmodel=v4", kmodel, "-o", "z.kmodel").status == 0
    assert Path("z.kmodel").read_bytes() == kmodel.read_bytes()


def test_stdin_and_stdout(invoke: Invoke, kmodel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = invoke("kpu-translate", "--import-kmodel", kmodel).out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert invoke("kpu-translate", "--export-kmodel", "v4", "-", "-o", "y.kmodel").status == 0
    assert Path("y.kmodel").read_bytes() == kmodel.read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(kmodel.read_bytes())))
    assert invoke("kpu-translate", "--import-kmodel", "-").out == text


def test_import_onnx(invoke: Invoke, digits: Path) -> None:
    text = invoke("kpu-translate", "--import-onnx", digits / "digits.onnx").out
    assert text.count("ktensor.conv2d") == 4
    assert 'loc("conv2")' in text
    Path("x.mlir").write_text(text)
    assert invoke("kpu-opt", "x.mlir", "--print-debuginfo").out == text


def test_info_of_a_kmodel(invoke: Invoke, kmodel: Path) -> None:
    lines = invoke("kpu-translate", "--info", kmodel).out.splitlines()
    assert lines[0] == f"small.kmodel: kmodel v4, {len(kmodel.read_bytes())} bytes"
    assert "input 0: 1x3x2x2 uint8 main[0..12] 12 bytes" in lines
    assert "output 0: float32 main[16..64] 48 bytes" in lines
    assert "main memory: 64 of 6291456 bytes (0.0%)" in lines
    assert "1 instructions, 0 on the KPU, 1 on the CPU:" in lines
    assert "with file:   200 of 6291456 bytes (0.0%)" in lines
    assert "   0  CPU  dequantize  main+0:12 -> main+16:48" in lines
    assert lines[1] == "runs on:     nncase 0.2.0-alpha1 to 0.2.0-beta4"
    assert "fits maixpy-minimum: no, it loads v3, this is v4" in lines
    assert "fits sdk-0.5.7: yes, 5.0 MB spare" in lines


def test_info_of_other_versions(invoke: Invoke, kmodel: Path) -> None:
    """What only the IR shows is there; what cannot become IR is described by what the file shows, and why."""
    invoke("kpu-translate", "--convert", "v5", kmodel, "-o", "x.kmodel")
    lines = invoke("kpu-translate", "--info", "x.kmodel").out.splitlines()
    assert lines[1] == "runs on:     nncase 1.6, 1.7, 1.8, 1.9 (the K210 SDK comes with 1.0-beta)"
    assert "fits maixpy: no, it loads v3 and v4, this is v5" in lines
    Path("far.kmodel").write_bytes(small_kmodel(output=4800))
    out = invoke("kpu-translate", "--info", "far.kmodel").out
    assert "warning: output 0 ends at byte 4816 of main memory, which has 64\n" in out
    assert out.endswith("warning: kpuir cannot run or convert it\n")
    data = bytearray(small_kmodel())
    data[data.index(b"\x03\x00\x00\x00\x28\x00\x00\x00")] = 0x55
    Path("unknown.kmodel").write_bytes(data)
    out = invoke("kpu-translate", "--info", "unknown.kmodel").out
    assert "   0  ?  0x55\n" in out
    assert "fits sdk-0.5.7: no, no runtime of v4 executes 0x55\n" in out
    assert out.endswith(
        "warning: instruction 0 is of type 85 (0x55), which no runtime executes\n"
        "warning: kpuir cannot run or convert it\n"
    )


def test_info_of_unknown_code(invoke: Invoke, kmodel: Path) -> None:
    """What is in front of it is listed."""
    invoke("kpu-translate", "--convert", "v5", kmodel, "-o", "x.kmodel")
    data = bytearray(Path("x.kmodel").read_bytes())
    place = data.index(b"\x5e\x0b\x00")  # dequantize
    data[place + 1] = 0x63
    Path("y.kmodel").write_bytes(data)
    out = invoke("kpu-translate", "--info", "y.kmodel").out
    assert "runs on:     none that is known\n" in out
    assert "   0  ?  unknown_code\n" in out
    assert "fits sdk-develop: no, no runtime of v5 executes unknown_code\n" in out
    message = f"byte {place + 3}: module 0: function 0: operation 0: release 1.9 has no tensor function 99"
    assert out.endswith(f"warning: {message}\nwarning: kpuir cannot run or convert it\n")


def test_info_warns_of_what_boards_do_not_like() -> None:
    info = describe(small_kmodel())
    assert info.warnings == info.faults == ()
    far = describe(small_kmodel(output=4800)).faults
    assert "output 0 ends at byte 4816 of main memory, which has 64" in far
    assert "output 0 starts at byte 18, not a multiple of 4" in describe(small_kmodel(real=18)).faults


def test_kmodels_by_any_name(invoke: Invoke, kmodel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = "runs on:     nncase 0.2.0-alpha1 to 0.2.0-beta4"
    old = shared_file("models/face-detect-v3.kmodel")
    for data, text in ((kmodel.read_bytes(), runs), (old.read_bytes(), "runs on:     drivers since March 2019")):
        Path("X.BIN").write_bytes(data)
        assert invoke("kpu-translate", "--info", "X.BIN").out.splitlines()[1] == text
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert invoke("kpu-translate", "--info", "-").out.splitlines()[1] == text


def test_info_of_a_model(invoke: Invoke, digits: Path) -> None:
    out = invoke("kpu-translate", "--info", digits / "digits.onnx").out
    assert "input image: 1x1x16x16 NCHW float32\noutput scores: 1x10 flat float32\n" in out
    assert "    4  ktensor.conv2d\n" in out


def test_c_array_compiles_to_the_same_bytes(invoke: Invoke, kmodel: Path) -> None:
    text = invoke("kpu-translate", "--export-c-array", kmodel).out
    data = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})\b", text))
    assert data == kmodel.read_bytes()
    assert f"const uint8_t small_kmodel[{len(data)}] __attribute__((aligned(256))) = {{" in text
    assert f"const uint32_t small_kmodel_size = {len(data)};" in text


def test_package_for_the_flash(invoke: Invoke, kmodel: Path) -> None:
    for name in ("a", "b"):
        assert (
            invoke("kpu-translate", "--export-kfpkg", "--address", "0x400000", kmodel, "-o", f"{name}.kfpkg").status
            == 0
        )
    assert Path("a.kfpkg").read_bytes() == Path("b.kfpkg").read_bytes()
    with zipfile.ZipFile("a.kfpkg") as package:
        listing = json.loads(package.read("flash-list.json"))
        assert package.read("small.kmodel") == kmodel.read_bytes()
    file = {"address": 0x400000, "bin": "small.kmodel", "sha256Prefix": False}
    assert listing == {"version": "0.1.0", "files": [file]}
    for address, message in (("0x400001", "no multiple of 0x1000"), ("0x1000000", "16 MiB of the flash")):
        ran = invoke("kpu-translate", "--export-kfpkg", "--address", address, kmodel, "-o", "c.kfpkg")
        assert (ran.status, message in ran.err, Path("c.kfpkg").exists()) == (2, True, False)


def test_dot(invoke: Invoke, digits: Path) -> None:
    text = invoke("kpu-translate", "--export-dot", digits / "digits.onnx").out
    boxes = re.findall(r'^  (n\d+) \[label="([^"]*)"', text, re.MULTILINE)
    edges = re.findall(r"^  (n\d+) -> (n\d+) ", text, re.MULTILINE)
    named = dict(boxes)
    assert "ktensor.conv2d\\nconv1" in named.values()
    assert ("inputs", "ktensor.conv2d\\nconv1") in {(named[a], named[b]) for a, b in edges}
    assert not any("constant" in label for label in named.values())
    assert {name for edge in edges for name in edge} == set(named)


def test_supported_ops(invoke: Invoke) -> None:
    out = invoke("kpu-translate", "--supported-ops").out
    onnx, tflite = out.split("\n\n")
    assert re.match(r"ONNX: \d+ ops\n", onnx)
    assert re.search(r"^  Conv +Conv", onnx, re.MULTILINE)
    assert re.search(r"^  CONV_2D", tflite, re.MULTILINE)
    assert invoke("kpu-translate", "--supported-ops", "x.onnx").status == 2


def failure(invoke: Invoke, *arguments: str | Path) -> tuple[int, str]:
    ran = invoke("kpu-translate", *arguments)
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    assert not list(Path().glob("kpuir-reproducer*"))
    return ran.status, ran.err


def test_wrong_command_lines(invoke: Invoke, kmodel: Path) -> None:
    status, text = failure(invoke, kmodel)
    assert status == 2
    assert re.fullmatch(
        r"error: one of the arguments --import-onnx .* is required\nhint: see kpu-translate --help\n", text
    )
    assert failure(invoke, "--info")[0] == 2
    assert failure(invoke, "--info", "--export-dot", kmodel)[0] == 2
    assert "invalid choice: 'v7'" in failure(invoke, "--export-kmodel", "v7", kmodel)[1]
    assert (
        "kbuf.version is v4, but a v5 file needs a module lowered for v5"
        in failure(invoke, "--export-kmodel", "v5", kmodel)[1]
    )
    assert "hint: kpu-translate --convert v5" in failure(invoke, "--export-kmodel", "v5", kmodel)[1]
    assert failure(invoke, "--info", "--address", "0x1000", kmodel) == (2, "error: --address is for --export-kfpkg\n")
    assert "'zz' is no number such as 0x300000" in failure(invoke, "--export-kfpkg", "--address", "zz", kmodel)[1]
    status, text = failure(invoke, "--import-kmodel", kmodel, "-o", "absent/x.mlir")
    assert (status, text.splitlines()[0]) == (
        2,
        "error: absent/x.mlir: cannot write: there is no directory 'absent'",
    )


@pytest.mark.parametrize("option", ["--import-onnx", "--import-tflite", "--import-kmodel", "--info"])
def test_files_that_are_not_there_or_something_else(invoke: Invoke, option: str, tmp_path: Path) -> None:
    status, text = failure(invoke, option, "absent.kmodel")
    assert (status, "absent.kmodel: " in text) == (1, True)
    (tmp_path / "x.kmodel").write_bytes(b"PK\x03\x04 is not what was asked for")
    assert failure(invoke, option, "x.kmodel")[0] == 1
    (tmp_path / "x.kmodel").write_bytes(b"")
    assert failure(invoke, option, "x.kmodel")[0] == 1


def test_truncated_kmodels_say_where(invoke: Invoke, kmodel: Path) -> None:
    data = kmodel.read_bytes()
    for size in (7, 20, 60, len(data) - 9):
        kmodel.write_bytes(data[:size])
        for option in ("--import-kmodel", "--info", "--export-c-array"):
            status, text = failure(invoke, option, kmodel)
            assert status == 1
            assert "small.kmodel: " in text.splitlines()[0]
    assert "byte " in text


def test_truncated_onnx(invoke: Invoke, digits: Path) -> None:
    data = (digits / "digits.onnx").read_bytes()
    for size in (10, 1000, len(data) - 1):
        Path("x.onnx").write_bytes(data[:size])
        assert failure(invoke, "--import-onnx", "x.onnx")[0] == 1


def test_ir_of_another_level_is_no_kmodel(invoke: Invoke) -> None:
    Path("x.mlir").write_text("func.func @main() {\n  func.return\n}\n")
    assert failure(invoke, "--export-kmodel", "v4", "x.mlir")[0] in (1, 2)
    Path("x.mlir").write_text("this is not IR")
    status, text = failure(invoke, "--export-kmodel", "v4", "x.mlir")
    assert status == 1
    assert text.startswith("error: x.mlir:1:")


def test_older_and_newer_kmodels_are_named(invoke: Invoke) -> None:
    Path("x.kmodel").write_bytes(np.array([3, 0, 1, 2, 3, 4], "<u4").tobytes())
    assert "v3" in failure(invoke, "--import-kmodel", "x.kmodel")[1]
    Path("x.kmodel").write_bytes(b"LDMK" + np.array([5, 0, 1, 2], "<u4").tobytes())
    assert "v5" in failure(invoke, "--info", "x.kmodel")[1]


def test_import_a_part_of_a_model(invoke: Invoke, digits: Path) -> None:
    text = invoke("kpu-translate", "--import-onnx", digits / "digits.onnx", "--outputs", "conv2").out
    assert text.count("ktensor.conv2d") == 2


def test_convert(invoke: Invoke, kmodel: Path, digits: Path) -> None:
    assert invoke("kpu-translate", "--convert", "v5", kmodel, "-o", "x.kmodel").status == 0
    assert describe(Path("x.kmodel").read_bytes()).version == "v5, runtime 1.9"
    assert invoke("kpu-translate", "--convert", "v5", "--runtime", "1.0-beta", "x.kmodel", "-o", "y.kmodel").status == 0
    assert describe(Path("y.kmodel").read_bytes()).version == "v5, runtime 1.0-beta"
    assert "--runtime is for --convert v5" in failure(invoke, "--convert", "v4", "--runtime", "1.0", kmodel)[1]
    status, text = failure(invoke, "--convert", "v3", kmodel, "-o", "z.kmodel")
    assert (status, text.splitlines()[0]) == (
        1,
        f"error: {kmodel}: input: it has 12 bytes, of which no map of at least 4x4 pixels can be made",
    )
    assert not Path("z.kmodel").exists()
    assert failure(invoke, "--convert", "v4", "absent")[1] == "error: absent: No such file or directory\n"
    Path("x.json").write_text('{"kpuir": "0.1.0"}')
    status, text = failure(invoke, "--convert", "v5", kmodel, "-o", "x.kmodel")
    assert (status, "x.json: it describes another kmodel" in text) == (2, True)
    Path("x.json").write_text('{"somebody": "else"}')
    assert invoke("kpu-translate", "--convert", "v5", kmodel, "-o", "x.kmodel").status == 0


def test_the_json_goes_with_a_converted_kmodel(invoke: Invoke, digits: Path) -> None:
    arguments = ("--dataset", digits / "calibration", "-o", "v4.kmodel")
    assert invoke("kpu-compile", digits / "digits.onnx", *arguments).status == 0
    assert invoke("kpu-translate", "--convert", "v3", "v4.kmodel", "-o", "v3.kmodel").status == 0
    described = json.loads(Path("v3.json").read_text())
    assert described["inputs"] == json.loads(Path("v4.json").read_text())["inputs"]
    assert described["instructions"][0]["layer"] == "conv1+conv1.relu"
    assert invoke("kpu-translate", "--convert", "v5", "v4.kmodel", "-o", "v5.kmodel").status == 0
    for version in ("v3", "v5"):
        data = Path(f"{version}.kmodel").read_bytes()
        text = invoke("kpu-translate", "--export-c-array", f"{version}.kmodel").out
        assert bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})\b", text)) == data
        assert invoke("kpu-translate", "--export-kfpkg", f"{version}.kmodel", "-o", "x.kfpkg").status == 0
        with zipfile.ZipFile("x.kfpkg") as package:
            assert package.read(f"{version}.kmodel") == data
    run = [
        invoke("kpu-run", f"{version}.kmodel", "--inputs", digits / "test.npz", "--json").out
        for version in ("v3", "v4")
    ]
    assert [json.loads(out)["outputs"][0]["name"] for out in run] == ["scores", "scores"]
    before = Path("v4.kmodel").read_bytes()
    status, text = failure(invoke, "--convert", "v3", "v4.kmodel", "-o", "v4.kmodel")
    assert (status, "would overwrite what is read" in text) == (2, True)
    assert Path("v4.kmodel").read_bytes() == before
    status, text = failure(invoke, "--convert", "v3", "v4.kmodel", "-o", "new.json")
    assert (status, "the .json beside the kmodel would overwrite it" in text) == (2, True)
    assert not Path("new.json").exists()
