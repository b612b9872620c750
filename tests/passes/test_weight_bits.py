"""Layers with 16-bit weights: closer to float weights than bytes, and the same at every level."""

from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from kpuir.dialects import kbuf, kpu
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf import Machine
from kpuir.interpreters.run import run
from kpuir.ir.arrays import to_numpy
from kpuir.named_pipelines import PIPELINES
from kpuir.pipelines import make_context, parse_passes, run_passes
from kpuir.target.k210 import K210
from kpuir.translate import write_kmodel
from kpuir.translate.kmodel_v4 import check_loadable
from tests.passes.graphs import Put, module_of
from tests.passes.test_placement import conv, reader
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


@pytest.mark.parametrize("bits", [8, 16])
def test_layers_that_only_move_bytes_have_weights_like_the_others(bits: int) -> None:
    """Borders, copies into concatenations, and copies of maps that had to wait."""

    def body(block: Block, put: Put) -> list[SSAValue]:
        rng = np.random.default_rng(0)
        skip = conv(put, rng, put(kpu.PadOp(conv(put, rng, block.args[0], 2, 3), (1, 1, 1, 1))), 2, 3)
        x = conv(put, rng, conv(put, rng, skip, 12, 3), 12, 3)
        joined = put(kpu.ConcatOp([skip, conv(put, rng, x, 12, 3), put(kpu.ChannelSliceOp(x, 4, 4))]))
        return [reader(put, rng, joined, 2, 3)]

    def compiled(capacity: int) -> ModuleOp:
        module = module_of([(1, 1, 8, 40)], body)
        quantize = f"kpu-assume-ranges,kpu-quantize-all{{from=kpu-derive-ranges weight_bits={bits}}}"
        lower = f"kbuf-lower{{until=convert-kpu-to-kbuf}},kbuf-spill{{capacity={capacity}}},kbuf-allocate"
        run_passes(make_context(), module, parse_passes(f"{quantize},{lower}", lambda: PIPELINES))
        return module

    def layers_of(module: ModuleOp) -> list[kbuf.KpuConv2dOp]:
        return [op for op in module.walk() if isinstance(op, kbuf.KpuConv2dOp)]

    plain = compiled(K210.KPU_RAM_BYTES)
    ours = compiled((2 + 12 + 12 + 12) * 10 * K210.LINE_BYTES)
    assert len(layers_of(ours)) > len(layers_of(plain)) > 6
    assert {to_numpy(op.weights).itemsize for op in layers_of(ours)} == {bits // 8}
    assert check_loadable(ours) == []
    codes = np.random.default_rng(1).integers(0, 256, (1, 1, 8, 40)).astype(np.uint8)
    mine, other = (Machine(one, check=True).run([codes])[0] for one in (ours, plain))
    np.testing.assert_array_equal(mine, other)
