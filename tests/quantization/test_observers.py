import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpuir.quantization.observers import METHODS, Histogram, MeanSquaredError, make_observer, observer_from_json
from kpuir.quantization.parameters import QuantizationParameters

rng = np.random.default_rng(3)
BATCHES = [rng.standard_t(4, 20000).astype(np.float32) * s for s in (1.0, 0.1, 3.0)]


def squared_error(values: np.ndarray, bounds: tuple[float, float]) -> float:
    q = QuantizationParameters.from_range(*bounds)
    return float(((q.dequantize(q.quantize(values)) - values) ** 2).mean())


@pytest.mark.parametrize("method", METHODS)
def test_json_and_merge_lose_nothing(method: str):
    whole, first, second = make_observer(method), make_observer(method), make_observer(method)
    for i, batch in enumerate(BATCHES):
        whole.update(batch)
        (first if i < 2 else second).update(batch)
    restored = observer_from_json(json.loads(json.dumps(first.to_json())))
    restored.merge(second)
    np.testing.assert_allclose(restored.range(), whole.range(), rtol=1e-6)
    lo, hi = whole.range()
    values = np.concatenate(BATCHES)
    assert values.min() <= lo < 0 < hi <= values.max()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_seen_and_only_zeros(method: str):
    observer = make_observer(method)
    observer.update(np.zeros(0))
    observer.update(np.array([np.nan, np.inf]))
    with pytest.raises(ValueError, match="no finite value"):
        observer.range()
    assert observer_from_json(observer.to_json()).to_json() == observer.to_json()
    observer.update(np.zeros((2, 3)))
    assert observer.range() == (0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_constant_and_non_finite_values(method: str):
    observer = make_observer(method)
    observer.update(np.array([2.5, np.nan, 2.5, -np.inf]))
    lo, hi = observer.range()
    assert lo <= 2.5 <= hi * 1.001
    assert hi <= 2.5


def test_unknown_and_mixed_methods_are_rejected():
    with pytest.raises(ValueError, match="must be one of auto, minmax, percentile, mse, kl, got 'best'"):
        make_observer("best")
    with pytest.raises(ValueError, match="got 'x'"):
        observer_from_json({"method": "x"})
    with pytest.raises(TypeError, match="cannot merge a kl observer into a mse one"):
        make_observer("mse").merge(make_observer("kl"))
    with pytest.raises(TypeError, match="cannot merge a mse observer into a minmax one"):
        make_observer("minmax").merge(make_observer("mse"))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=5))
@settings(max_examples=40)
def test_histogram_counts_every_value_in_its_bin(parts: list[tuple[float, float]]):
    generator = np.random.default_rng(0)
    values = [(generator.standard_normal(500) * scale + centre).astype(np.float32) for centre, scale in parts]
    histogram = Histogram()
    for part in values:
        histogram.update(part)
    everything = np.sort(np.concatenate(values).astype(np.float64))
    edges = np.ldexp(histogram.first + np.arange(1.0, len(histogram.counts) + 1), histogram.exponent)
    assert len(histogram.counts) <= 4096
    assert histogram.counts.sum() == len(everything)
    assert histogram.zeros == 0
    # float32 arithmetic may move a value that is almost on an edge across it
    slack = np.ldexp(0.002, histogram.exponent)
    below = np.cumsum(histogram.counts)
    assert (below >= np.searchsorted(everything, edges - slack)).all()
    assert (below <= np.searchsorted(everything, edges + slack)).all()
    assert (histogram.lo, histogram.hi) == (everything.min(), everything.max())


def test_large_arrays_are_sampled_but_weigh_as_much():
    histogram, large = Histogram(), np.maximum(rng.standard_normal(1_000_000), 0)
    histogram.update(large)
    assert histogram.counts.sum() + histogram.zeros == pytest.approx(1_000_000, rel=1e-3)
    assert histogram.zeros == pytest.approx(500_000, rel=0.02)
    assert histogram.hi == large.max()


@pytest.mark.parametrize("values", [*BATCHES, np.maximum(np.concatenate(BATCHES), 0), BATCHES[2] + 4])
def test_mean_squared_error_is_near_the_best_of_a_search(values: np.ndarray):
    observer = MeanSquaredError()
    observer.update(values)
    found = squared_error(values, observer.range())
    lo, hi = min(values.min(), 0), max(values.max(), 0)
    best = min(
        squared_error(values, (lo * a, hi * b)) for a in np.linspace(0.3, 1, 15) for b in np.linspace(0.3, 1, 15)
    )
    assert found <= best * 1.02


def test_auto_clips_only_where_it_pays():
    even, outlier = make_observer("auto"), make_observer("auto")
    values = rng.uniform(-1, 2, 50000)
    even.update(values)
    assert even.range() == (values.min(), values.max())
    values = np.append(np.tile(values, 20), 8.0)
    outlier.update(values)
    assert outlier.range()[1] == pytest.approx(2.4, rel=0.1)  # never less than 0.3 of what was seen


def test_percentile_cuts_its_share():
    observer = make_observer("percentile")
    values = np.random.default_rng(0).standard_normal(100_000)
    for part in np.split(values, 4):  # arrays this small are counted whole
        observer.update(part)
    lo, hi = observer.range()
    ordered, bin_width = np.sort(values), 2.0**-8
    assert ordered[9] - bin_width <= lo <= ordered[10] + bin_width  # ten are cut at either end, or one less
    assert ordered[-11] - bin_width <= hi <= ordered[-10] + bin_width


def test_divergence_cuts_far_outliers():
    observer = make_observer("kl")
    observer.update(np.append(rng.standard_normal(100_000), 12.0))
    lo, hi = observer.range()
    assert -5 < lo < -2.5
    assert 3 < hi < 8
