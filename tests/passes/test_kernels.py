"""Convolutions and products of every shape on the KPU: large and dilated kernels, splits; against ONNX Runtime."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

import kpuir
from kpuir import pipelines
from kpuir.analysis.overlaps import find_overlaps
from kpuir.dialects import kpu, ktensor
from kpuir.interpreters.run import run
from kpuir.named_pipelines import PIPELINES
from tests.interpreters.test_ktensor import onnx_result
from tests.passes.graphs import Put, module_of

CONTEXT = pipelines.make_context()
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Pair = tuple[int, int]


def legalized(module: ModuleOp, kernels: str = "") -> ModuleOp:
    """The module at the float kpu level, with options for kpu-legalize-kernels."""
    passes = [f"kpu-legalize-kernels{kernels}" if p == "kpu-legalize-kernels" else p for p in PIPELINES["kpu-legalize"]]
    for one in pipelines.parse_passes(",".join(passes), lambda: PIPELINES):
        one.apply(CONTEXT, module)
    module.verify()
    return module


def operations(module: ModuleOp, *kinds: type) -> list[object]:
    return [op for op in module.walk() if isinstance(op, kinds)]


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * float(np.abs(wanted).max()))


class Case:
    """A convolution: its arrays, its module, and what ONNX Runtime computes."""

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        kernel: Pair,
        pads: Sequence[int],
        strides: Pair = (1, 1),
        dilations: Pair = (1, 1),
        groups: int = 1,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        spread = 1 / np.sqrt(np.prod(kernel) * shape[1] / groups)
        self.image = rng.uniform(-1, 1, shape).astype(np.float32)
        self.weight = rng.normal(0, spread, (outputs, shape[1] // groups, *kernel)).astype(np.float32)
        self.bias = rng.uniform(-0.5, 0.5, outputs).astype(np.float32)
        self.settings: dict[str, Any] = {"strides": strides, "pads": tuple(pads), "dilations": dilations}
        self.groups = groups

    def module(self) -> ModuleOp:
        def body(block: Block, put: Put) -> list[SSAValue]:
            constants = [put(ktensor.ConstantOp(array)) for array in (self.weight, self.bias)]
            conv = put(ktensor.Conv2dOp(block.args[0], *constants, groups=self.groups, **self.settings))
            return [put(ktensor.ActivationOp(conv, ktensor.ActivationAttr.of("relu")))]

        return module_of([self.image.shape], body)

    def wanted(self) -> np.ndarray:
        arrays = (self.image, self.weight, self.bias)
        return np.maximum(onnx_result("Conv", *arrays, group=self.groups, **self.settings), 0)

    def check(self, kernels: str = "") -> ModuleOp:
        """All of it becomes layers, with the activation in them, and computes the same."""
        module = legalized(self.module(), kernels)
        close(run(module, [self.image])[0], self.wanted())
        assert not operations(module, ktensor.Conv2dOp, ktensor.ActivationOp)
        return module


KERNELS = st.sampled_from([(5, 5), (7, 7), (1, 5), (7, 1), (2, 5), (4, 4), (6, 3), (10, 4), (3, 9)])
OPTIONS = st.sampled_from(
    [
        *("", "{depthwise=sum}", "{depthwise=dense}", "{depthwise=images}"),
        *("{dilation=space-to-batch}", "{dilation=copies}"),
    ]
)


@FEW
@given(
    kernel=KERNELS,
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    strides=st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 1), (3, 3)]),
    form=st.sampled_from([(1, 1, 8), (1, 3, 5), (1, 20, 6), (6, 6, 6), (40, 40, 40)]),
    size=st.tuples(st.integers(1, 20), st.sampled_from([1, 3, 7, 16, 17, 20, 31])),
    options=OPTIONS,
)
def test_large_kernels(
    kernel: Pair, pads: tuple[int, ...], strides: Pair, form: tuple[int, int, int], size: Pair, options: str
) -> None:
    """Any padding and stride, sizes below 4, lines of 1, 2 and 4 channels."""
    groups, inputs, outputs = form
    size = max(size[0], kernel[0]), max(size[1], kernel[1])
    Case((1, inputs, *size), outputs, kernel, pads, strides, groups=groups).check(options)


@FEW
@given(
    kernel=st.sampled_from([(3, 3), (1, 3), (3, 1), (2, 2), (1, 2), (5, 5), (1, 7)]),
    dilations=st.sampled_from([(2, 2), (1, 2), (3, 1), (1, 4), (2, 4), (1, 8)]),
    pads=st.tuples(*[st.integers(0, 5)] * 4),
    strides=st.sampled_from([(1, 1), (1, 1), (2, 2)]),
    form=st.sampled_from([(1, 1, 4), (1, 8, 5), (8, 8, 8), (36, 36, 36)]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 24)),
    options=OPTIONS,
)
def test_dilated_kernels(
    kernel: Pair,
    dilations: Pair,
    pads: tuple[int, ...],
    strides: Pair,
    form: tuple[int, int, int],
    size: Pair,
    options: str,
) -> None:
    """As copies or as images of the phases."""
    groups, inputs, outputs = form
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = max(size[0], extent[0]), max(size[1], extent[1])
    Case((1, inputs, *size), outputs, kernel, pads, strides, dilations, groups).check(options)


@pytest.mark.parametrize(
    ("channels", "size", "strides"),
    [
        (72, (5, 5), (1, 1)),
        (48, (20, 20), (1, 1)),
        (24, (40, 36), (2, 2)),
        (240, (20, 20), (1, 1)),
        (24, (9, 7), (2, 2)),
    ],
    ids=str,
)
def test_blocks_of_channels_are_images(channels: int, size: Pair, strides: Pair) -> None:
    """One weight copies and one adds all blocks, some blocks after another where KPU RAM does not hold all copies."""
    module = Case((1, channels, *size), channels, (5, 5), (2, 2, 2, 2), strides, groups=channels).check(
        "{depthwise=images}"
    )
    images = [op for op in module.walk() if isinstance(op, kpu.Conv2dOp) and ktensor.shape_of(op.output)[0] > 1]
    assert len(images) == (6 if channels == 240 else 2)


def test_a_byte_of_weights_counts_where_time_does_not() -> None:
    """672 channels: all forms take about as long; images need nine copies of nine weights each and little more."""
    module = Case((1, 672, 10, 10), 672, (5, 5), (2, 2, 2, 2), groups=672).check()
    weights = [ktensor.shape_of(op.weight) for op in module.walk() if isinstance(op, kpu.Conv2dOp)]
    assert sum(map(prod, weights)) < 5 * 672 * 25


@pytest.mark.parametrize("form", ["images", "sum", "dense"])
@pytest.mark.parametrize("size", [(5, 5), (12, 20), (9, 36)], ids=str)
def test_depthwise_forms_in_bytes(form: str, size: Pair) -> None:
    """Off by one and a half steps of the result at most, on average."""
    case = Case((1, 24, *size), 24, (5, 5), (2, 2, 2, 2), groups=24)
    passes = f"kpu-legalize-kernels{{depthwise={form}}},kpu-legalize,kpu-quantize-all,kbuf-lower"
    rng = np.random.default_rng(1)
    samples = [case.image, *(rng.uniform(-1, 1, case.image.shape).astype(np.float32) for _ in range(3))]
    compiled = kpuir.compile(case.module(), dataset=[{"input0": sample} for sample in samples], passes=passes)
    assert find_overlaps(compiled.module) == []
    (found,) = compiled.run({"input0": case.image}).values()
    wanted = case.wanted()
    assert np.abs(found - wanted).mean() <= 1.5 * float(np.ptp(wanted)) / 255


def test_taps_without_weights_need_no_copies() -> None:
    case = Case((1, 4, 12, 12), 4, (5, 5), (2, 2, 2, 2))
    case.weight[:, :, :, (0, 4)] = 0
    case.weight[:, :, (0, 4), :] = 0
    module = case.check()
    assert len(operations(module, kpu.Conv2dOp)) == 1


def test_many_channels_share_the_layers_that_shift() -> None:
    """Copies at distance 2 are made from those at distance 1."""
    module = Case((1, 512, 8, 40), 8, (1, 7), (0, 3, 0, 3)).check()
    assert len(operations(module, kpu.Conv2dOp)) == 4 + 3  # shifts; two parts of the inputs and their sum
    assert sum(kpu.MOVES in op.attributes for op in module.walk()) == 4


def test_dilation_takes_what_is_faster() -> None:
    """Few channels are copied, so many that copies do not fit KPU RAM are sorted into phases."""
    few = Case((1, 4, 16, 16), 4, (3, 3), (2, 2, 2, 2), dilations=(2, 2)).check()
    many = Case((1, 256, 40, 40), 16, (3, 3), (2, 2, 2, 2), dilations=(2, 2)).check()
    assert [len(operations(m, kpu.SpaceToBatchOp)) for m in (few, many)] == [0, 1]


@pytest.mark.parametrize(
    ("size", "kernel", "pads"),
    [
        ((9, 515), 3, (1, 1, 1, 1)),
        ((8, 520), 3, (0, 0, 1, 1)),
        ((10, 514), 5, (2, 2, 2, 2)),
        ((6, 513), 2, (0, 0, 0, 0)),
    ],
    ids=str,
)
def test_strided_convolutions_of_wide_maps(size: Pair, kernel: int, pads: Sequence[int]) -> None:
    """On the phases of the map as channels."""
    module = Case((1, 2, *size), 4, (kernel, kernel), pads, (2, 2)).check()
    assert len(operations(module, ktensor.SpaceToDepthOp)) == 1


@pytest.mark.parametrize("size", [(1100, 8), (8, 600)], ids=str)
def test_maps_that_are_too_large_say_so(size: Pair) -> None:
    module = legalized(Case((1, 1, *size), 4, (5, 5), (2, 2, 2, 2)).module())
    (conv,) = operations(module, ktensor.Conv2dOp)
    assert isinstance(conv, ktensor.Conv2dOp)
    assert str(max(size)) in str(conv.attributes[kpu.REASON])


# --- Splits -------------------------------------------------------------------------------------------------------


@FEW
@given(
    inputs=st.sampled_from([8, 512, 1024, 1028, 1300, 2100]),
    outputs=st.sampled_from([4, 192, 1030, 1153]),
    kernel=st.sampled_from([(1, 1), (3, 3)]),
    strides=st.sampled_from([(1, 1), (2, 2)]),
    width=st.sampled_from([1, 5, 8]),
)
def test_any_number_of_channels(inputs: int, outputs: int, kernel: Pair, strides: Pair, width: int) -> None:
    """More than 1024 of either side, more than 64 weight loads."""
    pads = (kernel[0] // 2,) * 4
    module = Case((1, inputs, 4, width), outputs, kernel, pads, strides).check()
    assert not operations(module, kpu.StridedSliceOp)


def relu6(put: Put, x: SSAValue) -> SSAValue:
    return put(ktensor.ActivationOp(x, ktensor.ActivationAttr.of("relu6")))


def conv(put: Put, rng: np.random.Generator, x: SSAValue, outputs: int, kernel: int = 1, groups: int = 1) -> SSAValue:
    inputs = ktensor.shape_of(x)[1] // groups
    weight = rng.normal(0, 1 / np.sqrt(inputs * kernel * kernel), (outputs, inputs, kernel, kernel))
    arrays = weight.astype(np.float32), rng.uniform(-0.2, 0.2, outputs).astype(np.float32)
    constants = [put(ktensor.ConstantOp(array)) for array in arrays]
    return put(ktensor.Conv2dOp(x, *constants, groups=groups, pads=(kernel // 2,) * 4))


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_block_of_1152_channels(kernel: int) -> None:
    """Expansion, depthwise, projection: maps of so many channels are read part by part, activations are in layers."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = relu6(put, conv(put, rng, block.args[0], 1152))
        x = relu6(put, conv(put, rng, x, 1152, kernel, groups=1152))
        return [conv(put, rng, x, 192)]

    module = module_of([(1, 192, 5, 5)], body)
    sample = [rng.uniform(-1, 1, (1, 192, 5, 5)).astype(np.float32)]
    wanted = run(module, sample)[0]
    legalized(module)
    close(run(module, sample)[0], wanted)
    assert not operations(module, ktensor.Conv2dOp, ktensor.ActivationOp)
    widest = [op for op in module.walk() if op.results and ktensor.shape_of(op.results[0])[1:2] > (1024,)]
    assert all(isinstance(op, kpu.ConcatOp | kpu.ImagesOp) for op in widest)


def test_a_classifier_of_1280_features() -> None:
    """Mean over pixels, product with a 1280x1000 matrix."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        x = relu6(put, conv(put, rng, block.args[0], 1280))
        x = put(ktensor.ReshapeOp(put(ktensor.ReduceOp("mean", x, (2, 3))), (1, 1280)))
        matrix = put(ktensor.ConstantOp(rng.normal(0, 0.03, (1280, 1000)).astype(np.float32)))
        return [put(ktensor.MatmulOp(x, matrix))]

    module = module_of([(1, 40, 4, 4)], body)
    sample = [rng.uniform(-1, 1, (1, 40, 4, 4)).astype(np.float32)]
    wanted = run(module, sample)[0]
    legalized(module)
    close(run(module, sample)[0], wanted)
    assert not operations(module, ktensor.MatmulOp, ktensor.ActivationOp)


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize(("inputs", "outputs"), [(3136, 10), (1025, 1100), (64, 2049)])
def test_products(rows: int, inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(rows)
    left = rng.uniform(-1, 1, (rows, inputs)).astype(np.float32)
    right = rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32)
    module = module_of(
        [left.shape], lambda block, put: [put(ktensor.MatmulOp(block.args[0], put(ktensor.ConstantOp(right))))]
    )
    legalized(module)
    close(run(module, [left])[0], left @ right)
    assert not operations(module, ktensor.MatmulOp)


def test_too_many_inputs_say_so() -> None:
    right = np.zeros((20000, 2), np.float32)
    module = module_of(
        [(1, 20000)], lambda block, put: [put(ktensor.MatmulOp(block.args[0], put(ktensor.ConstantOp(right))))]
    )
    (product,) = operations(legalized(module), ktensor.MatmulOp)
    assert isinstance(product, ktensor.MatmulOp)
    assert "20000 channels" in str(product.attributes[kpu.REASON])
