"""Transposed convolutions, upsampling and depth_to_space: the same as in ONNX Runtime before and after each pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from kpuir.dialects import ktensor
from kpuir.importers.onnx import import_onnx
from kpuir.passes.ktensor_lower_transposed_convs import KTensorLowerTransposedConvsPass
from kpuir.passes.ktensor_sink_depth_to_space import KTensorSinkDepthToSpacePass
from tests.importers.nets import feeds, interpret, net, node, op_names, runtime

CHECK = settings(max_examples=40, deadline=None)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def same(module: ModuleOp, inputs: Sequence[Any], wanted: Sequence[Any]) -> None:
    """The module is valid and computes `wanted`, to 1e-5 of its largest value."""
    module.verify()
    for ours, theirs in zip(interpret(module, inputs), wanted, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(1.0, float(np.abs(theirs).max())))


def lowered(model: onnx.ModelProto, *passes: Any) -> ModuleOp:
    """The imported model after passes; after each it computes what ONNX Runtime does."""
    inputs = feeds(model)
    wanted = runtime(model, inputs)
    module = import_onnx(model.SerializeToString())
    for one in passes:
        one.apply(Context(), module)
        same(module, list(inputs.values()), wanted)
    return module


def transposed_conv(size: Sequence[int], weight: np.ndarray, groups: int = 1, **attributes: Any) -> onnx.ModelProto:
    bias = normal(weight.shape[1] * groups, seed=1)
    nodes = [
        node("ConvTranspose", ["x", "w", "b"], ["z"], group=groups, **attributes),
        node("LeakyRelu", ["z"], alpha=0.1),
    ]
    return net(nodes, {"x": (1, weight.shape[0], *size)}, {"w": weight, "b": bias})


# --- ktensor-lower-transposed-convs


@CHECK
@given(st.data())
def test_transposed_convolutions_of_every_geometry(data: st.DataObject) -> None:
    def pair(low: int, high: int) -> list[int]:
        return [data.draw(st.integers(low, high)) for _ in range(2)]

    groups, size = data.draw(st.sampled_from([1, 1, 2, 3])), pair(1, 6)
    strides = [data.draw(st.integers(1, 4))] * 2 if data.draw(st.booleans()) else pair(1, 3)
    kernel, dilations, extra = pair(1, 5), pair(1, 2), [data.draw(st.integers(0, s - 1)) for s in strides]
    pads = [data.draw(st.integers(0, d * (k - 1) + 1)) for k, d in zip(kernel * 2, dilations * 2, strict=True)]
    for axis in (0, 1):
        full = (size[axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1 + extra[axis]
        assume(full > pads[axis] + pads[axis + 2])
    weight = normal(groups * data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2)), *kernel)
    model = transposed_conv(size, weight, groups, strides=strides, pads=pads, dilations=dilations, output_padding=extra)
    module = lowered(model, KTensorLowerTransposedConvsPass())
    assert op_names(module).count("conv2d") == 1
    assert "conv2d_transpose" not in op_names(module)


@pytest.mark.parametrize(
    ("kernel", "pads", "extra", "wanted"),
    [(2, 0, 0, 1), (3, 1, 1, 2), (4, 1, 0, 3), (5, 2, 1, 3), (5, 0, 0, 3), (3, 0, 0, 2)],
)
def test_usual_decoders_have_kernels_the_kpu_takes(kernel: int, pads: int, extra: int, wanted: int) -> None:
    model = transposed_conv(
        (4, 5), normal(3, 2, kernel, kernel), strides=[2, 2], pads=[pads] * 4, output_padding=[extra] * 2
    )
    module = lowered(model, KTensorLowerTransposedConvsPass())
    (conv,) = (op for op in module.walk() if isinstance(op, ktensor.Conv2dOp))
    assert conv.kernel_shape == (wanted, wanted)


# --- ktensor-sink-depth-to-space


def random_decoder(data: st.DataObject) -> onnx.ModelProto:
    """Maps of two resolutions, the smaller one brought to the larger in some way, and layers on what comes out."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}
    block, steps = data.draw(st.sampled_from([2, 2, 2, 3, 4])), data.draw(st.integers(1, 5))
    size = [data.draw(st.integers(4, 6)) for _ in range(2)]
    wide = [each * block for each in size]

    def put(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(nodes)}"
        nodes.append(node(kind, inputs, [name], **attributes))
        return name

    def constant(*shape: int) -> str:
        name = f"c{len(constants)}"
        constants[name] = rng.normal(0, 0.4, shape).astype(np.float32)
        return name

    def spread(value: str, channels: int) -> tuple[str, int]:
        kind = data.draw(st.sampled_from(["DCR", "CRD", "Resize", "ConvTranspose"]))
        if kind == "ConvTranspose":
            return put(kind, value, constant(channels, 2, block, block), strides=[block] * 2), 2
        if kind == "Resize":
            constants["scales"] = np.array([1, 1, block, block], np.float32)
            modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            return put("Resize", value, "", "scales", mode="nearest", **modes), channels
        grown = put("Conv", value, constant(block * block, channels, 1, 1))
        return put("DepthToSpace", grown, blocksize=block, mode=kind), 1

    def conv(value: str, channels: int) -> tuple[str, int]:
        outputs, kernel = data.draw(st.integers(1, 2)), [data.draw(st.integers(1, 3)) for _ in range(2)]
        groups = data.draw(st.sampled_from([1, channels]))
        pads = [data.draw(st.integers(0, 2)) for _ in range(4)]
        stride = data.draw(st.sampled_from([1, 1, 1, 2, block]))
        weight = constant(outputs * groups, channels // groups, *kernel)
        bias = constant(outputs * groups)
        return put("Conv", value, weight, bias, pads=pads, strides=[stride] * 2, group=groups), outputs * groups

    value, channels = spread("x", 2)
    for _ in range(steps):
        kind = data.draw(st.sampled_from(["same", "same", "function", "concat", "add", "twice"]))
        if kind == "twice" and block == 2:  # no map of this size to join it with exists
            value, channels = spread(value, channels)
            break
        if kind == "same":
            outputs, kernel = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 3]))
            value = put("Conv", value, constant(outputs, channels, kernel, kernel), pads=[kernel // 2] * 4)
            channels = outputs
        if kind == "function":
            slope = constant(channels, 1, 1)
            inputs = {"Relu": [value], "PRelu": [value, slope], "Mul": [slope, value], "Sub": [value, slope]}
            chosen = data.draw(st.sampled_from(sorted(inputs)))
            value = put(chosen, *inputs[chosen])
        if kind in ("concat", "add"):
            other = data.draw(st.sampled_from(["s", "spread"]))
            more, count = ("s", 2) if other == "s" else spread("x", 2)
            more = put("Conv", more, constant(channels, count, 1, 1))
            pair = [value, more] if data.draw(st.booleans()) else [more, value]
            value = put("Concat", *pair, axis=1) if kind == "concat" else put("Add", *pair)
            channels *= 2 if kind == "concat" else 1
    value, _ = conv(value, channels)
    nodes.append(node("LeakyRelu", [value], alpha=0.2))
    return net(nodes, {"x": (1, 2, *size), "s": (1, 2, *wide)}, constants)


@CHECK
@given(st.data())
def test_sinking_keeps_what_is_computed(data: st.DataObject) -> None:
    model = random_decoder(data)
    lowered(model, KTensorLowerTransposedConvsPass(), KTensorSinkDepthToSpacePass("always"))
