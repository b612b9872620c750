"""Layers with 16-bit weights: closer to float weights than bytes, and the same at every level."""

from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from kpuir.compiler import PIPELINES
from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf import Machine
from kpuir.interpreters.run import run
from kpuir.ir.arrays import to_numpy
from kpuir.pipelines import make_context, parse_passes, run_passes
from kpuir.translate import write_kmodel
from kpuir.translate.kmodel_v4 import check_loadable
from tests.passes.test_round_weights import DATA, error, quantized, smooth


def test_words_are_closer_to_float_weights_than_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples, others = smooth(rng, 12), smooth(rng, 10)
    rounded = quantized(tmp_path, samples, f"kpu-round-weights{{{DATA}}},kpu-select-registers")
    passes = f"kpu-round-weights{{weight_bits=16 {DATA}}},kpu-select-registers{{weight_bits=16}}"
    words = quantized(tmp_path, samples, passes)
    ideal = quantized(tmp_path, samples)
    assert error(words, ideal, others) < 0.5 * error(rounded, ideal, others)


def lowered(module: ModuleOp) -> ModuleOp:
    result = module.clone()
    run_passes(make_context(), result, parse_passes("kbuf-lower", lambda: PIPELINES))
    return result


def test_words_go_all_the_way_down(tmp_path: Path) -> None:
    samples = smooth(np.random.default_rng(1), 3)
    module = quantized(tmp_path, samples, "kpu-select-registers{weight_bits=16},dce")
    low = lowered(module)
    layers = [op for op in low.walk() if isinstance(op, kbuf.KpuConv2dOp)]
    assert {to_numpy(op.weights).dtype.name for op in layers} == {"uint16"}
    assert check_loadable(low) == []
    codes = np.random.default_rng(2).integers(0, 256, (1, 3, 16, 16)).astype(np.uint8)
    machine = Machine(low, check=True)
    np.testing.assert_array_equal(machine.run([codes])[0].ravel(), run(module, [codes])[0].ravel())
    assert machine.warnings == ()
    with pytest.raises(InvalidInputError, match="16-bit weights, runtimes of kmodel v4 take 8 bits"):
        write_kmodel(low)
