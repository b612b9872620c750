"""ONNX's own node tests, with the parameters of each op made constants as they are in real models."""

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper


def cases(modules: Sequence[str]) -> dict[str, Any]:
    """The single-node cases of some modules of `onnx.backend.test.case.node` by name.

    The cases made of a function's body instead of the node are left out: there are as many again, and slow to make.
    """
    package: Any = importlib.import_module("onnx.backend.test.case.node")
    found: list[Any] = package._NodeTestCases
    original = package.function_testcase_helper
    package.function_testcase_helper = lambda *_args, **_kwargs: ([], 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for module in modules:
                importlib.import_module(f"{package.__name__}.{module}")
    finally:
        package.function_testcase_helper = original
    return {case.name: case for case in found}


def with_constants(model: onnx.ModelProto, values: Sequence[Any], dynamic: Sequence[int]) -> onnx.ModelProto:
    """The model with every input but those at the positions `dynamic` turned into an initializer."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    inputs = list(graph.input)
    for position, (value, array) in enumerate(zip(inputs, values, strict=True)):
        if position not in dynamic:
            graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), value.name))
            graph.input.remove(value)
    return changed
