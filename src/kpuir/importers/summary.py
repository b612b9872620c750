"""Which ops can be imported: for `kpu-translate --supported-ops` and the generated documentation."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


def supported_ops() -> dict[str, dict[str, str]]:
    """By source format (`ONNX`, `TFLite`), each op's name and what is known of it: its importer's first line."""
    from kpuir.importers.onnx.ops import converters
    from kpuir.importers.tflite.importer import handlers

    return {"ONNX": _summaries(converters()), "TFLite": _summaries(handlers())}


class OnnxOp(NamedTuple):
    """What the page of supported ops says of an op: versions and attributes as ONNX defines them since opset 7."""

    name: str
    versions: tuple[int, ...]
    attributes: tuple[str, ...]
    place: str
    text: str


def onnx_ops() -> list[OnnxOp]:
    """Every ONNX op that has a converter of ours, by name."""
    import onnx.defs

    from kpuir.importers.onnx.graph import OLDEST_OPSET
    from kpuir.importers.onnx.ops import FAMILIES, PLACES

    history: dict[str, list[Any]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain:
            history.setdefault(schema.name, []).append(schema)
    found: list[OnnxOp] = []
    for family, table in FAMILIES.items():
        for name, converter in table.items():
            versions = sorted(schema.since_version for schema in history.get(name, ()))
            used = {
                max((v for v in versions if v <= OLDEST_OPSET), default=0),
                *(v for v in versions if v > OLDEST_OPSET),
            }
            attributes = {
                key for schema in history.get(name, ()) if schema.since_version in used for key in schema.attributes
            }
            text = " ".join((converter.__doc__ or "").split())
            found.append(OnnxOp(name, tuple(sorted(used - {0})), tuple(sorted(attributes)), PLACES[family], text))
    return sorted(found)


class TfliteOp(NamedTuple):
    """What the page of supported ops says of a TFLite operator."""

    name: str
    options: tuple[str, ...]
    place: str
    text: str


def tflite_ops() -> list[TfliteOp]:
    """Every TFLite operator that has a function of ours, by name."""
    from kpuir.importers.tflite.ops import FAMILIES, PLACES
    from kpuir.importers.tflite.options import options_of

    found = [
        TfliteOp(name, tuple(options_of(name)), PLACES[family], " ".join((handler.__doc__ or "").split()))
        for family, table in FAMILIES.items()
        for name, handler in table.items()
    ]
    return sorted(found)


def tflite_refusals() -> Mapping[str, str]:
    """Why TFLite's other operators are not imported."""
    from kpuir.importers.tflite.refusals import REASONS

    return REASONS


def _summaries(table: Mapping[str, Callable[..., Any]]) -> dict[str, str]:
    return {name: _summary(table[name]) for name in sorted(table)}


def _summary(function: Callable[..., Any]) -> str:
    return next(iter((function.__doc__ or "").strip().splitlines()), "")


def summary_text() -> str:
    """All of it as text, one op per line."""
    parts: list[str] = []
    for source, table in supported_ops().items():
        width = max(map(len, table))
        lines = [f"  {name:<{width}}  {summary}".rstrip() for name, summary in table.items()]
        parts.append("\n".join([f"{source}: {len(table)} ops", *lines]))
    return "\n\n".join(parts) + "\n"
