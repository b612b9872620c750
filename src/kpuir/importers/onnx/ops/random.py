"""Random numbers: drawn once, when the model is imported, from the seed that the model gives."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpuir.importers.onnx.graph import MAX_ELEMENTS
from kpuir.importers.onnx.node import Converter, Node, Table, documented


def _random(kind: str, like: bool) -> Converter:
    """RandomNormal and RandomUniform, of a given shape or like an input; without a seed they are refused."""

    def convert(node: Node) -> "NDArray[Any]":
        if not node.has_attribute("seed"):
            node.refuse("it has no seed, and the chip has no random numbers", "a seed: the numbers become constants")
        shape: Sequence[int] = node.shape(0) if like else node.integers("shape")
        if math.prod(shape) > MAX_ELEMENTS:
            node.refuse(f"shape = {list(shape)}", f"up to {MAX_ELEMENTS} elements")
        generator = np.random.default_rng(np.float32(node.real("seed", 0.0)).view(np.uint32))
        if kind == "normal":
            values = generator.normal(node.real("mean", 0.0), node.real("scale", 1.0), shape)
        else:
            values = generator.uniform(node.real("low", 0.0), node.real("high", 1.0), shape)
        return values.astype(np.float32)

    return documented(convert, "Numbers drawn when the model is imported, from its seed, which must be given.")


TABLE: Table = {
    "RandomNormal": _random("normal", False),
    "RandomNormalLike": _random("normal", True),
    "RandomUniform": _random("uniform", False),
    "RandomUniformLike": _random("uniform", True),
}
