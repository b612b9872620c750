"""The kpu interpreter: float layers against ONNX Runtime, integer ones against the spec written out slowly."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from xdsl.dialects import test as xdsl_test
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.interpreter import Interpreter
from xdsl.ir import Attribute, Operation, SSAValue

from kpuir.dialects import kpu
from kpuir.dialects.kpu import FeatureMapType, PoolKind
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind, QuantizedType
from kpuir.interpreters.kpu import KpuFunctions, Observer

Array = NDArray[Any]


def value(kind: Attribute) -> SSAValue:
    return xdsl_test.TestOp(result_types=[kind]).results[0]


def tensor(*shape: int, element: Attribute = f32) -> SSAValue:
    return value(TensorType(element, shape))


def run(op: Operation, *arrays: Array, observe: Observer | None = None) -> Array:
    op.verify()
    interpreter = Interpreter(ModuleOp([]))
    interpreter.register_implementations(KpuFunctions(observe))
    (result,) = interpreter.run_op(op, arrays)
    return result


def slow_pool(image: list[list[int]], kind: PoolKind) -> list[list[int]]:
    """kpu-hardware.md 7 for one channel, pixel by pixel."""
    height, width = len(image), len(image[0])
    window, stride = {
        PoolKind.BYPASS: (1, 1),
        PoolKind.MAX_2_S2: (2, 2),
        PoolKind.MEAN_2_S2: (2, 2),
        PoolKind.MAX_4_S4: (4, 4),
        PoolKind.MEAN_4_S4: (4, 4),
        PoolKind.LEFT_TOP_2_S2: (1, 2),
        PoolKind.RIGHT_TOP_2_S2: (1, 2),
        PoolKind.LEFT_TOP_4_S4: (1, 4),
        PoolKind.MEAN_2_S1: (2, 1),
        PoolKind.MAX_2_S1: (2, 1),
    }[kind]
    rows: list[list[int]] = []
    for y in range(height // stride):
        row: list[int] = []
        for x in range(width // stride):
            left = x * stride + (kind is PoolKind.RIGHT_TOP_2_S2)
            pixels = [
                image[min(y * stride + dy, height - 1)][min(left + dx, width - 1)]
                for dy in range(window)
                for dx in range(window)
            ]
            row.append(max(pixels) if kind.name.startswith("MAX") else sum(pixels) // len(pixels))
        rows.append(row)
    return rows


def slow_round(product: int, shift: int) -> int:
    """kpu-hardware.md 6.3, the simulator's rounding: halves to even; negative products step down instead of up."""
    quotient, rest = product >> shift, product & ((1 << shift) - 1)
    twice = 2 * rest
    up = twice > 1 << shift or (twice == 1 << shift and quotient % 2 == 1)
    return quotient + (up and shift > 0) * (-1 if product < 0 else 1)


def slow_layer(image: Array, op: kpu.LayerOp) -> Array:
    """kpu-hardware.md 6 for one image, in Python integers."""
    weights, k = op.array("weights"), op.integer("kernel_size")
    channels, height, width = image.shape
    names = ("bn_mul", "bn_shift", "bn_add", "act_start", "act_mul", "act_shift", "act_add")
    mul, shift, add, start, slope, down, base = ([int(v) for v in op.array(name)] for name in names)
    results: list[list[list[int]]] = []
    for o in range(weights.shape[0]):
        inputs = [o] if op.is_depthwise else range(channels)
        plane: list[list[int]] = []
        for y in range(height):
            row: list[int] = []
            for x in range(width):
                sum_xw = sum_x = sum_w = 0
                for index, c in enumerate(inputs):
                    for dy in range(k):
                        for dx in range(k):
                            at_y, at_x = y + dy - k // 2, x + dx - k // 2
                            inside = 0 <= at_y < height and 0 <= at_x < width
                            pixel = int(image[c, at_y, at_x]) if inside else op.integer("pad_value")
                            weight = int(weights[o, index, dy, dx])
                            sum_xw += pixel * weight
                            sum_x += pixel
                            sum_w += weight
                total = sum_xw + ((op.integer("arg_x") * sum_x) >> op.integer("shr_x"))
                total += ((op.integer("arg_w") * sum_w) >> op.integer("shr_w")) + op.integer("arg_add") * len(inputs)
                v = ((total * mul[o]) >> shift[o]) + add[o]
                s = max(i for i in range(16) if i == 0 or v > start[i])
                row.append(min(max(slow_round((v - start[s]) * slope[s], down[s]) + base[s], 0), 255))
            plane.append(row)
        results.append(slow_pool(plane, op.pool_kind))
    return np.array(results, np.uint8)


def random_layer(seed: int, kind: PoolKind, *, depthwise: bool, k: int, shifts: bool) -> tuple[kpu.LayerOp, Array]:
    """A layer whose accumulators spread over the table: zero points near 128, adds that cancel the mean."""
    random = np.random.default_rng(seed)
    size = (2, 3, *(random.integers(16, 19, 2) if kind.stride == 4 else random.integers(8, 12, 2)))
    channels = 3 if depthwise else 2
    terms = k * k * (1 if depthwise else 3)
    spread = int(2 * 74 * 74 * terms**0.5)
    steep = 4 if kind is PoolKind.MAX_4_S4 else 64  # the largest of 16 would always be 255
    zero_x, zero_w = (int(n) for n in random.integers(118, 138, 2))
    op = kpu.LayerOp(
        value(FeatureMapType.of([int(n) for n in size], 0.5, 3)),
        kernel_size=k,
        depthwise=depthwise,
        pool=kind,
        pad_value=zero_x,
        arg_x=-zero_w * 2**15 + int(random.integers(0, 2**15)) if shifts else -zero_w,
        shr_x=15 if shifts else 0,
        arg_w=-zero_x * 2**12 - int(random.integers(0, 2**12)) if shifts else -zero_x,
        shr_w=12 if shifts else 0,
        arg_add=k * k * zero_x * zero_w,
        weights=random.integers(0, 256, (channels, 1 if depthwise else 3, k, k)),
        bn_mul=random.integers(2**13, 2**15, channels) * random.choice([-1, 1], channels),
        bn_shift=random.integers(13, 15, channels),
        bn_add=random.integers(-(2**12), 2**12, channels),
        act_start=np.append(-(2**35), np.sort(random.integers(-spread, spread, 15))),
        act_mul=np.append(0, random.integers(-16, steep, 15)),
        act_shift=np.append(0, random.integers(10, 16, 15)),
        act_add=np.append(7, np.sort(random.integers(0, 230, 15))),
        result_element=QuantizedType.of(0.25, 1),
    )
    return op, random.integers(0, 256, size).astype(np.uint8)


@pytest.mark.parametrize("shifts", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("kind", list(PoolKind))
def test_layers_are_exact(kind: PoolKind, k: int, shifts: bool) -> None:
    op, images = random_layer(kind.code * 4 + k + shifts, kind, depthwise=False, k=k, shifts=shifts)
    expected = np.stack([slow_layer(image, op) for image in images])
    got = run(op, images)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.uint8
    assert len(np.unique(got)) > 10  # many segments are reached


@pytest.mark.parametrize("shifts", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_depthwise_layers_are_exact(k: int, shifts: bool) -> None:
    op, images = random_layer(99 + k + shifts, PoolKind.BYPASS, depthwise=True, k=k, shifts=shifts)
    expected = np.stack([slow_layer(image, op) for image in images])
    np.testing.assert_array_equal(run(op, images), expected)
    assert len(np.unique(expected)) > 20


def onnx_reference(x: Array, w: Array, b: Array, groups: int, kind: PoolKind, slope: float | None) -> Array:
    """The layer as ONNX Runtime computes it: pad 1 for 3x3, stride for picks, LeakyRelu, pooling."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    border, stride = w.shape[2] // 2, kind.stride if kind.name.startswith("LEFT") else 1
    nodes = [
        helper.make_node(
            "Conv",
            ["x", "w", "b"],
            ["c"],
            pads=[border] * 4,
            strides=[stride] * 2,
            group=groups,
            kernel_shape=w.shape[2:],
        )
    ]
    if slope is not None:
        nodes.append(helper.make_node("LeakyRelu", ["c"], ["a"], alpha=slope))
    if kind.name.startswith(("MAX", "MEAN")):
        pool = "MaxPool" if kind.is_max else "AveragePool"
        side, step = [kind.window] * 2, [kind.stride] * 2
        nodes.append(helper.make_node(pool, [nodes[-1].output[0]], ["p"], kernel_shape=side, strides=step))
    result = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": x})
    assert isinstance(output, np.ndarray)
    return output


@pytest.mark.parametrize(
    ("kind", "k", "depthwise", "slope"),
    [
        (PoolKind.BYPASS, 1, False, None),
        (PoolKind.BYPASS, 3, False, 0.1),
        (PoolKind.BYPASS, 3, True, 0.1),
        (PoolKind.BYPASS, 1, True, None),
        (PoolKind.MAX_2_S2, 3, False, 0.1),
        (PoolKind.MEAN_2_S2, 3, False, None),
        (PoolKind.MAX_4_S4, 1, False, 0.1),
        (PoolKind.MEAN_4_S4, 3, False, 0.1),
        (PoolKind.LEFT_TOP_2_S2, 3, False, 0.1),
        (PoolKind.LEFT_TOP_4_S4, 1, False, None),
    ],
)
def test_float_layers_agree_with_onnx_runtime(kind: PoolKind, k: int, depthwise: bool, slope: float | None) -> None:
    random = np.random.default_rng(kind.code + k)
    x = random.normal(size=(2, 6, 16, 20)).astype(np.float32)
    oc = 6 if depthwise else 5
    w = random.normal(size=(oc, 1 if depthwise else 6, k, k)).astype(np.float32)
    b = random.normal(size=oc).astype(np.float32)
    activation = [] if slope is None else [ActivationAttr.of(ActivationKind.LEAKY_RELU, slope)]
    op = kpu.Conv2dOp(
        tensor(*x.shape), tensor(*w.shape), tensor(oc), depthwise=depthwise, activation=activation, pool=kind
    )
    got = run(op, x, w, b)
    assert got.dtype == np.float32
    assert got.shape == kpu.size4(op.output.type)
    np.testing.assert_allclose(got, onnx_reference(x, w, b, 6 if depthwise else 1, kind, slope), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [PoolKind.MEAN_2_S1, PoolKind.MAX_2_S1, PoolKind.RIGHT_TOP_2_S2])
def test_float_pools_without_a_counterpart_in_onnx(kind: PoolKind) -> None:
    """Whole numbers through an identity kernel; odd sizes lose their last row and column."""
    x = np.random.default_rng(1).integers(0, 64, (1, 2, 9, 11)).astype(np.float32) * 4
    w = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
    op = kpu.Conv2dOp(tensor(*x.shape), tensor(2, 2, 1, 1), tensor(2), pool=kind)
    expected = np.array([slow_pool(plane.tolist(), kind) for plane in x[0]])
    np.testing.assert_array_equal(np.floor(run(op, x, w, np.zeros(2, np.float32))[0]), expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(PoolKind)), st.sampled_from([1, 3]))
@settings(max_examples=30, deadline=None)
def test_quantized_layers_are_ideal(seed: int, kind: PoolKind, k: int) -> None:
    """On tensors and feature maps alike: real arithmetic on what the bytes stand for, rounded once, pooled as bytes."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (1, 2, 16, 17)).astype(np.uint8)
    w = random.normal(size=(3, 2, k, k)).astype(np.float32)
    b = random.normal(size=3).astype(np.float32)
    source, target = QuantizedType.of(0.03, 117), QuantizedType.of(0.05, 30)
    clamp = [ActivationAttr.of(ActivationKind.CLAMP, -1.0, 6.0)]
    weights = (tensor(*w.shape), tensor(3))
    op = kpu.Conv2dOp(tensor(*x.shape, element=source), *weights, activation=clamp, pool=kind, result_element=target)
    mapped = kpu.Conv2dOp(
        value(FeatureMapType.of(x.shape, 0.03, 117)), *weights, activation=clamp, pool=kind, result_element=target
    )
    real = np.zeros((2, 18, 19))
    real[:, 1:-1, 1:-1] = (x[0].astype(np.float64) - 117) * 0.03
    off = 1 - k // 2
    sums = np.zeros((3, 16, 17)) + b[:, None, None]
    for dy in range(k):
        for dx in range(k):
            part = real[:, dy + off : dy + off + 16, dx + off : dx + off + 17]
            sums += np.einsum("oi,iyx->oyx", w[:, :, dy, dx].astype(np.float64), part)
    steps = np.clip(sums, -1, 6) / 0.05 + 30
    got = run(op, x, w, b)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(run(mapped, x, w, b), got)
    # sums that lie on a rounding tie within float noise may go either way
    safe = np.where(np.abs(steps - np.floor(steps) - 0.5) < 1e-6, steps + 1e-5, steps)
    codes = np.clip(np.rint(safe), 0, 255).astype(int)
    expected = np.array([slow_pool(plane.tolist(), kind) for plane in codes])
    assert np.abs(got[0].astype(int) - expected).max() <= (0 if np.array_equal(safe, steps) else 1)


def test_observer_sees_what_will_be_stored() -> None:
    """A mean pool works on bytes, so calibration needs the values before it; nothing else is reported."""
    seen: list[tuple[SSAValue, Array]] = []
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float32)
    w, b = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1), np.zeros(2, np.float32)
    operands = (tensor(*x.shape), tensor(*w.shape), tensor(2))
    mean = kpu.Conv2dOp(*operands, pool=PoolKind.MEAN_2_S2)
    peak = kpu.Conv2dOp(*operands, pool=PoolKind.MAX_2_S2)

    def observe(result: SSAValue, values: Array) -> None:
        seen.append((result, values))

    assert run(mean, x, w, b, observe=observe).shape == (1, 2, 4, 4)
    run(peak, x, w, b, observe=observe)
    assert [result for result, _ in seen] == [mean.output]
    np.testing.assert_allclose(seen[0][1], x)


def test_moves_of_floats_and_bytes() -> None:
    quantized = QuantizedType.of(0.5, 3)
    x = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    q = x.astype(np.uint8)
    floats, bytes_ = tensor(1, 1, 8, 8), tensor(1, 1, 8, 8, element=quantized)
    padded = run(kpu.PadOp(floats, (1, 0, 0, 2), -2.0), x)
    assert padded.shape == (1, 1, 9, 10)
    assert (padded[0, 0, 0] == -2).all()
    assert (padded[0, 0, :, 8:] == -2).all()
    np.testing.assert_array_equal(padded[:, :, 1:, :8], x)
    assert run(kpu.PadOp(bytes_, (1, 0, 0, 0), 2.0), q)[0, 0, 0].tolist() == [7] * 8
    assert run(kpu.PadOp(bytes_, (1, 0, 0, 0), 1e9), q)[0, 0, 0].tolist() == [255] * 8
    np.testing.assert_array_equal(run(kpu.CropOp(bytes_, (1, 2, 3, 0)), q), q[:, :, 1:5, 2:])
    np.testing.assert_array_equal(run(kpu.StridedSliceOp(floats, (1, 0), (2, 3)), x), x[:, :, 1::2, ::3])
    up = kpu.UploadOp(bytes_)
    np.testing.assert_array_equal(run(up, q), q)
    np.testing.assert_array_equal(run(kpu.DownloadOp(up.output), q), q)


def test_blocks_follow_their_formula_and_invert() -> None:
    x = np.random.default_rng(3).integers(0, 256, (2, 3, 8, 9)).astype(np.uint8)
    source = tensor(*x.shape, element=QuantizedType.of(0.5, 77))
    op = kpu.SpaceToBatchOp(source, (3, 2), (1, 0, 0, 1))
    got = run(op, x)
    padded = np.full((2, 3, 9, 10), 77)
    padded[:, :, 1:, :9] = x
    for n, i, j in np.ndindex(2, 3, 2):
        np.testing.assert_array_equal(got[(i * 2 + j) * 2 + n], padded[n, :, i::3, j::2])
    back = kpu.BatchToSpaceOp(op.output, (3, 2), (1, 0, 0, 1))
    np.testing.assert_array_equal(run(back, got), x)


def test_a_dilated_convolution_through_blocks() -> None:
    """space_to_batch, an ordinary layer, batch_to_space against ONNX Runtime's dilated convolution."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(5)
    x = random.normal(size=(1, 2, 12, 12)).astype(np.float32)
    w, b = random.normal(size=(3, 2, 3, 3)).astype(np.float32), random.normal(size=3).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[2] * 4, dilations=[2, 2], kernel_shape=[3, 3])
    graph = helper.make_graph(
        [node],
        "dilated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    blocks = kpu.SpaceToBatchOp(tensor(*x.shape), (2, 2))
    layer = kpu.Conv2dOp(blocks.output, tensor(*w.shape), tensor(3))
    space = kpu.BatchToSpaceOp(layer.output, (2, 2))
    got = run(space, run(layer, run(blocks, x), w, b))
    np.testing.assert_allclose(got, np.asarray(expected), rtol=1e-4, atol=1e-5)
