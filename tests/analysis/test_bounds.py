"""What is known of values is true of them."""

import numpy as np
import pytest

from kpuir.analysis.bounds import least_of
from kpuir.dialects.ktensor import ActivationAttr
from kpuir.interpreters.kernels.elementwise import apply

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
