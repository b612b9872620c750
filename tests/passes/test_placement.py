"""What stays in KPU RAM: concatenations, views, pads and crops, from float kpu IR to the bytes of both RAMs."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

import kpuir
from kpuir.analysis.overlaps import find_overlaps
from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.interpreters.kbuf import Machine
from kpuir.interpreters.run import run
from kpuir.ir.functions import entry_function
from kpuir.passes.kpu_shift_borders import KpuShiftBordersPass
from kpuir.pipelines import make_context
from tests.passes.graphs import Put, module_of

Rng = np.random.Generator
RELU = ktensor.ActivationAttr.of("relu")


def conv(
    put: Put,
    rng: Rng,
    x: SSAValue,
    outputs: int,
    kernel: int = 1,
    activation: Sequence[ktensor.ActivationAttr] = (),
    scale: float = 1.0,
) -> SSAValue:
    channels = ktensor.shape_of(x)[1]
    weight = rng.normal(0, scale / (kernel * np.sqrt(channels)), (outputs, channels, kernel, kernel))
    arrays = (weight, rng.normal(0, 0.1 * scale, outputs))
    constants = [put(ktensor.ConstantOp(array.astype(np.float32))) for array in arrays]
    return put(kpu.Conv2dOp(x, *constants, activation=activation))


def reader(put: Put, rng: Rng, concat: SSAValue, outputs: int, kernel: int) -> SSAValue:
    """A convolution that weights what fills up lines with 0."""
    owner = concat.owner
    assert isinstance(owner, kpu.ConcatOp)
    used = np.zeros(ktensor.shape_of(concat)[1], bool)
    for first, operand in zip(owner.first_channels, owner.inputs, strict=True):
        used[first : first + ktensor.shape_of(operand)[1]] = True
    weight = (
        rng.normal(0, 1 / (kernel * np.sqrt(used.sum())), (outputs, len(used), kernel, kernel)) * used[:, None, None]
    )
    constants = [put(ktensor.ConstantOp(a.astype(np.float32))) for a in (weight, rng.normal(0, 0.1, outputs))]
    return put(kpu.Conv2dOp(concat, *constants))


def check(module: ModuleOp, rng: Rng, *, transfers: int | None = None) -> None:
    """Compile and compare with the float module: within 1.5 steps on average; and whatever RAM held before."""
    module.verify()
    function = entry_function(module)
    shapes = [ktensor.shape_of(argument) for argument in function.body.block.args]
    samples = [[rng.uniform(-1, 1, shape).astype(np.float32) for shape in shapes] for _ in range(4)]
    named = [{f"input{index}": array for index, array in enumerate(sample)} for sample in samples]
    wanted = [run(module, sample) for sample in samples]
    compiled = kpuir.compile(module.clone(), dataset=named, calibration="minmax", passes="kpu-quantize-all,kbuf-lower")
    assert find_overlaps(compiled.module) == []
    assert not Machine(compiled.module, check=True).warnings
    if transfers is not None:
        assert compiled.report.uploads + compiled.report.downloads == transfers
        assert set(compiled.report.cpu_ops) <= {"quantize", "dequantize"}
    found = [list(compiled.run(sample).values()) for sample in named]
    for index in range(len(wanted[0])):
        ours, theirs = (np.stack([outputs[index] for outputs in run_]) for run_ in (found, wanted))
        step = max(float(theirs.max()), 0) - min(float(theirs.min()), 0)
        assert np.abs(ours - theirs).mean() <= 1.5 * step / 255
    _check_independence(compiled.module, rng)


def _check_independence(module: ModuleOp, rng: Rng) -> None:
    """Nothing depends on bytes nobody wrote: what fills up lines, unused rows, rows of other maps."""
    machines = [Machine(module), Machine(module)]
    memory = machines[1].memory.arrays[kbuf.Space.KPU]
    memory[:] = rng.integers(0, 256, memory.shape)
    shapes = [kbuf.shape_of(op.buffer) for op in module.walk() if isinstance(op, kbuf.InputOp)]
    inputs = [rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    first, second = (machine.run(inputs) for machine in machines)
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("width", [9, 20, 40])
@pytest.mark.parametrize("kernel", [1, 3])
def test_operands_of_a_concat_keep_their_scales(width: int, kernel: int) -> None:
    """Of ranges 100 times apart neither is lost, if the reader's kernel lets it make up for that."""
    rng = np.random.default_rng(width)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = block.args[0]
        parts = [conv(put, rng, x, c, 3, [RELU], scale) for c, scale in ((5, 1.0), (8, 0.01), (3, 0.1))]
        concat = put(kpu.ConcatOp(parts))
        return [reader(put, rng, concat, 6, kernel)]

    check(module_of([(1, 3, 12, width)], body), rng, transfers=1)


def test_concats_of_anything() -> None:
    """Inputs, views, parts used twice, concats of concats, and a concat that is an output as well."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = block.args[0]
        a, b = conv(put, rng, x, 8, 3), conv(put, rng, x, 6, 3, [RELU])
        part = put(kpu.ChannelSliceOp(a, 4, 4))
        first = put(kpu.ConcatOp([x, part, b]))
        second = put(kpu.ConcatOp([first, a, b, b]))
        return [reader(put, rng, second, 5, 3), reader(put, rng, first, 4, 1), put(kpu.ChannelSliceOp(a, 0, 4))]

    check(module_of([(1, 4, 10, 10)], body), rng)


@pytest.mark.parametrize("value", [-1e30, -0.25, 0.5, 1e30])
@pytest.mark.parametrize(("width", "pads"), [(7, (1, 1, 1, 1)), (20, (2, 0, 0, 2)), (50, (0, 2, 1, 0))], ids=str)
def test_pads_of_any_value_are_those_of_the_cpu(value: float, width: int, pads: tuple[int, int, int, int]) -> None:
    """In KPU RAM every byte can stand around a map, byte by byte as the CPU does it."""
    rng = np.random.default_rng(width)

    def body(block: Block, put: Put) -> list[SSAValue]:
        padded = put(kpu.PadOp(conv(put, rng, block.args[0], 11, 3), pads, value))
        one = np.eye(11, dtype=np.float32)[:, :, None, None]
        constants = [put(ktensor.ConstantOp(array)) for array in (one, np.zeros(11, np.float32))]
        return [put(kpu.Conv2dOp(padded, *constants, pool=kpu.PoolKind.MAX_2_S1))]

    module = module_of([(1, 4, 9, width)], body)
    samples = [{"input0": rng.uniform(-1, 1, (1, 4, 9, width)).astype(np.float32)} for _ in range(3)]
    ours, theirs = (
        kpuir.compile(module.clone(), dataset=samples, passes=f"kpu-quantize-all{{moves={moves}}},kbuf-lower")
        for moves in ("kpu", "cpu")
    )
    assert "pad" in theirs.report.cpu_ops
    assert "pad" not in ours.report.cpu_ops
    for sample in samples:
        for mine, other in zip(ours.run(sample).values(), theirs.run(sample).values(), strict=True):
            np.testing.assert_array_equal(mine, other)
    _check_independence(ours.module, rng)


PADS = ((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 2, 0, 0), (2, 1, 1, 2))


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("width", [5, 20, 36, 90])
def test_pads_and_crops_stay_in_kpu_ram(pads: tuple[int, int, int, int], width: int) -> None:
    """Of several groups of channels, of one alone, and as operands of a concat."""
    rng = np.random.default_rng(width)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = block.args[0]
        padded = put(kpu.PadOp(conv(put, rng, x, 11, 3), pads))
        other = put(kpu.PadOp(conv(put, rng, x, 3, 1), pads))
        joined = put(kpu.ConcatOp([padded, other]))
        cropped = put(kpu.CropOp(reader(put, rng, joined, 9, 3), pads))
        few = put(kpu.CropOp(conv(put, rng, padded, 2, 3), pads))
        again = put(kpu.ConcatOp([few, cropped]))
        return [reader(put, rng, again, 4, 1), conv(put, rng, few, 4, 3)]

    check(module_of([(1, 4, 9, width)], body), rng)


def test_rows_become_channels() -> None:
    rng = np.random.default_rng(3)

    def body(block: Block, put: Put) -> list[SSAValue]:
        wide = conv(put, rng, block.args[0], 8, 3)
        return [conv(put, rng, put(kpu.FoldRowsOp(wide, 5)), 7, 3)]

    check(module_of([(1, 4, 25, 5)], body), rng, transfers=1)


@pytest.mark.parametrize("width", [5, 20, 36])
def test_blocks_of_channels_become_images(width: int) -> None:
    """And back: a layer on images writes where a concatenation wants their channels."""
    rng = np.random.default_rng(width)

    def body(block: Block, put: Put) -> list[SSAValue]:
        wide = conv(put, rng, block.args[0], 24, 3)
        blocks = put(kpu.ImagesOp(conv(put, rng, put(kpu.ImagesOp(wide, 3)), 4, 3, [RELU]), 1))
        return [conv(put, rng, put(kpu.ConcatOp([wide, blocks])), 7, 1), blocks]

    check(module_of([(1, 4, 9, width)], body), rng, transfers=2)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_borders_are_shifted_away(data: st.DataObject) -> None:
    """pad(crop(x)) of any amounts, by moves alone."""
    height, width = data.draw(st.integers(4, 9)), data.draw(st.integers(4, 9))
    amounts = st.integers(0, 2)
    crops = [data.draw(amounts) for _ in range(4)]
    pads = [data.draw(amounts) for _ in range(4)]
    rng = np.random.default_rng(1)

    def body(block: Block, put: Put) -> list[SSAValue]:
        kept = [max(size - low - high, 1) for size, low, high in ((height, *crops[::2]), (width, *crops[1::2]))]
        assume(kept == [height - crops[0] - crops[2], width - crops[1] - crops[3]])
        x = conv(put, rng, block.args[0], 3)
        return [put(kpu.PadOp(put(kpu.CropOp(x, crops)), pads))]

    module = module_of([(1, 2, height, width)], body)
    sample = [rng.normal(size=(1, 2, height, width)).astype(np.float32)]
    wanted = run(module, sample)[0]
    KpuShiftBordersPass("shift").apply(make_context(), module)
    module.verify()
    np.testing.assert_array_equal(run(module, sample)[0], wanted)
    assert not any(isinstance(op, kpu.PadOp) and isinstance(op.input.owner, kpu.CropOp) for op in module.walk())


@pytest.mark.parametrize("pixel", [(0, 0), (1, 1), (2, 2), (4, 3), (6, 6)], ids=str)
@pytest.mark.parametrize("channels", [1, 12, 20, 64])
def test_single_pixels_are_packed(channels: int, pixel: tuple[int, int]) -> None:
    """Whichever pixel of a map is wanted, and however many channels: nothing for the CPU to do but to convert."""
    rng = np.random.default_rng(channels)

    def body(block: Block, put: Put) -> list[SSAValue]:
        scores = conv(put, rng, block.args[0], channels, 3)
        return [put(kpu.CropOp(scores, (*pixel, 6 - pixel[0], 6 - pixel[1])))]

    check(module_of([(1, 3, 7, 7)], body), rng, transfers=1)
