"""Reports for people: analyses in, text or SVG out. Nothing here writes a file or prints."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from kpuir.compiler import CompiledModel

ReportWriter: TypeAlias = Callable[["CompiledModel", Path], None]
"""A plug-in's report: writes it into a directory that exists; called for `kpu-compile --report DIR`."""
