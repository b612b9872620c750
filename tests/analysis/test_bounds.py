"""What is known of values is true of them."""

import numpy as np
import pytest

from kpuir.analysis.bounds import Bounds, least_of
from kpuir.dialects.ktensor import ActivationAttr
from kpuir.interpreters.kernels.elementwise import apply
from kpuir.runtime import parse_module

FUNCTIONS = (
    ("relu",),
    ("relu6",),
    ("sigmoid",),
    ("hard_sigmoid", 0.2, 0.5),
    ("hard_swish",),
    ("swish",),
    ("elu", 0.5),
    ("gelu",),
    ("gelu_tanh",),
    ("mish",),
    ("softplus",),
    ("tanh",),
    ("clamp", -0.5, 1.5),
    ("max", -2.0),
    ("leaky_relu", 0.1),
)


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_no_result_is_smaller(function: tuple[str, *tuple[float, ...]]) -> None:
    x = np.linspace(-20, 20, 40001, dtype=np.float32)
    kind, *values = function
    least = least_of(ActivationAttr.of(kind, *values))
    results = apply(kind, tuple(values), x)
    assert results.min() >= least
    assert least == -np.inf or results.min() <= least + 1e-3


STEPS = {
    "ktensor.reduce<mean> %r {axes = array<i64: 2, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>": (0, 1),
    "ktensor.reduce<max> %r {axes = array<i64: 2, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>": (0, 1),
    "ktensor.reduce<prod> %r {axes = array<i64: 2, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>": None,
    "ktensor.reduce<sum> %r {axes = array<i64: 2, 3>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x1x1xf32>": None,
    "ktensor.binary<add> %r, %x : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>": None,
    "ktensor.binary<sub> %r, %r : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>": (-1, 1),
    "ktensor.binary<mul> %r, %r : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>": (0, 1),
    "ktensor.binary<max> %r, %x : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>": (0, np.inf),
    "ktensor.unary<neg> %r : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>": None,
    "ktensor.unary<square> %x : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>": (0, np.inf),
}


@pytest.mark.parametrize(("step", "expected"), STEPS.items(), ids=str)
def test_bounds(step: str, expected: tuple[float, float] | None) -> None:
    text = f"""func.func @main(%x: tensor<1x2x4x4xf32>) -> tensor<*xf32> {{
      %r = ktensor.activation<sigmoid> %x : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
      %y = {step}
      func.return %y : {step.rpartition("-> ")[2]}
    }}"""
    module = parse_module(text.replace("tensor<*xf32>", step.rpartition("-> ")[2]).encode(), "module.mlir")
    found = next(Bounds().of(op.results[0]) for op in module.walk() if op.results and op.results[0].name_hint == "y")
    assert found == (expected or (-np.inf, np.inf))
