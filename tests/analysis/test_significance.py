"""Calibration spends no codes on values that make no difference: below a softmax's largest, below a rectifier's 0."""

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from kpuir.analysis.calibration import calibrate
from kpuir.dialects import kpu, ktensor
from kpuir.errors import InvalidInputError
from kpuir.interpreters.run import run
from tests.passes.graphs import Put, module_of

Body = list[SSAValue]

DEPTH = np.log(8 * 2 * 255)
"""Eight scores this far below the largest get half a 255th of the whole."""


def conv(put: Put, x: SSAValue, weight: np.ndarray, functions: tuple[ktensor.ActivationAttr, ...] = ()) -> SSAValue:
    constants = [put(ktensor.ConstantOp(a.astype(np.float32))) for a in (weight, np.zeros(len(weight)))]
    return put(kpu.Conv2dOp(x, *constants, activation=functions))


def ranges(module: ModuleOp, samples: list[np.ndarray], method: str = "auto") -> list[tuple[float, float]]:
    """Of the convolutions, in order."""
    found = calibrate(module, [[sample.astype(np.float32)] for sample in samples], method)
    return [found.ranges[op.output] for op in module.walk() if isinstance(op, kpu.Conv2dOp)]


def softmax_model(also: bool = False) -> ModuleOp:
    """Scores of one pixel, eight of them, through a softmax; `also`: and as they are."""

    def body(block: Block, put: Put) -> Body:
        scores = conv(put, block.args[0], np.eye(8)[:, :, None, None])
        flat = put(ktensor.ReshapeOp(put(kpu.CropOp(scores, (0, 0, 3, 3))), (1, 8)))
        return [put(ktensor.SoftmaxOp(flat, 1)), *([flat] if also else [])]

    return module_of([(1, 8, 4, 4)], body)


def scores(*numbers: float) -> np.ndarray:
    array = np.zeros((1, 8, 4, 4))
    array[0, : len(numbers), 0, 0] = numbers
    array[0, len(numbers) :, 0, 0] = min(numbers)
    return array


def test_what_is_far_below_the_largest_score_does_not_matter():
    samples = [scores(3.0, -40.0), scores(2.0, 1.0, -90.0)]
    ((low, high),) = ranges(softmax_model(), samples)
    assert low == pytest.approx(2 - DEPTH)  # of the sample whose largest is the least
    assert 3 <= high <= 3 * 1.8
    module = softmax_model()
    for sample in samples:
        clipped = np.maximum(sample, low).astype(np.float32)
        exact, found = (run(module, [array])[0] for array in (sample.astype(np.float32), clipped))
        assert np.abs(exact - found).max() < 0.5 / 255


def test_scores_close_together_all_matter():
    ((low, high),) = ranges(softmax_model(), [scores(3.0, -4.0)])
    assert low == pytest.approx(3 - DEPTH)  # the room for unseen ones ends where they cease to matter
    assert high > 3


@pytest.mark.parametrize("method", ["auto", "minmax"])
def test_scores_that_somebody_else_reads_matter(method: str):
    ((low, _),) = ranges(softmax_model(also=True), [scores(3.0, -40.0)], method)
    assert low <= -40


def test_other_methods_take_all_that_is_seen():
    assert ranges(softmax_model(), [scores(3.0, -40.0)], "minmax") == [(-40.0, 3.0)]


def residual_model(functions: tuple[ktensor.ActivationAttr, ...], sign: float, shared: bool = False) -> ModuleOp:
    """x + sign * 3 x[1, 0], channel by channel, then a function."""

    def body(block: Block, put: Put) -> Body:
        x = block.args[0]
        first = conv(put, x, np.eye(2)[:, :, None, None])
        second = conv(put, x, 3 * np.eye(2)[::-1][:, :, None, None])
        concat = put(kpu.ConcatOp([first, second]))
        start = concat.owner.first_channels[1]  # type: ignore[union-attr]
        weight = np.zeros((2, start + 2, 1, 1))
        weight[[0, 1], [0, 1]] = 1
        weight[[0, 1], [start, start + 1]] = sign
        return [conv(put, concat, weight, functions), *([second] if shared else [])]

    return module_of([(1, 2, 64, 64)], body)


RELU = ktensor.ActivationAttr.of("relu")
RELU6 = ktensor.ActivationAttr.of("relu6")


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("function", [RELU, RELU6])
def test_sums_may_be_as_negative_as_they_like(function: ktensor.ActivationAttr, sign: float):
    rng = np.random.default_rng(0)
    samples = [rng.normal(0, 2, (1, 2, 64, 64)) for _ in range(4)]
    module = residual_model((function,), sign)
    *parts, _ = ranges(module, samples)
    plain = ranges(module, samples, "minmax")[1]
    low, high = parts[1]
    assert high - low < 0.75 * (plain[1] - plain[0])
    # With both terms cut to their ranges next to nothing changes.
    exact, found = [], []
    for sample in samples:
        first, second = sample, 3 * sample[:, ::-1]
        cut = [np.clip(term, *part) for term, part in zip((first, second), parts, strict=True)]
        limit = 6 if function is RELU6 else np.inf
        exact.append(np.clip(first + sign * second, 0, limit))
        found.append(np.clip(cut[0] + sign * cut[1], 0, limit))
    assert np.square(np.subtract(exact, found)).mean() < 2 * ((high - low) / 255) ** 2 / 12


def test_a_term_that_somebody_else_reads_keeps_its_range():
    rng = np.random.default_rng(0)
    samples = [rng.normal(0, 2, (1, 2, 64, 64)) for _ in range(4)]
    alone, shared = (ranges(residual_model((RELU,), 1.0, shared), samples) for shared in (False, True))
    assert alone[1][0] > 0.75 * shared[1][0]
    assert alone[0] == shared[0]


@pytest.mark.parametrize("depthwise", [False, True])
def test_what_a_rectifier_alone_cuts_off_does_not_matter(depthwise: bool):
    """As behind a value that the CPU makes."""

    def body(block: Block, put: Put) -> Body:
        value = conv(put, block.args[0], np.eye(8)[:, :, None, None])
        weight = np.ones((8, 1, 1, 1)) if depthwise else np.eye(8)[:, :, None, None]
        constants = [put(ktensor.ConstantOp(a.astype(np.float32))) for a in (weight, np.zeros(8))]
        relu = (ktensor.ActivationAttr.of("relu"),)
        return [put(kpu.Conv2dOp(value, *constants, depthwise=depthwise, activation=relu))]

    (low, high), _ = ranges(module_of([(1, 8, 4, 4)], body), [scores(3.0, -40.0)])
    assert low > -1
    assert high >= 3


def test_a_layer_without_any_number_is_named():
    def body(block: Block, put: Put) -> Body:
        return [put(ktensor.UnaryOp("log", conv(put, block.args[0], np.eye(8)[:, :, None, None])))]

    with pytest.raises(InvalidInputError, match="no sample gives it a finite value\nhint: look at logarithms"):
        ranges(module_of([(1, 8, 4, 4)], body), [np.full((1, 8, 4, 4), -1.0)])
