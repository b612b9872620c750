import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpuir.quantization.activation_table import FIRST_UNUSED_START, LOWEST_START, ActivationTable, Piece
from kpuir.quantization.parameters import QuantizationParameters
from kpuir.quantization.piecewise import fit_table
from tests.quantization.functions import EXACT, FUNCTIONS
from tests.quantization.hardware import entry_round


@given(st.integers(-(1 << 40), 1 << 40), st.integers(0, 20))
def test_evaluate_rounds_as_the_simulators_do(product: int, shift: int):
    # Through one entry: v - start = |product|, mul = ±1, so that the product is any number.
    expected = min(max(entry_round(product, shift) + 100, 0), 255)
    start = -(1 << 34)
    table = ActivationTable.of(0, [Piece(start, -1 if product < 0 else 1, shift, 100)])
    v = start + abs(product)
    if product == 0 or v >= FIRST_UNUSED_START:
        return
    assert table.evaluate(np.array([v])).tolist() == [expected]


def test_rounding_examples():
    # kpu-hardware.md 6.3: ties to even; -1.25 becomes -3
    assert [entry_round(t, 2) for t in (5, 6, 7, 10, -4, -5, -6, -7)] == [1, 2, 2, 2, -1, -3, -2, -2]


def test_unused_entries_are_out_of_reach_and_consistent():
    table = ActivationTable.of(7, [Piece(-50, 0, 0, 9), Piece(10, 1 << 14, 20, 20)])
    assert table.used == 3
    assert table.start[0] == LOWEST_START
    assert (np.diff(table.start) > 0).all()
    assert table.start[3:].tolist() == [FIRST_UNUSED_START + i for i in range(3, 16)]
    assert table.add[3:].tolist() == [255] * 13
    assert table.evaluate(np.array([-51, -50, -49, 10, 11, 74, 10_000_000])).tolist() == [7, 7, 9, 9, 20, 21, 255]


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([Piece(i, 0, 0, 0) for i in range(16)], "at most 15 pieces, got 16"),
        ([Piece(5, 0, 0, 0), Piece(5, 0, 0, 1)], "ascend strictly"),
        ([Piece(1 << 35, 0, 0, 0)], "must be below"),
        ([Piece(0, 1 << 15, 0, 0)], "mul is 16 bits"),
        ([Piece(0, 1, 21, 0)], r"shift 0\.\.20"),
        ([Piece(0, 1, 0, 256)], r"add 0\.\.255"),
    ],
)
def test_impossible_tables_are_rejected(pieces: list[Piece], message: str):
    with pytest.raises(ValueError, match=message):
        ActivationTable.of(0, pieces)


# Greatest error and mean error beyond rounding's own, in codes, of 15 pieces; uniform y.
LIMITS = {
    "sigmoid": (1.5, 0.08),
    "tanh": (1.5, 0.09),
    "hard_swish": (2.0, 0.15),
    "swish": (2.0, 0.15),
    "mish": (2.0, 0.15),
    "elu": (1.3, 0.03),
    "gelu": (2.0, 0.1),
    "softplus": (1.3, 0.03),
    "abs": (1.05, 0.26),  # half of it falls: the simulators' rounding scatters by one code
}


@pytest.mark.parametrize("width", [1.5, 4.0, 8.0])
@pytest.mark.parametrize("name", [*LIMITS, *(n for n in EXACT if n not in ("negative", "falling_relu"))])
def test_fitted_tables_follow_the_function(name: str, width: float):
    function = FUNCTIONS[name]
    z = function(np.linspace(-width, width, 1001))
    q = QuantizationParameters.from_range(float(z.min()), float(z.max()))
    units = 256 / q.scale

    def code(v: np.ndarray) -> np.ndarray:
        return function(v / units) / q.scale + q.zero_point

    table = fit_table(code, (-width * units, width * units), (-3 * width * units, 3 * width * units))
    v = np.arange(int(-width * units), int(width * units), 13)
    exact = np.clip(code(v.astype(np.float64)), 0, 255)
    error = np.abs(table.evaluate(v) - exact)
    rounding = np.abs(np.rint(exact) - exact).mean()
    greatest, mean = LIMITS.get(name, (0.75, 0.002))
    assert error.max() <= greatest
    assert error.mean() - rounding <= mean
    if name in EXACT:
        assert table.used <= 5
        assert (table.mul >= 0).all()
    # Further out, where values may come though calibration saw none, nothing absurd happens.
    far = np.linspace(-3 * width * units, 3 * width * units, 5001).astype(np.int64)
    exact = np.clip(code(far.astype(np.float64)), 0, 255)
    assert np.abs(table.evaluate(far) - exact).max() <= 16


def test_saturation_is_entry_zero_not_code_zero():
    table = fit_table(lambda v: 255 / (1 + np.exp(-v / 1000)) * 0.5 + 60.4, (-8000, 8000), (-1e6, 1e6))
    assert table.add[0] == 60
    assert table.evaluate(np.array([-900_000, 900_000])).tolist() == [60, 188]


def test_constant_and_jumping_functions():
    constant = fit_table(lambda v: np.full_like(v, 33.3), (-100, 100), (-1e5, 1e5))
    assert set(constant.evaluate(np.arange(-1000, 1000)).tolist()) == {33}
    step = fit_table(lambda v: np.where(v > 1000, 200.0, 10.0), (-5000, 5000))
    assert step.evaluate(np.array([-4000, 900, 1100, 4000])).tolist() == [10, 10, 200, 200]


def test_functions_without_a_value_count_as_zero():
    table = fit_table(lambda v: np.sqrt(v) * 2, (-5000, 10000))
    assert table.evaluate(np.array([-4000, -100])).tolist() == [0, 0]
    assert abs(int(table.evaluate(np.array([10000]))[0]) - 200) <= 2


@pytest.mark.parametrize("focus", [(3.0, 3.0), (2.0, 1.0), (0.0, np.inf)])
def test_ranges_without_width_are_rejected(focus: tuple[float, float]):
    with pytest.raises(ValueError, match="positive width"):
        fit_table(lambda v: v, focus)
