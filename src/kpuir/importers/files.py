"""What importers share: reading a file, telling formats apart by content, finding where a model shall end."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from kpuir.errors import InvalidInputError, UsageError

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


_V = TypeVar("_V")


def ends(names: Sequence[str], values: Mapping[str, _V], layers: Mapping[str, _V], last: str) -> tuple[_V, ...]:
    """The values to end at, for names of values or of layers. Raises UsageError for one that is neither.

    `layers` holds the (first) value that each makes, `last` names where the model ends by itself.
    """
    for name in names:
        if name not in values and name not in layers:
            near = difflib.get_close_matches(name, dict.fromkeys((*values, *layers)), cutoff=0.4)
            hint = f"there are {', '.join(near)}" if near else f"the model ends at {last}"
            raise UsageError(f"there is no value or layer {name!r} to end at", hint=hint)
    found = tuple(values[name] if name in values else layers[name] for name in names)
    if len(set(found)) < len(found):
        raise UsageError(f"an output is named twice: {', '.join(names)}")
    return found
