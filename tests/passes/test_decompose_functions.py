"""Functions and arithmetic that no instruction has: their formulas give what the float interpreter gives."""

from collections.abc import Callable

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.ir import SSAValue

from kpuir.analysis.instructions import CLAMPS, UNARIES
from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationOp, BinaryOp, ReduceOp, SelectOp, UnaryOp
from kpuir.interpreters.run import run
from kpuir.passes.ktensor_decompose_arithmetic import KTensorDecomposeArithmeticPass
from kpuir.passes.ktensor_decompose_functions import KTensorDecomposeFunctionsPass
from tests.passes.graphs import Put, module_of

X = np.concatenate([np.linspace(-6, 6, 241), [0.0, -0.5, 2.5, 1e-30, -3e-38, 1.4e-45]]).astype(np.float32)
WITHIN = {"asin": (-1, 1), "acos": (-1, 1), "atanh": (-0.99, 0.99), "acosh": (1, 6), "log": (0.01, 6)}


def compare(body: "Body", x: np.ndarray, tolerance: float) -> None:
    module = module_of([x.shape], lambda block, put: [body(put, block.args[0])])
    expected = run(module, [x])[0]
    for one in (KTensorDecomposeArithmeticPass(), KTensorDecomposeFunctionsPass()):
        one.apply(Context(), module)
    module.verify()
    for op in module.walk():
        if isinstance(op, UnaryOp):
            assert op.kind.data.value in UNARIES
        if isinstance(op, ActivationOp):
            assert op.function.kind.value in CLAMPS
        if isinstance(op, BinaryOp):
            assert op.kind.data.value in ("add", "sub", "mul", "div", "min", "max")
    np.testing.assert_allclose(run(module, [x])[0], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [*ktensor.UnaryKind, "fake_quantize"])
def test_functions(kind: str) -> None:
    values = (0.05, 128) if kind == "fake_quantize" else ()
    low, high = WITHIN.get(kind, (-6, 6))
    x = np.clip(np.abs(X) + 0.01 if kind in ("sqrt", "rsqrt") else X, low, high).astype(np.float32)
    x = x[np.abs(np.cos(x)) > 1e-2] if kind == "tan" else x
    compare(lambda put, value: put(ActivationOp(value, ActivationAttr.of(kind, *values))), x, 1e-5)


def number(put: Put, value: float) -> SSAValue:
    return put(ktensor.ConstantOp(np.full((1,), value, np.float32)))


Body = Callable[[Put, SSAValue], SSAValue]
BODIES: dict[str, Body] = {
    "equal": lambda put, x: put(BinaryOp("equal", x, number(put, 2.5))),
    "greater": lambda put, x: put(BinaryOp("greater", x, number(put, 0.0))),
    "greater_equal": lambda put, x: put(BinaryOp("greater_equal", x, number(put, 2.5))),
    "floor_mod": lambda put, x: put(BinaryOp("floor_mod", put(UnaryOp("round", x)), number(put, -2.0))),
    "pow": lambda put, x: put(BinaryOp("pow", x, number(put, 3.0))),
    "pow of a negative": lambda put, x: put(BinaryOp("pow", number(put, -1.5), put(UnaryOp("round", x)))),
    "select": lambda put, x: put(
        SelectOp(put(BinaryOp("greater", x, number(put, 1.0))), put(UnaryOp("neg", x)), number(put, 7.0))
    ),
    "prod": lambda put, x: put(ReduceOp("prod", x, [0], keep_dims=False)),
}


@pytest.mark.parametrize("name", BODIES)
def test_arithmetic(name: str) -> None:
    x = np.linspace(0.5, 1.5, 7).astype(np.float32) if name == "prod" else X
    compare(BODIES[name], x, 1e-5)
