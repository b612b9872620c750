"""Which importer a file goes to, and the errors of files that are no models."""

from pathlib import Path

import numpy as np
import pytest

from kpuir.errors import InvalidInputError
from kpuir.importers import import_model
from tests.importers.nets import net, node, op_names


def model_bytes() -> bytes:
    return net([node("Relu", ["x"])], {"x": (1, 3)}).SerializeToString()


def rejected(path: Path) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        import_model(path)
    return caught.value


@pytest.mark.parametrize("name", ["m.onnx", "M.ONNX", "model", "model.bin"])
def test_onnx_by_suffix_or_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(model_bytes())
    assert op_names(import_model(path)) == ["activation"]
    assert op_names(import_model(str(path))) == ["activation"]


def test_missing_file(tmp_path: Path) -> None:
    error = rejected(tmp_path / "nothing.onnx")
    assert error.message == "no such file"
    assert "nothing.onnx" in str(error)
    assert error.hint


def test_directory(tmp_path: Path) -> None:
    assert "this is a directory" in str(rejected(tmp_path))


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.touch()
    assert "empty (0 bytes)" in str(rejected(path))


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".onnx", b"\x89PNG\r\n\x1a\n" + bytes(40), "the file is a PNG image, not an ONNX model"),
        (".tflite", b"\xff\xd8\xff\xe0" + bytes(40), "the file is a JPEG image, not a TFLite model"),
        (".onnx", b"\x1c\0\0\0TFL3" + bytes(40), "the file is a TFLite model, not an ONNX model"),
        (".onnx", b"PK\x03\x04" + bytes(40), "zip archive"),
        (".png", b"\x89PNG\r\n\x1a\n" + bytes(40), "the file is a PNG image, not a model"),
        (".kmodel", b"LDMK\x04\0\0\0" + bytes(40), "the file is a kmodel, not a model"),
        (".txt", b"hello world", "of no known format"),
        (".onnx", b"hello world", "not an ONNX model, or a truncated or damaged one"),
        (".onnx", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
    ],
)
def test_other_formats(tmp_path: Path, suffix: str, content: bytes, message: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    error = rejected(path)
    assert message in str(error)
    assert error.location == path.name
    assert error.hint


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    weights = np.ones((64, 3), np.float32)
    data = net([node("Gemm", ["x", "w"])], {"x": (1, 64)}, {"w": weights}).SerializeToString()
    path.write_bytes(data[: len(data) // 2])
    error = rejected(path)
    assert "truncated" in str(error)
    assert error.location == "m.onnx"
