"""What other packages add to kpuir, besides dialects and passes (those come through `xdsl.universe`).

A package names objects in its `pyproject.toml`:

    [project.entry-points."kpuir.plugins"]
    onnx = "mypackage.importer:ONNX_OPS"        # {op type: converter}, see kpuir.importers.onnx.ops
    tflite = "mypackage.importer:TFLITE_OPS"    # {builtin's name: handler}, see kpuir.importers.tflite.ops
    reports = "mypackage.reports:WRITERS"       # {name: writer}, see kpuir.reports.ReportWriter

and each is a dictionary; what stands in it is added to, or replaces, kpuir's own.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from kpuir.errors import UsageError

GROUP = "kpuir.plugins"
Kind = Literal["onnx", "tflite", "reports"]


def table(kind: Kind) -> dict[str, Any]:
    """Everything installed packages add of one kind. Raises UsageError, naming the package, for one that is broken."""
    merged: dict[str, Any] = {}
    for entry in sorted(entry_points(group=GROUP, name=kind), key=lambda one: one.value):
        merged.update(_load(entry))
    return merged


def _load(entry: EntryPoint) -> dict[str, Any]:
    try:
        loaded = entry.load()
    except Exception as error:
        raise _broken(entry, f"{type(error).__name__}: {error}") from error
    if not isinstance(loaded, dict):
        raise _broken(entry, f"is a {type(loaded).__name__}, not a dictionary")
    return loaded


def _broken(entry: EntryPoint, reason: str) -> UsageError:
    package = entry.dist.name if entry.dist is not None else "a package"
    return UsageError(
        f"the plug-in '{entry.name} = {entry.value}' of {package} cannot be used: {reason}",
        hint=f"repair or uninstall {package}",
    )
