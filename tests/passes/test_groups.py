"""Grouped convolutions and depth multipliers on the KPU, against ONNX Runtime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from kpuir import pipelines
from kpuir.dialects import kpu, ktensor
from kpuir.interpreters.run import run
from kpuir.named_pipelines import PIPELINES
from tests.interpreters.test_ktensor import onnx_result
from tests.passes.graphs import Put, module_of

CONTEXT = pipelines.make_context()
RELU = ktensor.ActivationAttr.of("relu")
Pair = tuple[int, int]


def legalized(module: ModuleOp, blocks: str = "auto") -> ModuleOp:
    own = f"kpu-legalize-groups{{blocks={blocks}}}"
    passes = [own if name == "kpu-legalize-groups" else name for name in PIPELINES["kpu-legalize"]]
    for one in pipelines.parse_passes(",".join(passes), lambda: PIPELINES):
        one.apply(CONTEXT, module)
    module.verify()
    assert not any(isinstance(op, ktensor.Conv2dOp | ktensor.ActivationOp) for op in module.walk())
    return module


def layers(module: ModuleOp) -> list[kpu.Conv2dOp]:
    return [op for op in module.walk() if isinstance(op, kpu.Conv2dOp)]


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * float(np.abs(wanted).max()))


@settings(max_examples=25, deadline=None)
@given(
    form=st.sampled_from([(2, 4, 4), (3, 4, 8), (4, 2, 3), (8, 1, 2), (6, 1, 3), (2, 16, 12), (16, 4, 4)]),
    kernel=st.sampled_from([(1, 1), (3, 3), (2, 3), (5, 5)]),
    strides=st.sampled_from([(1, 1), (2, 2)]),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    size=st.tuples(st.integers(5, 12), st.sampled_from([5, 9, 18, 34])),
    blocks=st.sampled_from(["auto", "one", "most"]),
)
def test_groups(
    form: tuple[int, int, int], kernel: Pair, strides: Pair, pads: tuple[int, ...], size: Pair, blocks: str
) -> None:
    """(groups, inputs and outputs of each): any kernel and size, in one or many convolutions."""
    groups, inputs, outputs = form
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, groups * inputs, *size)).astype(np.float32)
    weight = rng.normal(0, 1, (groups * outputs, inputs, *kernel)).astype(np.float32)
    bias = rng.uniform(-1, 1, groups * outputs).astype(np.float32)

    def body(block: Block, put: Put) -> list[SSAValue]:
        constants = [put(ktensor.ConstantOp(array)) for array in (weight, bias)]
        conv = ktensor.Conv2dOp(block.args[0], *constants, groups=groups, strides=strides, pads=pads)
        return [put(ktensor.ActivationOp(put(conv), RELU))]

    module = legalized(module_of([image.shape], body), blocks)
    wanted = onnx_result("Conv", image, weight, bias, group=groups, strides=strides, pads=pads)
    close(run(module, [image])[0], np.maximum(wanted, 0))


def test_large_groups_are_layers_of_their_own() -> None:
    """And small ones together: every layer costs the software that starts it."""
    counts: list[int] = []
    for groups, channels in ((2, 64), (32, 4)):
        rng = np.random.default_rng(0)
        weight = rng.normal(0, 1, (groups * channels, channels, 3, 3)).astype(np.float32)

        def body(block: Block, put: Put, weight: np.ndarray = weight, groups: int = groups) -> list[SSAValue]:
            conv = ktensor.Conv2dOp(block.args[0], put(ktensor.ConstantOp(weight)), groups=groups, pads=(1, 1, 1, 1))
            return [put(conv)]

        counts.append(len(layers(legalized(module_of([(1, groups * channels, 14, 14)], body)))))
    assert counts[0] == 2
    assert 1 < counts[1] < 32


@pytest.mark.parametrize("width", [8, 20, 40])
@pytest.mark.parametrize("stride", [1, 2])
def test_depth_multipliers(width: int, stride: int) -> None:
    """Behind a function, in front of ordinary convolutions: depthwise layers and no other."""
    rng = np.random.default_rng(width)
    shapes = ((384, 1, 3, 3), (16, 384, 1, 1), (4, 384, 3, 3))
    weights = [rng.normal(0, 0.1, shape).astype(np.float32) for shape in shapes]

    def body(block: Block, put: Put) -> list[SSAValue]:
        first, *others = [put(ktensor.ConstantOp(weight)) for weight in weights]
        strides = (stride, stride)
        x = put(ktensor.Conv2dOp(block.args[0], first, groups=128, strides=strides, pads=(1, 1, 1, 1)))
        x = put(ktensor.ActivationOp(x, RELU))
        return [put(ktensor.Conv2dOp(x, other)) for other in others]

    module = module_of([(1, 128, 12, width)], body)
    sample = [rng.uniform(-1, 1, (1, 128, 12, width)).astype(np.float32)]
    wanted = run(module, sample)
    legalized(module)
    for found, theirs in zip(run(module, sample), wanted, strict=True):
        close(found, theirs)
    assert sum(layer.is_depthwise and kpu.MOVES not in layer.attributes for layer in layers(module)) == 3
