"""Which ops can be imported: for `kpu-translate --supported-ops` and the generated documentation."""

from collections.abc import Callable, Mapping
from typing import Any


def supported_ops() -> dict[str, dict[str, str]]:
    """By source format (`ONNX`, `TFLite`), each op's name and what is known of it: its importer's first line."""
    from kpuir.importers.onnx.ops import converters
    from kpuir.importers.tflite.importer import handlers

    return {"ONNX": _summaries(converters()), "TFLite": _summaries(handlers())}


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
