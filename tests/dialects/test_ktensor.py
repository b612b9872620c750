"""The Python side of the ktensor dialect: constructors, helpers, attributes, and that all of it has interpreters."""

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects import test
from xdsl.dialects.builtin import Builtin, TensorType, f32, f64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import ktensor

QUANTIZED = ktensor.QuantizedType.of(0.5, 3)


def value(*shape: int, element: Attribute = f32) -> SSAValue:
    return test.TestOp(result_types=[TensorType(element, shape)]).results[0]


def parse_attribute(text: str) -> Attribute:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(ktensor.KTensor)
    return Parser(context, text).parse_attribute()


IMAGE = value(1, 8, 6, 7)
CASES: list[tuple[Callable[[], Operation], tuple[int, ...]]] = [
    (lambda: ktensor.Conv2dOp(IMAGE, value(4, 8, 3, 3), strides=(2, 1), pads=(1, 0, 1, 0)), (1, 4, 3, 5)),
    (lambda: ktensor.Conv2dOp(IMAGE, value(16, 2, 1, 3), value(16), groups=4, dilations=(1, 3)), (1, 16, 6, 1)),
    (lambda: ktensor.Conv2dTransposeOp(IMAGE, value(8, 3, 2, 2), strides=(2, 2), pads=(0, 0, 0, 1)), (1, 3, 12, 13)),
    (lambda: ktensor.Conv2dTransposeOp(IMAGE, value(8, 3, 3, 3), groups=2, dilations=(2, 1)), (1, 6, 10, 9)),
    (lambda: ktensor.MatmulOp(value(5, 1, 2, 3), value(4, 3, 6), value(6)), (5, 4, 2, 6)),
    (lambda: ktensor.MaxPool2dOp(IMAGE, (3, 2), strides=(2, 2), pads=(1, 0, 1, 1)), (1, 8, 3, 4)),
    (lambda: ktensor.AveragePool2dOp(IMAGE, (6, 7)), (1, 8, 1, 1)),
    (lambda: ktensor.ReduceOp("mean", IMAGE, (3, 1)), (1, 1, 6, 1)),
    (lambda: ktensor.ReduceOp(ktensor.ReduceKind.SUM, IMAGE, (3, 1), keep_dims=False), (1, 6)),
    (lambda: ktensor.UnaryOp("exp", IMAGE), (1, 8, 6, 7)),
    (lambda: ktensor.BinaryOp("add", value(8, 1, 1), value(2, 1, 1, 7)), (2, 8, 1, 7)),
    (lambda: ktensor.ActivationOp(IMAGE, ktensor.ActivationAttr.of("relu")), (1, 8, 6, 7)),
    (lambda: ktensor.PReluOp(IMAGE, value(8, 1, 1)), (1, 8, 6, 7)),
    (lambda: ktensor.SoftmaxOp(IMAGE, 1), (1, 8, 6, 7)),
    (lambda: ktensor.ConcatOp([IMAGE, value(1, 3, 6, 7)], 1), (1, 11, 6, 7)),
    (lambda: ktensor.ReshapeOp(IMAGE, (8, 42)), (8, 42)),
    (lambda: ktensor.TransposeOp(IMAGE, (0, 2, 3, 1)), (1, 6, 7, 8)),
    (lambda: ktensor.PadOp(value(2, 3), (1, 0), (0, 4), 1.5), (3, 7)),
    (lambda: ktensor.SliceOp(value(9, 9), (1, 8), (9, -1), (3, -3)), (3, 3)),
    (lambda: ktensor.SliceOp(value(9, 9), (1, 0), (9, 2)), (8, 2)),
    (lambda: ktensor.ResizeOp(IMAGE, (3, 21)), (1, 8, 3, 21)),
    (lambda: ktensor.SpaceToBatchOp(IMAGE, (3, 2), (0, 0, 0, 1)), (6, 8, 2, 4)),
    (lambda: ktensor.BatchToSpaceOp(value(6, 8, 2, 4), (3, 2), (0, 0, 0, 1)), (1, 8, 6, 7)),
    (lambda: ktensor.DepthToSpaceOp(IMAGE, 2), (1, 2, 12, 14)),
    (lambda: ktensor.SpaceToDepthOp(value(1, 2, 6, 4), 2), (1, 8, 3, 2)),
]


@pytest.mark.parametrize(("make", "shape"), CASES)
def test_constructors_infer_the_shape(make: Callable[[], Operation], shape: tuple[int, ...]) -> None:
    op = make()
    op.verify()
    assert ktensor.shape_of(op) == shape
    assert ktensor.element_of(op) == f32


def test_constructors_reject_what_does_not_fit() -> None:
    with pytest.raises(VerifyException, match="input has 8 channels"):
        ktensor.Conv2dOp(IMAGE, value(4, 4, 3, 3))
    with pytest.raises(ValueError, match="nonsense"):
        ktensor.UnaryOp("nonsense", IMAGE)


def test_quantized_results() -> None:
    x = value(1, 2, 4, 4, element=QUANTIZED)
    for op in (
        ktensor.MaxPool2dOp(x, (2, 2)),
        ktensor.ResizeOp(x, (8, 8)),
        ktensor.PadOp(x, (0, 0, 1, 1), (0, 0, 1, 1), -1.0),
        ktensor.TransposeOp(x, (0, 2, 3, 1)),
    ):
        op.verify()
        assert ktensor.element_of(op) == QUANTIZED
    other = ktensor.QuantizedType.of(0.25, 0)
    added = ktensor.BinaryOp("add", x, x, result_type=ktensor.tensor(other, (1, 2, 4, 4)))
    added.verify()
    assert ktensor.element_of(added) == other
    assert ktensor.element_of(ktensor.DequantizeOp(x)) == f32
    assert ktensor.QuantizeOp(IMAGE, other).element == other
    with pytest.raises(VerifyException, match="multiplier must be finite and not 0"):
        ktensor.QuantizeOp(IMAGE, other, 0.0).verify()


def test_constants() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    op = ktensor.ConstantOp(array)
    np.testing.assert_array_equal(op.array, array)
    assert ktensor.constant_of(op.output) is not None
    assert ktensor.constant_of(value(2, 3)) is None
    assert ktensor.splat_of(op) is None
    splat = ktensor.ConstantOp(np.full((2, 3), 1.5, np.float32))
    assert ktensor.splat_of(splat) == 1.5
    assert splat.array.shape == (2, 3)
    quantized = ktensor.ConstantOp(np.full((2, 3), 7, np.uint8), ktensor.tensor(QUANTIZED, (2, 3)))
    quantized.verify()
    assert ktensor.is_quantized(quantized)
    assert ktensor.splat_of(quantized) is None


def test_shape_of_something_without_a_shape() -> None:
    number = test.TestOp(result_types=[f64]).results[0]
    with pytest.raises(VerifyException, match="f64"):
        ktensor.shape_of(number)
    with pytest.raises(VerifyException, match="f64"):
        ktensor.element_of(number)


@given(scale=st.floats(1e-300, 1e300), zero_point=st.integers(0, 255))
def test_quantized_types_survive_as_text(scale: float, zero_point: int) -> None:
    kind = ktensor.QuantizedType.of(scale, zero_point)
    assert (kind.scale_value, kind.zero_point_value) == (scale, zero_point)
    assert parse_attribute(str(kind)) == kind


@given(lo=st.floats(allow_nan=False), hi=st.floats(allow_nan=False))
def test_activations_survive_as_text(lo: float, hi: float) -> None:
    function = ktensor.ActivationAttr.of("clamp", min(lo, hi), max(lo, hi))
    assert parse_attribute(str(function)) == function
    assert function.values == (min(lo, hi), max(lo, hi))


def test_activations_without_a_number_are_rejected() -> None:
    with pytest.raises(VerifyException, match="not a number"):
        ktensor.ActivationAttr.of("mul", math.nan)


@pytest.mark.parametrize(("lo", "hi"), [(0.0, math.inf), (0.0, 6.0), (-1.0, 2.0), (-math.inf, 3.0)])
def test_limiting_functions(lo: float, hi: float) -> None:
    assert ktensor.limits(ktensor.limiting(lo, hi)) == (lo, hi)
    assert ktensor.limits(ktensor.ActivationAttr.of("tanh")) is None


def test_every_operation_and_function_can_be_run() -> None:
    from kpuir.interpreters.kernels.elementwise import BINARY, FUNCTIONS
    from kpuir.interpreters.ktensor import KTensorFunctions

    runnable = {op for op, _ in KTensorFunctions._impls()}  # pyright: ignore[reportPrivateUsage] - xDSL's only list of them
    assert runnable == set(ktensor.KTensor.operations)
    assert set(FUNCTIONS) == {kind.value for kind in ktensor.ActivationKind}
    assert set(FUNCTIONS) >= {kind.value for kind in ktensor.UnaryKind}
    assert set(BINARY) == {kind.value for kind in ktensor.BinaryKind}


def test_importing_dialects_and_universe_is_cheap() -> None:
    code = "import sys, kpuir.universe, kpuir.dialects.ktensor; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, kpuir.universe; sys.exit(any(name.startswith('kpuir.dialects') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
