"""ONNX's own node tests, run through the standard backend interface.

python -m tests.importers.backend [ktensor|kbuf] [PART OF A NAME]      # all of them, with a summary
"""

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Container
from functools import cache
from typing import Any, Literal

import numpy as np
import onnx
import onnx.numpy_helper

from kpuir.errors import KpuirError
from kpuir.importers.onnx.elements import is_supported
from kpuir.importers.onnx.ops import converters
from kpuir.onnx_backend import prepare

FOLDED = {"Constant", "ConstantOfShape", "Range", "Shape", "Size"}
"""Ops without a converter that a model may have all the same, where they are constant."""
SLOW = {"averagepool", "lppool", "maxpool"}
"""Modules that take seconds to make their cases."""


def cases(without: Container[str] = (), functions: bool = True) -> dict[str, Any]:
    """The cases of `onnx.backend.test.case.node` by name, those made of a function's body included on request."""
    package: Any = importlib.import_module("onnx.backend.test.case.node")
    original = package.function_testcase_helper
    if not functions:
        package.function_testcase_helper = lambda *_args, **_kwargs: ([], 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for module in pkgutil.iter_modules(package.__path__):
                if module.name not in without:
                    importlib.import_module(f"{package.__name__}.{module.name}")
    finally:
        package.function_testcase_helper = original
    return {case.name: case for case in package._NodeTestCases}


def in_scope(case: Any) -> bool:
    """Ops that have converters, opset 7 and newer, tensors of numbers and bools that are not empty."""
    graph = case.model.graph
    values = [*graph.input, *graph.output]
    if not all(value.type.HasField("tensor_type") for value in values):
        return False
    known = {node.op_type for node in graph.node} <= _known()
    numbers = all(is_supported(value.type.tensor_type.elem_type) for value in values)
    opset = max((entry.version for entry in case.model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    return known and numbers and opset >= 7 and all(array.size for part in case.data_sets[0] for array in arrays(part))


@cache
def _known() -> set[str]:
    return {*converters(), *FOLDED}


def arrays(values: Any) -> list[np.ndarray]:
    """Inputs or outputs as arrays; types that numpy lacks come as protocol buffers."""
    return [onnx.numpy_helper.to_array(one) if isinstance(one, onnx.TensorProto) else np.asarray(one) for one in values]


def outcome(case: Any, through: Literal["ktensor", "kbuf"] = "ktensor") -> str:
    """`passed`, `wrong: ...` with the difference, or what kpuir says."""
    inputs, expected = case.data_sets[0]
    try:
        actual = prepare(case.model, through=through).run(inputs)
    except KpuirError as refusal:
        return str(refusal)
    for ours, theirs in zip(actual, arrays(expected), strict=True):
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            return f"wrong: {ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
        found, wanted = ours.astype(np.float64), theirs.astype(np.float64)
        if not np.allclose(found, wanted, rtol=case.rtol, atol=max(case.atol, 1e-6), equal_nan=True):
            return f"wrong: {found} is not {wanted}"
    return "passed"


def main(through: Any = "ktensor", part: str = "") -> None:
    found = {name: case for name, case in cases().items() if part in name and in_scope(case)}
    results = {name: outcome(case, through) for name, case in found.items()}
    failed = {name: message for name, message in results.items() if message != "passed"}
    for name, message in sorted(failed.items()):
        print(f"{name}: {' '.join(message.split())[:160]}")
    print(f"{through}: {len(results) - len(failed)} of {len(results)} pass ({1 - len(failed) / len(results):.2%})")


if __name__ == "__main__":
    main(*sys.argv[1:])
