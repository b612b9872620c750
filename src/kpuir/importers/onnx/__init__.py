"""ONNX models to `ktensor` modules.

`graph.py` reads and checks a file and settles its shapes, `patterns.py` recognizes functions that exporters spell out
(Gelu, Swish ...), `build.py` walks the nodes, folds what is constant and calls one function of `ops` per other node.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xdsl.dialects.builtin import ModuleOp


def import_onnx(
    source: str | Path | bytes,
    *,
    input_shapes: "Mapping[str, Sequence[int]] | None" = None,
    outputs: "Sequence[str]" = (),
    resize: bool = False,
) -> "ModuleOp":
    """Import an ONNX model, a file or its bytes, as a module at the `ktensor` level.

    A symbolic first dimension of an input becomes 1, others are what `input_shapes` says, with `resize` also where the
    model says otherwise; `outputs`, names of values or of nodes, replace those of the model, and inputs that these do
    not need are dropped; weights become float32; constant subgraphs are evaluated; node names become locations and
    graph input and output names `ktensor.name` attributes. External data is looked for beside the file. Raises
    InvalidInputError for a file that is no valid model of static shapes, UsageError for a shape or output that does
    not fit it, UnsupportedError naming every input and node that is in the way where there are several, or where a node
    cannot be expressed.
    """
    from kpuir.importers.onnx.build import build_module
    from kpuir.importers.onnx.graph import load
    from kpuir.importers.onnx.ops import converters

    table = converters()
    return build_module(load(source, table, input_shapes or {}, outputs, resize), table)
