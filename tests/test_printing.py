"""The text of modules: the same as xDSL's where that is right, faster, elided on demand."""

from io import StringIO

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects import test
from xdsl.dialects.builtin import Builtin, DenseArrayBase, ModuleOp, f32
from xdsl.parser import Parser
from xdsl.printer import Printer

from kpuir.ir.arrays import to_dense, to_numpy
from kpuir.ir.locations import named
from kpuir.ir.printing import ELIDE_ABOVE, module_text


def module_of(array: np.ndarray) -> ModuleOp:
    op = test.TestOp(properties={"value": to_dense(array)})
    op.location = named("conv1")
    return ModuleOp([op])


def parsed(text: str) -> np.ndarray:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(test.Test)
    (op,) = Parser(context, text).parse_module().ops
    return to_numpy(op.properties["value"])


ARRAYS = [
    np.arange(6, dtype=np.int8).reshape(2, 3),
    np.full((2, 3), 7, np.uint8),
    np.full((4, 50), 1.5, np.float32),
    np.array(3.25, np.float32),
    np.array([1, 1], np.int32),
    np.array([0.1, 0.2], np.float32),
    np.random.default_rng(1).normal(size=(8, 32)).astype(np.float32),
    np.random.default_rng(2).integers(0, 256, 300).astype(np.uint8),
    np.zeros((0, 3), np.float32),
]

UNLIKE_XDSL = [
    np.array([1.0, np.nan, np.inf], np.float32),
    np.full(4, -np.inf, np.float32),
    np.array([123456789.0, 16777217.0, -2e9, 0.5], np.float32),
    np.full((2, 2), 123456789.0, np.float32),
    np.array([123456789.0, 2.0**53 - 1], np.float64),
]


@pytest.mark.parametrize("array", UNLIKE_XDSL, ids=str)
def test_numbers_that_xdsl_loses(array: np.ndarray) -> None:
    np.testing.assert_array_equal(parsed(module_text(module_of(array))), array)


def test_arrays_of_big_numbers() -> None:
    values = (123456789.0, 3.4028234663852886e38, 0.1)
    module = ModuleOp([test.TestOp(properties={"value": DenseArrayBase.from_list(f32, values)})])
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(test.Test)
    (op,) = Parser(context, module_text(module)).parse_module().ops
    back = op.properties["value"]
    assert isinstance(back, DenseArrayBase)
    np.testing.assert_array_equal(back.get_values(), np.array(values, np.float32))


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_text_is_xdsls_and_parses_back(array: np.ndarray) -> None:
    module = module_of(array)
    text = module_text(module, locations=False)
    assert text == f"{xdsl_text(module)}\n"
    np.testing.assert_array_equal(parsed(text), array)


def xdsl_text(module: ModuleOp) -> str:
    stream = StringIO()
    Printer(stream=stream).print_op(module)
    return stream.getvalue()


def test_signs_of_zeros_survive() -> None:
    """xDSL takes [0.0, -0.0] for a splat of 0.0."""
    array = np.array([0.0, -0.0, 0.0], np.float32)
    back = parsed(module_text(module_of(array)))
    np.testing.assert_array_equal(np.signbit(back), np.signbit(array))
    negative = np.full(3, -0.0, np.float32)
    assert np.signbit(parsed(module_text(module_of(negative)))).all()


def test_elision_tells_contents_apart() -> None:
    first, second = np.arange(ELIDE_ABOVE + 1, dtype=np.int32), np.arange(1, ELIDE_ABOVE + 2, dtype=np.int32)
    texts = [module_text(module_of(array), elide=True) for array in (first, first.copy(), second)]
    assert texts[0] == texts[1] != texts[2]
    assert "dense_resource<__elided_" in texts[0]
    assert f"tensor<{ELIDE_ABOVE + 1}xi32>" in texts[0]
    assert "elided" not in module_text(module_of(first[:ELIDE_ABOVE]), elide=True)
    assert "elided" not in module_text(module_of(np.zeros(1000, np.float32)), elide=True)


def test_locations() -> None:
    module = module_of(ARRAYS[0])
    assert 'loc("conv1")' in module_text(module)
    assert "loc" not in module_text(module, locations=False)
