import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpuir.quantization.fixed_point import fixed_point, fixed_points
from kpuir.quantization.parameters import QuantizationParameters, lattice

finite = st.floats(-1e6, 1e6)


@given(finite, finite)
def test_range_is_covered_and_zero_is_a_code(a: float, b: float):
    lo, hi = min(a, b), max(a, b)
    q = QuantizationParameters.from_range(lo, hi)
    assert q.lo <= min(lo, 0) + 0.26 * q.scale  # an end that is nearly 0 may round to it
    assert q.hi >= max(hi, 0) - 0.26 * q.scale
    assert q.dequantize(q.quantize(np.zeros(3))).tolist() == [0, 0, 0]
    width = max(hi, 0) - min(lo, 0)
    if width > 1e-5:
        assert q.scale <= width / 255 * 1.0081
    edges = np.array([lo, hi])
    assert np.abs(q.dequantize(q.quantize(edges)) - edges).max() <= 0.501 * q.scale


@pytest.mark.parametrize(
    ("lo", "hi", "scale", "zero_point"),
    [
        (0.0, 255.0, 1.0, 0),
        (0.0, 6.0, 6 / 255, 0),
        (-3.0, 0.0, 3 / 255, 255),
        (2.0, 5.1, 5.1 / 255, 0),
        (-1.0, 1.0, 1 / 127, 127),
        (0.0, 0.0, 1 / 255, 0),
    ],
)
def test_known_ranges(lo: float, hi: float, scale: float, zero_point: int):
    q = QuantizationParameters.from_range(lo, hi)
    assert (q.scale, q.zero_point) == (pytest.approx(scale), zero_point)


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (np.nan, 1.0), (0.0, np.inf)])
def test_bad_ranges_are_rejected(bounds: tuple[float, float]):
    with pytest.raises(ValueError, match="range must be finite and ascending"):
        QuantizationParameters.from_range(*bounds)


@pytest.mark.parametrize(("scale", "zero_point"), [(0.0, 3), (-1.0, 3), (np.inf, 3), (1.0, -1), (1.0, 256)])
def test_bad_parameters_are_rejected(scale: float, zero_point: int):
    with pytest.raises(ValueError, match="must be"):
        QuantizationParameters(scale, zero_point)


def test_rounding_is_half_to_even_and_clamps():
    q = QuantizationParameters(0.5, 10)
    codes = q.quantize(np.array([0.25, 0.75, -0.25, 1e9, -1e9]))
    assert codes.tolist() == [10, 12, 10, 255, 0]


PIXELS = np.random.default_rng(7).integers(0, 256, (2, 3, 40, 50))


@pytest.mark.parametrize(
    ("values", "scale", "zero_point"),
    [
        (PIXELS, 1.0, 0),
        (PIXELS / 255, 1 / 255, 0),
        (PIXELS / 256, 1 / 256, 0),
        ((PIXELS - 127) / 128, 1 / 128, 127),
        ((PIXELS - 128) / 128, 1 / 128, 128),
        (PIXELS - 128, 1.0, 128),
        (PIXELS - 104, 1.0, 104),
        (np.clip(PIXELS, 30, 90) / 255, 1 / 255, 0),  # a dark picture: the whole range is guessed
        ((np.clip(PIXELS, 30, 190) - 127) / 128, 1 / 128, 127),
        (PIXELS // 8 * 0.3, 0.3 / 8, 0),  # 32 levels: refined until 256 codes are used up
        ((PIXELS // 8 - 10) * 0.3, 0.3 / 8, 83),
    ],
)
def test_lattices_are_found_and_lossless(values: np.ndarray, scale: float, zero_point: int):
    values = values.astype(np.float32)
    q = lattice(values)
    assert q is not None
    assert (q.scale, q.zero_point) == (pytest.approx(scale, rel=1e-6), zero_point)
    np.testing.assert_allclose(q.dequantize(q.quantize(values)), values, rtol=1e-6, atol=1e-6 * np.abs(values).max())


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).standard_normal(5000),
        PIXELS / 127.5 - 1,  # 0 is between two levels
        PIXELS + PIXELS.reshape(-1)[::-1].reshape(PIXELS.shape),  # more than 256 levels
        np.array([0.0, 1.0] * 50),  # two values show no lattice
        np.zeros(100),
        np.array([np.nan] * 100),
        np.append(PIXELS / 255, 0.3017),  # one value off
    ],
)
def test_other_data_have_no_lattice(values: np.ndarray):
    assert lattice(values.astype(np.float32)) is None


def test_a_lattice_beside_zero_does_not_count():
    assert lattice((PIXELS / 127.5 - 1).astype(np.float32)) is None


@given(st.floats(-(2.0**20), 2.0**20), st.integers(16, 24), st.integers(0, 30))
def test_fixed_point_is_the_nearest(v: float, bits: int, max_shift: int):
    if abs(v) >= 2.0 ** (bits - 1) - 1:
        with pytest.raises(ValueError, match="does not fit"):
            fixed_point(2.0 ** (bits - 1), bits, max_shift)
        return
    mul, shift = fixed_point(v, bits, max_shift)
    assert abs(mul) < 1 << (bits - 1)
    assert 0 <= shift <= max_shift
    assert abs(mul / 2.0**shift - v) <= 0.5 * 2.0 ** -(shift if mul else max_shift)
    if shift < max_shift and mul:
        assert abs(mul) >= 1 << (bits - 2)


def test_fixed_point_examples():
    assert fixed_point(0.0, 22, 15) == (0, 0)
    assert fixed_point(1.0, 16, 20) == (1 << 14, 14)
    assert fixed_point(1 - 2.0**-30, 16, 20) == (1 << 14, 14)  # rounds up to one bit more
    mul, shift = fixed_points([0.5, -0.25], 8, 4)
    assert (mul.tolist(), shift.tolist()) == ([8, -4], [4, 4])
    with pytest.raises(ValueError, match="finite"):
        fixed_point(np.nan, 22, 15)


def test_tiny_ranges_have_all_codes() -> None:
    assert QuantizationParameters.from_range(0, 1e-20).scale == pytest.approx(1e-20 / 255)
