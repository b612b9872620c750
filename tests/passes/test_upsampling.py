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
from xdsl.ir import Block, SSAValue

from kpuir import pipelines
from kpuir.compiler import compile
from kpuir.dialects import kpu, ktensor
from kpuir.importers.onnx import import_onnx
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.kpu_legalize_space_to_depth import KpuLegalizeSpaceToDepthPass
from kpuir.passes.ktensor_lower_transposed_convs import KTensorLowerTransposedConvsPass
from kpuir.passes.ktensor_sink_depth_to_space import KTensorSinkDepthToSpacePass
from tests.importers.nets import feeds, interpret, net, node, op_names, runtime
from tests.networks import Net
from tests.passes.graphs import Put, module_of, weight

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


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_functions_of_channels_move_with_their_channels(mode: str) -> None:
    shapes = {"Relu": (), "PRelu": (3, 1, 1), "Mul": (1, 3, 1, 1), "Sub": (1,)}
    nodes = [node("DepthToSpace", ["x"], ["v0"], blocksize=2, mode=mode)]
    for number, (kind, shape) in enumerate(shapes.items()):
        inputs = [f"v{number}", f"c{number}"] if shape else [f"v{number}"]
        nodes.append(node(kind, inputs, [f"v{number + 1}"]))
    constants = {f"c{number}": normal(*shape, seed=number) for number, shape in enumerate(shapes.values()) if shape}
    model = net(nodes, {"x": (1, 12, 4, 5)}, constants, [f"v{len(shapes)}"])
    module = lowered(model, KTensorSinkDepthToSpacePass("never"))
    assert op_names(module)[-1] == "depth_to_space"


@pytest.mark.parametrize("modes", [("DCR",), ("DCR", "DCR"), ("CRD", "DCR"), ("CRD", "CRD")])
def test_interleavings_of_a_convolution_become_one(modes: tuple[str, ...]) -> None:
    blocks = (2, 3)[: len(modes)]
    channels = 2 * int(np.prod(blocks)) ** 2
    nodes = [node("Conv", ["x", "w", "b"], ["v"]), node("Relu", ["v"], ["v0"])]
    for number, (mode, block) in enumerate(zip(modes, blocks, strict=True)):
        nodes.append(node("DepthToSpace", [f"v{number}"], [f"v{number + 1}"], blocksize=block, mode=mode))
    constants = {"w": normal(channels, 2, 1, 1), "b": normal(channels)}
    model = net(nodes, {"x": (1, 2, 4, 5)}, constants, [f"v{len(modes)}"])
    module = lowered(model, KTensorSinkDepthToSpacePass("never"))
    (left,) = (op for op in module.walk() if isinstance(op, ktensor.DepthToSpaceOp))
    assert (left.block_size.value.data, left.mode.data) == (np.prod(blocks), ktensor.DepthMode.DCR)


@pytest.mark.parametrize(("mode", "groups"), [("CRD", 3), ("DCR", 1)])
def test_depthwise_convolutions_stay_groups_where_phases_lie_together(mode: str, groups: int) -> None:
    nodes = [
        node("DepthToSpace", ["x"], ["v"], blocksize=2, mode=mode),
        node("Conv", ["v", "w"], pads=[1] * 4, group=3),
    ]
    model = net(nodes, {"x": (1, 12, 4, 5)}, {"w": normal(3, 1, 3, 3)})
    module = lowered(model, KTensorSinkDepthToSpacePass("always"))
    assert [op.group_count for op in module.walk() if isinstance(op, ktensor.Conv2dOp)] == [groups]


# --- kpu-legalize-space-to-depth


@CHECK
@given(st.data())
def test_the_kpu_sorts_pixels_by_phase(data: st.DataObject) -> None:
    channels, mode = data.draw(st.integers(1, 40)), data.draw(st.sampled_from(list(ktensor.DepthMode)))
    size = [2 * data.draw(st.sampled_from([4, 5, 8, 9, 16, 17, 20])) for _ in range(2)]
    sample = np.random.default_rng(channels).normal(size=(1, channels, *size)).astype(np.float32)

    def body(block: Block, put: Put) -> list[SSAValue]:
        made = put(
            kpu.Conv2dOp(block.args[0], weight(put, np.random.default_rng(0), channels, channels, 1, 1), zero(put))
        )
        return [put(ktensor.SpaceToDepthOp(made, 2, mode))]

    def zero(put: Put) -> SSAValue:
        return put(ktensor.ConstantOp(np.zeros(channels, np.float32)))

    module = module_of([sample.shape], body)
    wanted = interpret(module, [sample])
    KpuLegalizeSpaceToDepthPass().apply(Context(), module)
    same(module, [sample], wanted)
    assert op_names(module) == []
    movers = [op for op in module.walk() if kpu.MOVES in op.attributes]
    assert movers
    assert all(isinstance(op, kpu.Conv2dOp) and op.pool_kind.stride == 2 for op in movers)


# --- all of them


def unet(up: str, size: int = 128, base: int = 8, levels: int = 3) -> onnx.ModelProto:
    """Two convolutions a level; down by pools, up by transposed convolutions or by repetition and a convolution."""
    model = Net(image=(1, 3, size, size))

    def level(x: str, inputs: int, outputs: int) -> str:
        x = model.op("Relu", model.conv(x, inputs, outputs))
        return model.op("Relu", model.conv(x, outputs, outputs))

    def spread(x: str, inputs: int, outputs: int) -> str:
        if up != "nearest":
            kernel, pads, extra = (int(number) for number in up)
            attributes = {"strides": [2, 2], "pads": [pads] * 4, "output_padding": [extra] * 2}
            return model.op("ConvTranspose", x, model.weight(inputs, outputs, kernel, kernel), **attributes)
        modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        x = model.op("Resize", x, "", model.constant([1, 1, 2, 2]), mode="nearest", **modes)
        return model.op("Relu", model.conv(x, inputs, outputs))

    x, channels = "image", 3
    skips: list[str] = []
    for depth in range(levels):
        x, channels = level(x, channels, base << depth), base << depth
        skips.append(x)
        x = model.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = level(x, channels, 2 * channels)
    for skip in reversed(skips):
        x = model.op("Concat", spread(x, 2 * channels, channels), skip, axis=1)
        x = level(x, 2 * channels, channels)
        channels //= 2
    return model.model(model.op("Sigmoid", model.conv(x, 2 * channels, 1, 1)))


@pytest.mark.parametrize("up", ["200", "311", "410", "521", "nearest"])
def test_u_nets_keep_all_convolutions_on_the_kpu(up: str) -> None:
    model = unet(up)
    inputs = feeds(model)
    module = import_onnx(model.SerializeToString())
    for name in ("ktensor-simplify", "kpu-legalize"):
        for one in pipelines.parse_passes(name, lambda: PIPELINES):
            one.apply(pipelines.make_context(), module)
    same(module, list(inputs.values()), runtime(model, inputs))
    left = op_names(module)
    assert not {"conv2d", "conv2d_transpose", "space_to_depth", "resize"} & set(left)
    spreads = [op for op in module.walk() if isinstance(op, ktensor.DepthToSpaceOp)]
    assert ktensor.shape_of(spreads[-1].output) == (1, 1, 128, 128)  # the last one makes the result
    assert all(ktensor.shape_of(op.output)[2] <= 64 for op in spreads[:-1])  # no layer waits for the largest maps


@pytest.mark.parametrize("up", ["200", "nearest"])
def test_bytes_are_interleaved_at_the_end(up: str) -> None:
    """Quantized, to the kmodel: within what the last layer's 8 bits can tell."""
    model = unet(up, size=32, base=4, levels=2)
    samples = [feeds(model, seed) for seed in range(4)]
    compiled = compile(import_onnx(model.SerializeToString()), dataset=samples)
    (ours,), (theirs,) = compiled.run(samples[0]).values(), runtime(model, samples[0])
    assert float(np.abs(ours - theirs).mean()) < 1.5 / 255
    assert compiled.report.cpu_ops["transpose"] >= 1
    assert "conv2d" not in compiled.report.cpu_ops
