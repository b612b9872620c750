"""ONNX's own node tests, with the parameters of each op made constants as they are in real models."""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]


@cache
def cases() -> dict[str, Any]:
    """Every single-node test case of the installed onnx package by name."""
    import onnx.backend.test.loader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = onnx.backend.test.loader.load_model_tests(kind="node")
    return {case.name: case for case in loaded}


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
