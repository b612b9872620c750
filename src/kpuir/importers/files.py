"""What importers share: reading a file and telling formats apart by content."""

from pathlib import Path

from kpuir.errors import InvalidInputError

EXPECTED = "kpuir imports .onnx and .tflite models"
TFLITE = "TFLite model"
"""What `content_of` calls a TFLite file."""

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"TFL3", TFLITE),
    (4, b"ORTM", "ONNX Runtime .ort model"),
    (0, b"\x89PNG", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"BM", "BMP image"),
    (0, b"GIF8", "GIF image"),
    (0, b"%PDF", "PDF document"),
    (0, b"PK\x03\x04", "zip archive (a PyTorch or Keras file?)"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"\x89HDF", "HDF5 (Keras) file"),
    (0, b"\x93NUMPY", "numpy array"),
    (0, b"\x80\x02", "Python pickle (a PyTorch file?)"),
    (0, b"\x7fELF", "executable"),
    (0, b"LDMK", "kmodel"),
    (0, b"KMDL", "kmodel"),
    (0, b"\x03\x00\x00\x00", "kmodel"),
    (0, b"version https://git-lfs", "git-lfs pointer, not the file itself"),
    (0, b"<", "HTML or XML text"),
    (0, b"{", "JSON text"),
)


def read_source(path: Path) -> bytes:
    """The bytes of a model file. Raises InvalidInputError where there is no readable, non-empty file."""
    if path.is_dir():
        raise InvalidInputError("this is a directory, not a model file", location=str(path), hint=EXPECTED)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidInputError("no such file", location=str(path), hint="check the path of the model") from None
    except OSError as error:
        raise InvalidInputError(f"cannot be read: {error.strerror}", location=str(path)) from error
    if not data:
        raise InvalidInputError("the file is empty (0 bytes)", location=str(path), hint=EXPECTED)
    return data


def content_of(data: bytes) -> str | None:
    """What a file is by its first bytes, or None where they do not tell (an ONNX file has no mark)."""
    for offset, magic, name in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return name
    return None
