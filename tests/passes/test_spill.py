"""Maps that wait outside of KPU RAM, or as parts: the same bytes come out, and fewer are needed at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

import kpuir
from kpuir.analysis.coverage import Place
from kpuir.analysis.overlaps import find_overlaps
from kpuir.compiler import CompiledModel
from kpuir.dialects import kbuf, kpu
from kpuir.dialects.ktensor import shape_of
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.kbuf import Machine
from kpuir.target import k210
from tests.networks import Net
from tests.passes.graphs import Put, module_of, samples_of
from tests.passes.test_placement import conv, reader
from tests.zoo.builder import smooth
from tests.zoo.models import unet

Samples = Sequence[dict[str, np.ndarray]]


def compiled(module: ModuleOp, samples: Samples, capacity: int | None = None) -> CompiledModel:
    spill = "kbuf-spill" if capacity is None else f"kbuf-spill{{capacity={capacity}}}"
    passes = f"kpu-quantize-all,kbuf-lower{{until=convert-kpu-to-kbuf}},{spill},kbuf-allocate"
    return kpuir.compile(module.clone(), dataset=samples, passes=passes)


def samples_for(module: ModuleOp, rng: np.random.Generator) -> Samples:
    return [{f"input{index}": array for index, array in enumerate(samples_of(module, rng))} for _ in range(2)]


def check_same(ours: CompiledModel, theirs: CompiledModel, samples: Samples) -> None:
    """Both give the same bytes, and no buffer of ours is in another's way."""
    ours.module.verify()
    assert find_overlaps(ours.module) == []
    assert not Machine(ours.module, check=True).warnings
    for sample in samples:
        for mine, other in zip(ours.run(sample).values(), theirs.run(sample).values(), strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("size", [(9, 5), (10, 20), (8, 40), (6, 64), (7, 100)], ids=str)
def test_a_waiting_map_gives_up_its_bytes(size: tuple[int, int]) -> None:
    """Widths with and without filler behind the columns, in lines of several channels and in several lines."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        skip = x = conv(put, rng, block.args[0], 12, 3)
        for channels in (4, 16, 16, 4):
            x = conv(put, rng, x, channels, 3)
        return [reader(put, rng, put(kpu.ConcatOp([conv(put, rng, skip, 4, 3), x])), 4, 3)]

    module = module_of([(1, 4, *size)], body)
    samples = samples_for(module, rng)
    plain, capacity = compiled(module, samples), k210.feature_map_bytes(1, 16 + 16, *size)
    assert plain.report.kpu_ram_peak == k210.feature_map_bytes(1, 12 + 16 + 16, *size)
    ours = compiled(module, samples, capacity)
    assert ours.report.kpu_ram_peak == capacity
    assert ours.report.uploads == plain.report.uploads + 1
    assert ours.report.downloads == plain.report.downloads + 1
    check_same(ours, plain, samples)


def test_a_part_of_a_concat_waits_by_itself() -> None:
    """The others' bytes are free meanwhile, and a layer puts it into its place: nothing goes through main RAM."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        skip = conv(put, rng, block.args[0], 2, 3)
        x = conv(put, rng, conv(put, rng, skip, 12, 3), 12, 3)
        return [reader(put, rng, put(kpu.ConcatOp([skip, conv(put, rng, x, 12, 3)])), 2, 3)]

    module = module_of([(1, 1, 8, 40)], body)
    samples = samples_for(module, rng)
    plain = compiled(module, samples)
    channel = 8 * 64
    assert plain.report.kpu_ram_peak == (2 + 12 + 12 + 12) * channel
    ours = compiled(module, samples, (2 + 12 + 2 + 12) * channel)
    assert ours.report.kpu_ram_peak == (2 + 12 + 2 + 12) * channel
    assert ours.report.kpu_layers == plain.report.kpu_layers + 1
    assert (ours.report.uploads, ours.report.downloads) == (plain.report.uploads, plain.report.downloads)
    check_same(ours, plain, samples)


def test_an_input_that_waits_comes_in_main_ram() -> None:
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = conv(put, rng, block.args[0], 6, 3)
        for _ in range(3):
            x = conv(put, rng, x, 6, 3)
        return [reader(put, rng, put(kpu.ConcatOp([conv(put, rng, x, 1), conv(put, rng, block.args[0], 1)])), 2, 1)]

    module = module_of([(1, 6, 8, 40)], body)
    samples = samples_for(module, rng)
    plain = compiled(module, samples)
    ours = compiled(module, samples, 13 * 8 * 64)
    assert ours.report.kpu_ram_peak <= 13 * 8 * 64
    assert ours.report.uploads == 2
    assert [kbuf.space_of(op.buffer) for op in ours.module.walk() if isinstance(op, kbuf.InputOp)] == [kbuf.Space.MAIN]
    check_same(ours, plain, samples)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_graph_gives_the_same_bytes(data: st.DataObject) -> None:
    """Concats of concats, views, pads, maps read many times, in ever less KPU RAM."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    width, steps = data.draw(st.sampled_from([5, 20, 40, 64, 70])), data.draw(st.integers(4, 12))

    def body(block: Block, put: Put) -> list[SSAValue]:
        values: list[SSAValue] = [block.args[0], conv(put, rng, block.args[0], 4, 3)]
        for _ in range(steps):
            kind = data.draw(st.sampled_from(["conv", "conv", "concat", "concat", "slice", "pad"]))
            some = [values[index] for index in rng.integers(0, len(values), 3)]
            if kind == "conv":
                x = conv(put, rng, values[-1 if rng.random() < 0.7 else 0], int(rng.integers(1, 9)), 3)
            elif kind == "concat":
                x = reader(put, rng, put(kpu.ConcatOp([values[-1], *some])), int(rng.integers(1, 6)), 1)
            elif kind == "slice" and shape_of(some[0])[1] > 4:
                x = conv(put, rng, put(kpu.ChannelSliceOp(some[0], 4, shape_of(some[0])[1] - 4)), 4, 3)
            else:
                padded = put(kpu.PadOp(some[0], (1, 0, 0, 0)))
                x = conv(put, rng, put(kpu.CropOp(padded, (1, 0, 0, 0))), 4, 3)
            values.append(x)
        return values[-2:]

    module = module_of([(1, 4, 6, width)], body)
    samples = samples_for(module, rng)
    plain = compiled(module, samples)
    for share in (0.8, 0.6, 0.4):
        check_same(compiled(module, samples, int(plain.report.kpu_ram_peak * share)), plain, samples)


def compiled_onnx(model: Any, size: int) -> CompiledModel:
    samples = [{"image": smooth((1, 3, size, size), 0)}]
    return kpuir.compile(import_onnx(model.SerializeToString()), dataset=samples)


def test_a_u_net_whose_skips_exceed_kpu_ram() -> None:
    found = compiled_onnx(unet(size=160, width=16), 160)
    assert find_overlaps(found.module) == []
    assert not Machine(found.module, check=True).warnings
    assert set(found.report.cpu_ops) == {"dequantize", "transpose"}
    waits = [one for one in found.coverage if one.reason.startswith("KPU RAM is full")]
    assert [one.operation for one in waits] == ["kbuf.kpu_download", "kbuf.kpu_upload"]
    assert all("2129920" in one.reason and "2097152" in one.reason for one in waits)
    assert {one.place for one in waits} == {Place.TRANSFER}


def test_residual_sums_of_wide_maps() -> None:
    """The sum of two maps of 480 KiB each, one of which waits for three layers of as much."""
    net = Net(0, image=(1, 3, 160, 160))
    kept = [net.op("Relu", net.conv("image", 3, 16))]
    for _ in range(2):
        kept.append(net.op("Relu", net.conv(kept[-1], 16, 16)))
    x = net.conv(kept[-1], 16, 16)
    for other in reversed(kept):
        x = net.op("Relu", net.op("Add", x, other))
    found = compiled_onnx(net.model(net.op("GlobalAveragePool", x)), 160)
    assert find_overlaps(found.module) == []
    assert found.report.kpu_ram_peak <= 2 * 1024 * 1024
