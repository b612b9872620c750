"""Records of calibrations: what comes back from their text, what joins, and every way to refuse a file."""

import json
from typing import Any

import numpy as np
import pytest

from kpuir.quantization.calibration_record import CalibrationRecord, Split, TensorRecord
from kpuir.quantization.observers import METHODS, MinMax, make_observer


def observed(method: str, seed: int, *, levels: bool = False) -> TensorRecord:
    array = np.random.default_rng(seed).normal(seed, 2, 1000).astype(np.float32).round(1)
    tensor = TensorRecord(make_observer(method), array.size, -float(seed) - 1.5)
    tensor.observer.update(array)
    tensor.levels = np.unique(array) if levels else None
    return tensor


@pytest.mark.parametrize("method", METHODS)
def test_a_record_comes_back_from_its_text(method: str) -> None:
    record = CalibrationRecord("m", method, 3, {"x": Split(3, (-1.0, 0.1), "why")}, {"conv": [0.1, 1.0]})
    record.tensors = {"x": observed(method, 1, levels=True), 'odd "name"': (0.0, 6.1), "y": observed(method, 2)}
    text = record.to_text()
    again = CalibrationRecord.from_text(text)
    assert again.to_text() == text
    assert (again.splits, again.scales, again.samples) == (record.splits, record.scales, 3)
    assert again.tensors['odd "name"'] == (0.0, 6.1)


def test_records_join() -> None:
    first, second = CalibrationRecord("m", "auto", 3), CalibrationRecord("m", "auto", 4)
    first.tensors = {"a": observed("auto", 1, levels=True), "b": observed("auto", 1), "only": (1.0, 2.0)}
    second.tensors = {"a": observed("auto", 2, levels=True), "b": (0.0, 1.0)}
    ranges = [one.observer.range() for one in (observed("minmax", 1), observed("minmax", 2))]
    first.merge(second)
    joined = first.tensors["a"]
    assert isinstance(joined, TensorRecord)
    assert (first.samples, joined.numbers, joined.least) == (7, 2000, -3.5)
    assert joined.observer.to_json()["histogram"]["range"] == [
        min(lo for lo, _ in ranges),
        max(hi for _, hi in ranges),
    ]
    levels = [one.levels for one in (observed("auto", 1, levels=True), observed("auto", 2, levels=True))]
    both = np.unique(np.concatenate([one for one in levels if one is not None]))
    np.testing.assert_array_equal(joined.levels, both)
    assert first.tensors["b"] == (0.0, 1.0), "what was edited by hand counts"
    assert first.tensors["only"] == (1.0, 2.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "n"}, "the model is 'n', but before it was 'm'"),
        ({"method": "kl"}, "the method is 'kl', but before it was 'auto'"),
        ({"scales": {"c": [0.5]}}, "the scales are not those of before"),
        ({"tensors": {"b": (0.0, 3.0)}}, r"the range of tensor 'b' is \[0.0, 3.0\], but before it was \[0.0, 1.0\]"),
        ({"tensors": {"a": observed("kl", 1)}}, "tensor 'a': cannot merge a kl observer into a auto one"),
    ],
)
def test_records_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    record = CalibrationRecord("m", "auto", 1, None, {"c": [1.0]}, {"a": observed("auto", 1), "b": (0.0, 1.0)})
    with pytest.raises(ValueError, match=message):
        record.merge(CalibrationRecord(**changes))


def minmax(**changes: Any) -> str:
    data = {"numbers": 4, "observer": {"method": "minmax", "range": [0, 1]}, **changes}
    return json.dumps({"tensors": {"a": {name: value for name, value in data.items() if value is not None}}})


def seen(numbers: int, counts: list[int]) -> str:
    """A tensor as in a file: so many numbers, all 1."""
    histogram = {"exponent": 0, "first": 1, "counts": counts, "zeros": 0, "range": [1.0, 1.0]}
    return json.dumps({"numbers": numbers, "observer": {"method": "kl", "histogram": histogram}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tensors": {"a": [0, 1}}', "line 1 column 24"),
        ("[]", 'there is no object with "tensors" in it'),
        ('{"tensors": {}, "tensor": 1}', "unknown key 'tensor'"),
        ('{"tensors": {}, "format": "x"}', "the format is 'x'"),
        ('{"tensors": {}, "method": "x"}', "the method is 'x'"),
        ('{"tensors": {}, "samples": -1}', "samples: -1 is no number of things"),
        ('{"tensors": {"a": [NaN, 1]}}', "NaN is no number"),
        ('{"tensors": {"a": [0, 1e999]}}', "tensor 'a': Infinity is no finite number"),
        ('{"tensors": {"a": [2, 1]}}', r"tensor 'a': the range \[2.0, 1.0\] begins above its end"),
        ('{"tensors": {"a": [2]}}', r"tensor 'a': a range is \[lo, hi\], not \[2\]"),
        ('{"tensors": {"a": ["x", 1]}}', "tensor 'a': \"x\" is no finite number"),
        ('{"tensors": {"a": null}}', "tensor 'a': there is nothing"),
        (minmax(numbers=None), "tensor 'a': there is no 'numbers'"),
        (minmax(observer={"method": "best"}), "tensor 'a': calibration method must be one of"),
        (minmax(observer={"method": "auto"}), "tensor 'a': there is no 'histogram'"),
        (minmax(observer={"method": "minmax", "range": [3, 1]}), "tensor 'a': the observer has seen no finite value"),
        (minmax(levels=["x"]), "tensor 'a': could not convert"),
        ('{"tensors": {"a": [0, 1e300]}}', r"tensor 'a': 1e\+300 is no finite number"),
        (f'{{"tensors": {{"a": {seen(0, [1, 0])}}}}}', "tensor 'a': a range of no numbers"),
        (
            f'{{"tensors": {{"a": {seen(5, [1, 2, 3])}}}}}',
            "tensor 'a': the bins of the histogram do not cover its range",
        ),
        ('{"tensors": {}, "scales": {"c": [0]}}', "scales 'c': factors must be between 0.0625 and 1"),
        ('{"tensors": {}, "scales": 3}', "scales: "),
        ('{"tensors": {}, "splits": {"x": {"parts": 2}}}', "splits 'x': there is no 'range'"),
        ('{"tensors": {}, "splits": {"x": {"parts": 256}}}', "splits 'x': an input is split into 2 to 255 parts"),
    ],
)
def test_files_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CalibrationRecord.from_text(text)


def test_levels_are_given_up_once_there_are_too_many() -> None:
    tensor, other = (TensorRecord(MinMax(), levels=np.arange(n, n + 3000, dtype=np.float32)) for n in (0, 3000))
    tensor.merge(other)
    assert tensor.levels is None
