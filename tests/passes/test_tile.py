"""Layers in bands of rows: the same bytes come out of less KPU RAM."""

from collections.abc import Sequence

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

import kpuir
from kpuir import pipelines
from kpuir.analysis.overlaps import find_overlaps
from kpuir.comparison import cosine
from kpuir.compiler import CompiledModel
from kpuir.dialects import kpu
from kpuir.dialects.ktensor import shape_of
from kpuir.errors import DoesNotFitError
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.kbuf import Machine
from kpuir.interpreters.run import run
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.kpu_tile import KpuTilePass
from kpuir.target.k210 import K210, feature_map_bytes
from tests.importers.nets import runtime
from tests.networks import Net
from tests.passes.graphs import Put, module_of, samples_of, vector, weight
from tests.passes.test_placement import reader
from tests.zoo.builder import smooth

Rng = np.random.Generator
Samples = Sequence[dict[str, np.ndarray]]
Pool = kpu.PoolKind

POOLS = tuple(pool for pool in Pool if pool is not Pool.BYPASS)


def conv(
    put: Put, rng: Rng, x: SSAValue, outputs: int, kernel: int = 3, pool: Pool = Pool.BYPASS, depthwise: bool = False
) -> SSAValue:
    per_output = 1 if depthwise else shape_of(x)[1]
    kernels = weight(put, rng, outputs, per_output, kernel, kernel)
    return put(kpu.Conv2dOp(x, kernels, vector(put, rng, outputs), depthwise=depthwise, pool=pool))


def compiled(module: ModuleOp, samples: Samples, ram: int | None = None) -> CompiledModel:
    """Compiled with so little KPU RAM, or with what there is."""
    tile, spill = ("", "kbuf-spill") if ram is None else (f"kpu-tile{{ram={ram}}},", f"kbuf-spill{{capacity={ram}}}")
    passes = f"kpu-quantize-all{{until=kpu-select-registers}},dce,{tile}dce,kbuf-lower{{until=convert-kpu-to-kbuf}},"
    return kpuir.compile(module.clone(), dataset=samples, passes=f"{passes}{spill},kbuf-allocate")


def samples_for(module: ModuleOp, rng: Rng) -> Samples:
    return [{f"input{index}": array for index, array in enumerate(samples_of(module, rng))} for _ in range(2)]


def check(module: ModuleOp, rng: Rng, *rams: int) -> list[CompiledModel]:
    """What comes out in so many bytes is what comes out in 2 MiB."""
    module.verify()
    samples = samples_for(module, rng)
    plain, found = compiled(module, samples), []
    for ram in rams:
        ours = compiled(module, samples, ram)
        ours.module.verify()
        assert find_overlaps(ours.module) == []
        assert not Machine(ours.module, check=True).warnings
        assert ours.report.kpu_ram_peak <= ram
        for sample in samples:
            for mine, other in zip(ours.run(sample).values(), plain.run(sample).values(), strict=True):
                np.testing.assert_array_equal(mine, other)
        found.append(ours)
    return found


def random_net(rng: Rng, shape: Sequence[int], steps: int) -> ModuleOp:
    """Layers of all kinds, sums, concatenations, and results on the way."""

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = conv(put, rng, block.args[0], int(rng.integers(3, 12)))
        values, results = [x], list[SSAValue]()
        for _ in range(steps):
            kind, (_, channels, height, width) = (
                rng.choice(["conv", "conv", "pool", "dw", "join", "pad", "out"]),
                shape_of(x),
            )
            same = [value for value in values if shape_of(value)[2:] == (height, width)]
            other = same[int(rng.integers(len(same)))]
            pool = POOLS[int(rng.integers(len(POOLS)))]
            outputs = int(rng.integers(3, 16))
            if kind == "dw":
                x = conv(put, rng, x, channels, 3, depthwise=True)
            elif kind == "join":
                x = reader(put, rng, put(kpu.ConcatOp([x, other])), outputs, int(rng.choice([1, 3])))
            elif kind == "pad" and width > 8:
                x = put(kpu.CropOp(x, (0, 0, 0, 1)) if rng.random() < 0.5 else kpu.PadOp(x, (0, 1, 0, 0)))
                x = conv(put, rng, x, outputs)
            elif kind == "pool" and height // pool.stride >= 6 and width // pool.stride >= 4:
                x = conv(put, rng, x, outputs, int(rng.choice([1, 3])), pool)
            else:
                x = conv(put, rng, x, outputs, int(rng.choice([1, 3, 3])))
            values.append(x)
            if kind == "out":
                results.append(x)
        return list(dict.fromkeys([*results, x]))

    return module_of([shape], body)


def most_bytes(module: ModuleOp) -> int:
    """What the largest layer reads and writes."""
    return max(
        sum(feature_map_bytes(*kpu.size4(value.type)) for value in (op.input, op.output))
        for op in module.walk()
        if isinstance(op, kpu.Conv2dOp)
    )


@pytest.mark.parametrize("seed", range(6))
def test_any_net_gives_the_same_bytes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.choice([10, 16, 20, 33, 64, 70]))
    module = random_net(rng, (1, int(rng.choice([1, 3, 4])), int(rng.integers(24, 60)), width), int(rng.integers(2, 9)))
    most = most_bytes(module)
    check(module, rng, *(int(most * share) for share in (0.9, 0.6)))


def test_maps_between_layers_never_exist_whole() -> None:
    """Of 20 channels in the middle only bands; input and result stay in KPU RAM, and layers move their rows."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = conv(put, rng, block.args[0], 4, 3, Pool.MAX_2_S2)
        x = conv(put, rng, conv(put, rng, x, 20), 20)
        return [conv(put, rng, conv(put, rng, x, 4, 3, Pool.MAX_2_S2), 4)]

    module = module_of([(1, 3, 160, 320)], body)
    (ours,) = check(module, rng, 40 * 80 * 3 * 64 // 2)
    assert set(ours.report.cpu_ops) <= {"quantize", "dequantize"}
    assert (ours.report.uploads, ours.report.downloads) == (0, 1)


def test_layers_that_read_slices_of_what_does_not_fit() -> None:
    """A slice is small, the map it is of is there meanwhile: bands of it are cut out once for all who read slices."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = conv(put, rng, block.args[0], 16)
        slices = [put(kpu.ChannelSliceOp(x, begin, 4)) for begin in (0, 4, 8, 12)]
        parts = [conv(put, rng, each, 4, 1, Pool.MAX_2_S2) for each in slices]
        return [x, conv(put, rng, put(kpu.ConcatOp(parts)), 4)]

    module = module_of([(1, 3, 40, 64)], body)
    (ours,) = check(module, rng, 16 * 36 * 64)
    assert ours.report.uploads == 2


def test_no_band_of_a_layer_fits() -> None:
    rng = np.random.default_rng(0)
    module = module_of([(1, 4, 16, 64)], lambda block, put: [conv(put, rng, block.args[0], 60, 1)])
    samples = samples_for(module, rng)
    check(module, rng, 64 * 4 * 64)
    with pytest.raises(DoesNotFitError, match=r"op2: input \(4096 bytes\) and output \(61440\).*has 16383"):
        compiled(module, samples, 64 * 4 * 64 - 1)


def test_tall_maps_are_done_in_bands() -> None:
    """On integers, against the layers on whole maps."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = conv(put, rng, conv(put, rng, block.args[0], 5), 6, 3, Pool.MAX_2_S2)
        y = conv(put, rng, x, 6, 3, depthwise=True)
        return [x, conv(put, rng, put(kpu.ConcatOp([conv(put, rng, y, 4), x])), 3, 3, Pool.LEFT_TOP_2_S2)]

    module = module_of([(1, 3, 601, 40)], body)
    for name in ("kpu-assume-ranges", "kpu-quantize-all{from=kpu-derive-ranges until=kpu-select-registers}", "dce"):
        for one in pipelines.parse_passes(name, lambda: PIPELINES):
            one.apply(pipelines.make_context(), module)
    (sample,) = samples_of(module, rng)
    wanted = run(module, [sample])
    KpuTilePass().apply(pipelines.make_context(), module)
    module.verify()
    layers = [op for op in module.walk() if isinstance(op, kpu.LayerOp)]
    assert max(kpu.size4(op.input.type)[2] for op in layers) <= K210.MAX_HEIGHT
    for ours, theirs in zip(run(module, [sample]), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(1, 3, 18, 518), (1, 3, 303, 40)], ids=str)
def test_maps_that_are_too_large_for_the_engine(shape: tuple[int, ...]) -> None:
    """A strided stem of a wide map, and of a tall one, with what follows; against the source model."""
    net = Net(0, image=shape)
    x = net.op("Relu", net.conv("image", 3, 8, stride=2))
    x = net.op("Relu", net.conv(x, 8, 12, stride=1))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    model = net.model(net.conv(x, 12, 4))
    sample = {"image": smooth(shape, 0)}
    found = kpuir.compile(import_onnx(model.SerializeToString()), dataset=[sample])
    assert "conv2d" not in found.report.cpu_ops
    assert not Machine(found.module, check=True).warnings
    (ours,), (theirs,) = found.run(sample).values(), runtime(model, sample)
    assert cosine(ours, theirs) >= 0.98
