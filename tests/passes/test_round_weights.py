"""`kpu-round-weights` brings layers closer to what their weights would compute, with weights they hold exactly."""

from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from kpuir.dialects import kpu, ktensor
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.run import run
from kpuir.ir.arrays import to_numpy
from kpuir.ir.functions import entry_function
from kpuir.named_pipelines import PIPELINES
from kpuir.passes import kpu_round_weights
from kpuir.pipelines import make_context, parse_passes, run_passes
from kpuir.quantization.parameters import QuantizationParameters
from tests.passes.test_equalize import chain

DATA = 'dataset="DATA"'
QUANTIZE = f"kpu-equalize{{{DATA}}},dce,kpu-calibrate{{{DATA}}},kpu-quantize,canonicalize,kpu-place,dce"


def smooth(rng: np.random.Generator, count: int) -> np.ndarray:
    """Images whose neighbouring pixels are alike, 0 to 1, [count, 3, 16, 16]."""
    coarse = rng.random((count, 3, 4, 4))
    return np.kron(coarse, np.ones((1, 1, 4, 4))) * 0.9 + 0.1 * rng.random((count, 3, 16, 16))


def quantized(folder: Path, samples: np.ndarray, passes: str = "") -> ModuleOp:
    np.save(folder / "samples.npy", samples.astype(np.float32))
    module = import_onnx(chain().SerializeToString())
    text = f"ktensor-simplify,kpu-legalize,{QUANTIZE},{passes}".strip(",")
    text = text.replace("DATA", f"{folder}/samples.npy")
    run_passes(make_context(), module, parse_passes(text, lambda: PIPELINES))
    return module


def error(module: ModuleOp, ideal: ModuleOp, samples: np.ndarray) -> float:
    """The mean square of what a module computes otherwise than one with weights that are not rounded."""
    argument = entry_function(module).body.block.args[0]
    kind = ktensor.element_of(argument)
    assert isinstance(kind, ktensor.QuantizedType)
    parameters = QuantizationParameters(kind.scale_value, kind.zero_point_value)
    codes = [parameters.quantize(sample[None].astype(np.float32)) for sample in samples]
    return float(np.mean([np.square(run(module, [code])[0] - run(ideal, [code])[0]).mean() for code in codes]))


@pytest.mark.parametrize(("together", "effort"), [(576, "normal"), (20, "normal"), (576, "high")])
def test_the_result_is_closer_to_that_of_exact_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int, effort: str
) -> None:
    monkeypatch.setattr(kpu_round_weights, "_MOST_TOGETHER", together)
    errors: list[tuple[float, float]] = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        samples, others = smooth(rng, 12), smooth(rng, 10)
        nearest = quantized(tmp_path, samples, "kpu-select-registers")
        rounded = quantized(tmp_path, samples, f"kpu-round-weights{{effort={effort} {DATA}}},kpu-select-registers")
        ideal = quantized(tmp_path, samples)
        errors.append((error(rounded, ideal, others), error(nearest, ideal, others)))
    of_rounded, of_nearest = np.mean(errors, axis=0)
    assert of_rounded < 0.75 * of_nearest


def test_the_codes_are_the_weights(tmp_path: Path) -> None:
    module = quantized(tmp_path, smooth(np.random.default_rng(1), 3), f"kpu-round-weights{{{DATA}}}")
    rounded = [op for op in module.walk() if isinstance(op, kpu.Conv2dOp) and kpu.WEIGHT_SCALE in op.attributes]
    assert len(rounded) == 5
    for conv in rounded:
        weight = ktensor.constant_of(conv.weight)
        assert weight is not None
        codes = weight / to_numpy(conv.attributes[kpu.WEIGHT_SCALE])[:, None, None, None]
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
        assert -128 <= np.rint(codes).min() <= np.rint(codes).max() <= 127
