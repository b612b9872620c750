"""Comparison of outputs, and which output belongs to which."""

import numpy as np
import pytest

from kpuir.comparison import cosine, difference, match_outputs
from kpuir.errors import InvalidInputError


def test_cosine() -> None:
    a = np.array([1.0, 0.0, 2.0])
    assert cosine(a, 3 * a) == pytest.approx(1)
    assert cosine(a, -a) == pytest.approx(-1)
    assert cosine(a, np.array([0.0, 5.0, 0.0])) == 0
    assert cosine(np.zeros(3), np.zeros(3)) == 1
    assert cosine(np.zeros(3), a) == 0


def test_difference_is_over_all_samples() -> None:
    actual = [np.array([[1.0, 0.0]], np.float32), np.array([[1.0, 1.0]], np.float32)]
    expected = [np.array([1.0, 0.0]), np.array([1.0, -0.5])]
    found = difference("y", actual, expected)
    second = 0.5 / np.sqrt(2 * 1.25)
    assert found.cosine_min == pytest.approx(second)
    assert found.cosine_mean == pytest.approx((1 + second) / 2)
    assert found.max_abs_error == 1.5


def test_outputs_match_by_name_then_size_then_order() -> None:
    assert match_outputs({"a": 2, "b": 3}, {"b": 3, "a": 2}) == {"b": "b", "a": "a"}
    assert match_outputs({"output0": 2, "output1": 3}, {"boxes": 3, "scores": 2}) == {
        "boxes": "output1",
        "scores": "output0",
    }
    assert match_outputs({"output0": 2, "output1": 2}, {"x": 2, "y": 2}) == {"x": "output0", "y": "output1"}
    with pytest.raises(InvalidInputError, match="has 1 outputs \\(a\\), the reference 2 \\(a, b\\)"):
        match_outputs({"a": 2}, {"a": 2, "b": 3})
    with pytest.raises(InvalidInputError, match="output 'a' has 2 values, the reference's 'a' has 3"):
        match_outputs({"a": 2}, {"a": 3})
