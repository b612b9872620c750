"""Source models to `ktensor` modules: `import_model` picks the importer by the file's suffix and first bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

from kpuir.errors import InvalidInputError
from kpuir.importers.files import EXPECTED, TFLITE, content_of, read_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xdsl.dialects.builtin import ModuleOp

_ONNX = "ONNX model"
SUFFIXES = {".onnx": _ONNX, ".tflite": TFLITE}
"""What the suffix of a model file promises."""


def import_model(
    path: "str | Path",
    *,
    input_shapes: "Mapping[str, Sequence[int]] | None" = None,
    outputs: "Sequence[str]" = (),
    resize: bool = False,
) -> "ModuleOp":
    """Import a .onnx or .tflite file as a module at the `ktensor` level.

    The suffix says what the file should be and its first bytes what it is; a file without a known suffix goes by its
    content alone. `input_shapes`, `outputs` and `resize` are those of `import_onnx` and `import_tflite`.
    Raises InvalidInputError for anything that is not a readable model, UnsupportedError for a model with layers that
    cannot be expressed.
    """
    path = Path(path)
    data = read_source(path)
    expected = SUFFIXES.get(path.suffix.lower())
    actual = content_of(data)
    if expected and actual and actual != expected:
        hint = f"rename it to {path.stem}.tflite" if actual == TFLITE else EXPECTED
        raise InvalidInputError(f"the file is {_a(actual)}, not {_a(expected)}", location=path.name, hint=hint)
    kind = actual or expected or (_ONNX if _looks_like_onnx(data) else None)
    if kind == _ONNX:
        from kpuir.importers.onnx import import_onnx

        return import_onnx(path, input_shapes=input_shapes, outputs=outputs, resize=resize)
    if kind == TFLITE:
        from kpuir.importers.tflite import import_tflite

        return import_tflite(path, input_shapes=input_shapes, outputs=outputs, resize=resize)
    what = f"the file is {_a(kind)}" if kind else "the file is of no known format"
    raise InvalidInputError(f"{what}, not a model", location=path.name, hint=EXPECTED)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiouAEIOU" or noun.startswith("HTML") else f"a {noun}"


def _looks_like_onnx(data: bytes) -> bool:
    # ModelProto starts with field 1, ir_version, a small integer
    return len(data) > 2 and data[0] == 0x08 and 3 <= data[1] < 0x40
