"""Numbers as sums of bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpuir.quantization.range_parts import range_parts

END = st.floats(-1e3, 1e3).map(lambda value: round(value, 6))


@given(END, END, st.integers(2, 6))
def test_the_parts_add_up(one: float, other: float, count: int) -> None:
    lo, hi = min(one, other), max(one, other)
    parts = range_parts(lo, hi, count)
    assert 1 <= len(parts) <= count
    x = np.linspace(min(lo, 0), max(hi, 0), 1001)
    codes = [np.clip(np.rint(x / part.step) - part.begin, 0, 255) for part in parts]
    total = sum(part.step * code for part, code in zip(parts, codes, strict=True))
    np.testing.assert_allclose(total, x, atol=abs(parts[0].step) * 0.51 + 1e-12)
    # Two sides of 0 may need one part more than half full.
    assert abs(parts[0].step) * 255 * max(count - 1, 1) <= max(hi, 0) - min(lo, 0) + 1e-9 or max(hi, -lo) == 0


@pytest.mark.parametrize(("lo", "hi", "count"), [(-1.0, 1.0, 1), (1.0, 0.0, 2), (0.0, np.inf, 2), (0.0, 1.0, 0)])
def test_what_cannot_be_cut_is_refused(lo: float, hi: float, count: int) -> None:
    with pytest.raises(ValueError, match=r"parts do not cover|finite and ascending"):
        range_parts(lo, hi, count)
