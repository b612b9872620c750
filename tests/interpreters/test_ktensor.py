"""The ktensor interpreter against ONNX Runtime, node by node; its quantized forms against their definition."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.interpreters.run import run
from kpuir.ir.arrays import element_type

Array: TypeAlias = NDArray[Any]
Build: TypeAlias = Callable[..., Operation]

SIDES = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
FEW = settings(max_examples=40, deadline=None)


def image(*shape: int, seed: int = 0, low: float = -4.0, high: float = 4.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def module_of(build: Build, *types: Attribute) -> ModuleOp:
    """A module whose @main applies one op to its arguments."""
    block = Block(arg_types=types)
    op = build(*block.args)
    block.add_ops([op, func.ReturnOp(op.results[0])])
    function = func.FuncOp("main", (list(types), [op.results[0].type]), Region(block))
    module = ModuleOp([function])
    module.verify()
    return module


def compute(build: Build, *arrays: Array) -> Array:
    module = module_of(build, *(TensorType(element_type(array.dtype), array.shape) for array in arrays))
    return run(module, arrays)[0]


def on_bytes(build: Build, *operands: tuple[Array, ktensor.QuantizedType]) -> Array:
    """Run an op on quantized tensors."""
    module = module_of(build, *(TensorType(element, array.shape) for array, element in operands))
    return run(module, [array for array, _ in operands])[0]


def onnx_result(op_type: str, *arrays: Array | None, opset: int = 20, **attributes: Any) -> Array:
    """What ONNX Runtime computes for one node; None stands for an input left out."""
    names = [f"i{index}" if array is not None else "" for index, array in enumerate(arrays)]
    given_inputs = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given_inputs.items()
    ]
    output = helper.make_tensor_value_info("output", TensorProto.UNDEFINED, None)
    node = helper.make_node(op_type, names, ["output"], **attributes)
    graph = helper.make_graph([node], "one", infos, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, given_inputs)[0])


def assert_same(found: Array, expected: Array, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@FEW
@given(
    kernel=PAIRS,
    strides=PAIRS,
    dilations=PAIRS,
    pads=SIDES,
    form=st.sampled_from([(1, 4, 6), (2, 4, 6), (4, 4, 4), (4, 4, 8), (1, 1, 3)]),
    batch=st.integers(1, 2),
    bias=st.booleans(),
)
def test_conv2d(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, ...],
    form: tuple[int, int, int],
    batch: int,
    bias: bool,
) -> None:
    groups, ic, oc = form
    arrays = [image(batch, ic, 7, 9), image(oc, ic // groups, *kernel, seed=1), *([image(oc, seed=2)] if bias else [])]
    found = compute(
        lambda *x: ktensor.Conv2dOp(*x, strides=strides, pads=pads, dilations=dilations, groups=groups), *arrays
    )
    assert_same(
        found, onnx_result("Conv", *arrays, strides=strides, pads=pads, dilations=dilations, group=groups), 2e-5
    )


def test_conv2d_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting the work into blocks changes nothing, also where they do not divide it."""
    from kpuir.interpreters.kernels import floating

    x, dense, depthwise = image(2, 6, 11, 8), image(5, 6, 3, 3, seed=1), image(6, 1, 3, 3, seed=2)
    whole = [floating.conv2d(x, dense), floating.conv2d(x, depthwise, groups=6)]
    monkeypatch.setattr(floating, "COLUMN_BYTES", 2 * 6 * 9 * 6 * 4 * 4)
    monkeypatch.setattr(floating, "TILE_BYTES", 2 * 9 * 6 * 4 * 4)
    np.testing.assert_allclose(floating.conv2d(x, dense), whole[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(floating.conv2d(x, depthwise, groups=6), whole[1])


@FEW
@given(
    kernel=PAIRS,
    strides=PAIRS,
    dilations=PAIRS,
    pads=SIDES,
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    form=st.sampled_from([(1, 4, 6), (2, 4, 3), (4, 4, 1)]),
    bias=st.booleans(),
)
def test_conv2d_transpose(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, ...],
    extra: tuple[int, int],
    form: tuple[int, int, int],
    bias: bool,
) -> None:
    assume(all(more < stride for more, stride in zip(extra, strides, strict=True)))
    groups, ic, oc = form
    arrays = [image(2, ic, 5, 6), image(ic, oc, *kernel, seed=1), *([image(oc * groups, seed=2)] if bias else [])]
    found = compute(
        lambda *x: ktensor.Conv2dTransposeOp(
            *x, strides=strides, pads=pads, dilations=dilations, groups=groups, output_padding=extra
        ),
        *arrays,
    )
    expected = onnx_result(
        "ConvTranspose",
        *arrays,
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=groups,
        output_padding=extra,
    )
    assert_same(found, expected, 2e-5)


@pytest.mark.parametrize(
    ("lhs", "rhs"), [((2, 3), (3, 4)), ((5, 1, 2, 3), (4, 3, 6)), ((1, 8), (8, 1)), ((2, 3), (7, 3, 4))]
)
def test_matmul(lhs: tuple[int, ...], rhs: tuple[int, ...]) -> None:
    a, b, bias = image(*lhs), image(*rhs, seed=1), image(rhs[-1], seed=2)
    assert_same(compute(ktensor.MatmulOp, a, b), onnx_result("MatMul", a, b))
    assert_same(compute(ktensor.MatmulOp, a, b, bias), onnx_result("MatMul", a, b) + bias)


@FEW
@given(kernel=PAIRS, strides=PAIRS, dilations=PAIRS, pads=SIDES, include=st.booleans())
def test_pools(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, ...],
    include: bool,
) -> None:
    assume(all(pad < kernel[axis % 2] for axis, pad in enumerate(pads)))
    x = image(2, 3, 8, 9)
    found = compute(lambda x: ktensor.MaxPool2dOp(x, kernel, strides=strides, pads=pads, dilations=dilations), x)
    assert_same(found, onnx_result("MaxPool", x, kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations))
    found = compute(
        lambda x: ktensor.AveragePool2dOp(x, kernel, strides=strides, pads=pads, count_include_pad=include), x
    )
    expected = onnx_result(
        "AveragePool", x, kernel_shape=kernel, strides=strides, pads=pads, count_include_pad=int(include), opset=18
    )
    assert_same(found, expected)


def test_max_pool_of_bytes_ignores_padding() -> None:
    q = np.random.default_rng(0).integers(0, 256, (1, 2, 5, 5), np.uint8)
    element = ktensor.QuantizedType.of(0.1, 200)
    found = on_bytes(lambda x: ktensor.MaxPool2dOp(x, (3, 3), pads=(1, 1, 1, 1)), (q, element))
    assert_same(found, onnx_result("MaxPool", q, kernel_shape=(3, 3), pads=(1, 1, 1, 1)))


@pytest.mark.parametrize("kind", list(ktensor.ReduceKind))
@pytest.mark.parametrize("axes", [(2, 3), (1,), (0, 1, 2, 3)])
@pytest.mark.parametrize("keep", [True, False])
def test_reduce(kind: ktensor.ReduceKind, axes: tuple[int, ...], keep: bool) -> None:
    x = image(2, 3, 4, 5)
    expected = onnx_result("Reduce" + kind.value.title(), x, np.array(axes), keepdims=int(keep))
    assert_same(compute(lambda x: ktensor.ReduceOp(kind, x, axes, keep_dims=keep), x), expected)


UNARY = {
    "abs": "Abs",
    "ceil": "Ceil",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "neg": "Neg",
    "round": "Round",
    "sin": "Sin",
    "cos": "Cos",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "erf": "Erf",
    "sign": "Sign",
    "tan": "Tan",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "asinh": "Asinh",
    "acosh": "Acosh",
    "atanh": "Atanh",
}
COMPARISONS = {"equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual"}


@pytest.mark.parametrize("kind", list(ktensor.UnaryKind))
def test_unary(kind: ktensor.UnaryKind) -> None:
    positive = kind in (ktensor.UnaryKind.LOG, ktensor.UnaryKind.SQRT, ktensor.UnaryKind.RSQRT)
    x = np.abs(image(4, 50)) + 0.01 if positive else image(4, 50)
    x[0, :5] = (0.5, 1.5, 2.5, 1.0, 3.5)
    if kind in (ktensor.UnaryKind.ASIN, ktensor.UnaryKind.ACOS, ktensor.UnaryKind.ATANH):
        x = x / np.abs(x).max() * np.float32(0.99)
    if kind == ktensor.UnaryKind.ACOSH:
        x = np.abs(x) + 1
    if kind == ktensor.UnaryKind.RSQRT:
        expected = onnx_result("Reciprocal", onnx_result("Sqrt", x))
    elif kind == ktensor.UnaryKind.SQUARE:
        expected = onnx_result("Mul", x, x)
    else:
        expected = onnx_result(UNARY[kind.value], x)
    assert_same(compute(lambda x: ktensor.UnaryOp(kind, x), x), expected)
    function = ktensor.ActivationAttr.of(kind.value)
    assert_same(compute(lambda x: ktensor.ActivationOp(x, function), x), expected)


ONNX_ACTIVATIONS: list[tuple[tuple[Any, ...], str, dict[str, Any]]] = [
    (("relu",), "Relu", {}),
    (("leaky_relu", 0.1), "LeakyRelu", {"alpha": 0.1}),
    (("sigmoid",), "Sigmoid", {}),
    (("hard_sigmoid", 0.3, 0.4), "HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    (("hard_swish",), "HardSwish", {}),
    (("elu", 0.7), "Elu", {"alpha": 0.7}),
    (("gelu",), "Gelu", {}),
    (("gelu_tanh",), "Gelu", {"approximate": "tanh"}),
    (("mish",), "Mish", {}),
    (("softplus",), "Softplus", {}),
    (("tanh",), "Tanh", {}),
]


@pytest.mark.parametrize(("function", "op_type", "attributes"), ONNX_ACTIVATIONS, ids=lambda value: str(value))
def test_activation(function: tuple[Any, ...], op_type: str, attributes: dict[str, Any]) -> None:
    x = np.concatenate([image(1, 500), image(1, 20, low=-200, high=200)], axis=1)
    found = compute(lambda x: ktensor.ActivationOp(x, ktensor.ActivationAttr.of(*function)), x)
    assert_same(found, onnx_result(op_type, x, **attributes))


BY_FORMULA: list[tuple[tuple[Any, ...], Callable[[Array], Array]]] = [
    (("relu6",), lambda x: np.minimum(np.maximum(x, 0), 6)),
    (("swish",), lambda x: x / (1 + np.exp(-x))),
    (("clamp", -1.5, 2.0), lambda x: np.minimum(np.maximum(x, -1.5), 2)),
    (("clamp", -np.inf, 2.0), lambda x: np.minimum(x, 2)),
    (("fake_quantize", 0.0625, 100.0), lambda x: np.clip(np.rint(x / 0.0625), -100, 155) * 0.0625),
    (("fake_quantize", 0.0078125, 3.0), lambda x: np.clip(np.rint(x * 128), -3, 252) / 128),
    (("add", 1.5), lambda x: x + 1.5),
    (("sub", 1.5), lambda x: x - 1.5),
    (("rsub", 1.5), lambda x: 1.5 - x),
    (("mul", 1.5), lambda x: x * 1.5),
    (("div", 1.5), lambda x: x / 1.5),
    (("rdiv", 1.5), lambda x: 1.5 / x),
    (("min", 1.5), lambda x: np.minimum(x, 1.5)),
    (("max", 1.5), lambda x: np.maximum(x, 1.5)),
]


@pytest.mark.parametrize(
    ("function", "formula"), BY_FORMULA, ids=lambda value: str(value) if isinstance(value, tuple) else ""
)
def test_activation_by_formula(function: tuple[Any, ...], formula: Callable[[Array], Array]) -> None:
    x = image(1, 500)
    found = compute(lambda x: ktensor.ActivationOp(x, ktensor.ActivationAttr.of(*function)), x)
    assert_same(found, formula(x.astype(np.float64)).astype(np.float32))


def test_every_activation_is_compared() -> None:
    tested = {function[0] for function, *_ in ONNX_ACTIVATIONS} | {function[0] for function, _ in BY_FORMULA}
    assert tested | {kind.value for kind in ktensor.UnaryKind} == {kind.value for kind in ktensor.ActivationKind}


def test_activations_keep_the_precision_they_are_given() -> None:
    from kpuir.interpreters.kernels.elementwise import FUNCTIONS, apply

    for kind, names in ((kind, ktensor.ACTIVATION_PARAMETERS.get(kind, ())) for kind in ktensor.ActivationKind):
        for dtype in (np.float32, np.float64):
            assert apply(kind.value, (0.5,) * len(names), np.ones(3, dtype)).dtype == dtype
    assert apply("relu", (), np.array([-1, 2])).tolist() == [0.0, 2.0]
    assert "nonsense" not in FUNCTIONS


def test_error_function() -> None:
    import math

    from kpuir.interpreters.kernels.elementwise import erf

    x = np.linspace(-5, 5, 1001)
    np.testing.assert_allclose(erf(x), [math.erf(value) for value in x], atol=1.6e-7)


@pytest.mark.parametrize("kind", list(ktensor.BinaryKind))
@pytest.mark.parametrize("shapes", [((2, 3, 4, 5), (3, 1, 1)), ((3, 1), (1, 4)), ((), (2, 2))])
def test_binary(kind: ktensor.BinaryKind, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = image(*shapes[0]), image(*shapes[1], seed=1) + 9
    if kind == ktensor.BinaryKind.POW:
        a = np.asarray(np.abs(a))
    if kind == ktensor.BinaryKind.FLOOR_MOD:  # ONNX has it for integers only
        a, b = np.asarray(np.rint(a * 10)), np.asarray(np.rint(b))
    assert_same(compute(lambda a, b: ktensor.BinaryOp(kind, a, b), a, b), onnx_binary(kind, a, b))


def onnx_binary(kind: ktensor.BinaryKind, a: Array, b: Array) -> Array:
    """What ONNX Runtime computes, in the type of the operands."""
    if kind == ktensor.BinaryKind.FLOOR_MOD:
        return onnx_result("Mod", np.asarray(a, np.int32), np.asarray(b, np.int32)).astype(a.dtype)
    name = COMPARISONS.get(kind.value, kind.value.title())
    return onnx_result(name, a, b).astype(a.dtype)


@pytest.mark.parametrize("kind", [kind for kind in ktensor.BinaryKind if kind != ktensor.BinaryKind.POW])
def test_binary_of_integers(kind: ktensor.BinaryKind) -> None:
    a, b = np.array([-7, 7, 8, 0, 3], np.int32), np.array([2, -2, 3, 5, 3], np.int32)
    assert_same(compute(lambda a, b: ktensor.BinaryOp(kind, a, b), a, b), onnx_binary(kind, a, b))


def test_select() -> None:
    condition = np.array([[1], [0], [1]], np.float32)
    lhs, rhs = image(3, 4), image(4, seed=1)
    assert_same(compute(ktensor.SelectOp, condition, lhs, rhs), onnx_result("Where", condition != 0, lhs, rhs))


def test_binary_of_bytes() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (1, 3, 4, 4), np.uint8), rng.integers(0, 256, (3, 1, 1), np.uint8)
    ea, eb, out = (
        ktensor.QuantizedType.of(0.5, 3),
        ktensor.QuantizedType.of(0.25, 100),
        ktensor.QuantizedType.of(1.0, 7),
    )
    result = ktensor.tensor(out, (1, 3, 4, 4))
    found = on_bytes(lambda x, y: ktensor.BinaryOp("add", x, y, result_type=result), (a, ea), (b, eb))
    real = (a.astype(np.float64) - 3) * 0.5 + (b.astype(np.float64) - 100) * 0.25
    assert_same(found, np.clip(np.round(real) + 7, 0, 255).astype(np.uint8))
    assert (real % 1 == 0.5).any(), "no tie is tested"


def test_prelu() -> None:
    x, slope = image(2, 3, 4, 5), image(3, 1, 1, seed=1)
    assert_same(compute(ktensor.PReluOp, x, slope), onnx_result("PRelu", x, slope))


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_softmax(axis: int) -> None:
    x = image(2, 3, 4, 5, high=80)
    assert_same(compute(lambda x: ktensor.SoftmaxOp(x, axis), x), onnx_result("Softmax", x, axis=axis))
    expected = onnx_result("Softmax", x * np.float32(0.5), axis=axis)
    assert_same(compute(lambda x: ktensor.SoftmaxOp(x, axis, 0.5), x), expected)


def test_concat() -> None:
    a, b = image(2, 3, 4), image(2, 5, 4, seed=1)
    assert_same(compute(lambda *x: ktensor.ConcatOp(x, 1), a, b), onnx_result("Concat", a, b, axis=1))


def test_reshape_and_transpose() -> None:
    x = image(2, 3, 4, 5)
    assert_same(compute(lambda x: ktensor.ReshapeOp(x, (6, 20)), x), x.reshape(6, 20))
    for permutation in ((0, 2, 3, 1), (3, 0, 2, 1)):
        found = compute(lambda x, p=permutation: ktensor.TransposeOp(x, p), x)
        assert_same(found, onnx_result("Transpose", x, perm=permutation))


@FEW
@given(low=st.tuples(*[st.integers(0, 3)] * 3), high=st.tuples(*[st.integers(0, 3)] * 3), value=st.integers(-3, 3))
def test_pad(low: tuple[int, ...], high: tuple[int, ...], value: int) -> None:
    x = image(2, 3, 4)
    expected = onnx_result("Pad", x, np.array(low + high), np.array(value, np.float32))
    assert_same(compute(lambda x: ktensor.PadOp(x, low, high, value), x), expected)


def test_pad_of_bytes_takes_a_real_number() -> None:
    q = np.full((1, 1, 2, 2), 9, np.uint8)
    element = ktensor.QuantizedType.of(0.5, 4)
    found = on_bytes(lambda x: ktensor.PadOp(x, (0, 0, 0, 1), (0, 0, 0, 0), -1.0), (q, element))
    np.testing.assert_array_equal(found, [[[[2, 9, 9], [2, 9, 9]]]])


@FEW
@given(data=st.data())
def test_slice(data: st.DataObject) -> None:
    x = image(5, 7)
    axes: list[tuple[int, int, int]] = []
    for size in x.shape:
        step = data.draw(st.sampled_from([-3, -1, 1, 2]))
        start = data.draw(st.integers(0, size - 1))
        end = data.draw(st.integers(start + 1, size) if step > 0 else st.integers(-1, start - 1))
        axes.append((start, end, step))
    starts, ends, steps = zip(*axes, strict=True)
    onnx_ends = [end if end >= 0 else -100 for end in ends]  # ONNX counts -1 from the end
    expected = onnx_result("Slice", x, np.array(starts), np.array(onnx_ends), np.array([0, 1]), np.array(steps))
    assert_same(compute(lambda x: ktensor.SliceOp(x, starts, ends, steps), x), expected)


ONNX_COORDINATES = [mode.value for mode in ktensor.CoordinateMode if mode != "tf_half_pixel_for_nn"]


@settings(max_examples=120, deadline=None)
@given(
    size=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    mode=st.sampled_from(["nearest", "bilinear"]),
    coordinates=st.sampled_from(ONNX_COORDINATES),
    nearest=st.sampled_from([mode.value for mode in ktensor.NearestMode]),
)
def test_resize(size: tuple[int, int], mode: str, coordinates: str, nearest: str) -> None:
    x = image(1, 2, 5, 7)
    found = compute(
        lambda x: ktensor.ResizeOp(x, size, mode=mode, coordinate_mode=coordinates, nearest_mode=nearest), x
    )
    expected = onnx_result(
        "Resize",
        x,
        None,
        None,
        np.array([1, 2, *size]),
        mode="linear" if mode == "bilinear" else mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=nearest,
    )
    assert_same(found, expected)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners"])
@pytest.mark.parametrize("scales", [(1.7, 2.3), (0.6, 0.45), (1.0, 3.0)])
def test_resize_by_scales_that_do_not_come_out(mode: str, coordinates: str, scales: tuple[float, float]) -> None:
    x = image(1, 2, 5, 7)
    size = int(np.floor(5 * np.float32(scales[0]))), int(np.floor(7 * np.float32(scales[1])))
    found = compute(lambda x: ktensor.ResizeOp(x, size, mode=mode, coordinate_mode=coordinates, scales=scales), x)
    expected = onnx_result(
        "Resize",
        x,
        None,
        np.array([1, 1, *scales], np.float32),
        mode="linear" if mode == "bilinear" else mode,
        coordinate_transformation_mode=coordinates,
    )
    assert_same(found, expected)


@pytest.mark.parametrize("size", [(3, 4), (10, 14), (7, 5)])
def test_resize_for_tensorflow(size: tuple[int, int]) -> None:
    """ONNX had this mode in opset 11 and 12 only."""
    x = image(1, 2, 5, 7)
    found = compute(
        lambda x: ktensor.ResizeOp(x, size, coordinate_mode="tf_half_pixel_for_nn", nearest_mode="floor"), x
    )
    expected = onnx_result(
        "Resize",
        x,
        np.array([], np.float32),
        np.array([], np.float32),
        np.array([1, 2, *size]),
        opset=11,
        mode="nearest",
        coordinate_transformation_mode="tf_half_pixel_for_nn",
        nearest_mode="floor",
    )
    assert_same(found, expected)


def test_nearest_resize_of_bytes() -> None:
    q = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
    found = on_bytes(lambda x: ktensor.ResizeOp(x, (4, 6)), (q, ktensor.QuantizedType.of(0.5, 4)))
    assert_same(found, q.repeat(2, axis=2).repeat(2, axis=3))


def phases(x: Array, block: tuple[int, int]) -> Array:
    """The definition of space_to_batch, pixel by pixel."""
    n, c, h, w = x.shape
    out = np.zeros((n * block[0] * block[1], c, h // block[0], w // block[1]), x.dtype)
    for a, b, i in np.ndindex(*block, n):
        out[(a * block[1] + b) * n + i] = x[i, :, a :: block[0], b :: block[1]]
    return out


def test_space_to_batch_and_back() -> None:
    x, block, pads = image(2, 3, 5, 4), (2, 3), (0, 1, 1, 1)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 1)))
    found = compute(lambda x: ktensor.SpaceToBatchOp(x, block, pads), x)
    assert_same(found, phases(padded, block))
    assert_same(compute(lambda x: ktensor.BatchToSpaceOp(x, block, pads), found), x)


def test_space_to_batch_of_bytes_pads_with_the_zero_point() -> None:
    q = np.full((1, 1, 1, 1), 9, np.uint8)
    found = on_bytes(lambda x: ktensor.SpaceToBatchOp(x, (2, 1), (0, 0, 1, 0)), (q, ktensor.QuantizedType.of(0.5, 4)))
    assert found.ravel().tolist() == [9, 4]


@pytest.mark.parametrize("mode", ["dcr", "crd"])
def test_depth_to_space_and_back(mode: str) -> None:
    x = image(2, 12, 3, 5)
    found = compute(lambda x: ktensor.DepthToSpaceOp(x, 2, mode), x)
    assert_same(found, onnx_result("DepthToSpace", x, blocksize=2, mode=mode.upper()))
    assert_same(compute(lambda x: ktensor.SpaceToDepthOp(x, 2, mode), found), x)
    if mode == "dcr":
        y = image(2, 3, 4, 6)
        assert_same(compute(lambda x: ktensor.SpaceToDepthOp(x, 2), y), onnx_result("SpaceToDepth", y, blocksize=2))


def test_quantize_and_dequantize() -> None:
    element = ktensor.QuantizedType.of(0.25, 10)
    x = np.concatenate([image(1, 500, high=70), np.array([[0.125, 0.375, -0.125, 1e9, -1e9]], np.float32)], axis=1)
    found = compute(lambda x: ktensor.QuantizeOp(x, element), x)
    expected = onnx_result("QuantizeLinear", x, np.array(0.25, np.float32), np.array(10, np.uint8))
    assert_same(found, expected)
    back = on_bytes(ktensor.DequantizeOp, (found, element))
    assert_same(back, onnx_result("DequantizeLinear", found, np.array(0.25, np.float32), np.array(10, np.uint8)))


def test_quantize_parts_of_a_range() -> None:
    element = ktensor.QuantizedType.of(1 / 255, 0)
    x = np.array([[-30, -20, -10.04, 0, 3, 19.9, 20, 20.04, 33, 41]], np.float32)
    below = compute(lambda x: ktensor.QuantizeOp(x, element, -0.05), x)
    above = compute(lambda x: ktensor.QuantizeOp(x, element, 0.05, -255), x)
    expected = onnx_result("QuantizeLinear", -x, np.array(20 / 255, np.float32), np.array(0, np.uint8))
    assert_same(below, expected)
    expected = onnx_result("QuantizeLinear", x - 20, np.array(20 / 255, np.float32), np.array(0, np.uint8))
    assert_same(above, expected)


def test_observer_sees_arguments_and_results_but_no_constants() -> None:
    seen: list[tuple[SSAValue, Array]] = []
    block = Block(arg_types=[TensorType(f32, (2,))])
    constant = ktensor.ConstantOp(np.ones(2, np.float32))
    doubled = ktensor.BinaryOp("add", block.args[0], block.args[0])
    added = ktensor.BinaryOp("add", doubled, constant)
    block.add_ops([constant, doubled, added, func.ReturnOp(added)])
    module = ModuleOp([func.FuncOp("main", ([TensorType(f32, (2,))], [added.output.type]), Region(block))])
    output = run(module, [np.array([1, 2], np.float32)], observe=lambda value, array: seen.append((value, array)))
    np.testing.assert_array_equal(output[0], [3, 5])
    assert [value for value, _ in seen] == [block.args[0], doubled.output, added.output]
    assert [array.tolist() for _, array in seen] == [[1, 2], [2, 4], [3, 5]]


def test_wrong_inputs() -> None:
    module = module_of(lambda x: ktensor.UnaryOp("exp", x), TensorType(f32, (2, 3)))
    with pytest.raises(InvalidInputError, match="takes 1 inputs, but 2"):
        run(module, [image(2, 3), image(2, 3)])
    with pytest.raises(InvalidInputError, match=r"\[2, 3\].*\[3, 2\]"):
        run(module, [image(3, 2)])
    with pytest.raises(InvalidInputError, match="no function @main"):
        run(ModuleOp([]), [])


def test_operations_of_another_level() -> None:
    from xdsl.dialects.test import TestPureOp

    kinds: Sequence[Attribute] = [TensorType(f32, (2, 3))]
    module = module_of(lambda x: TestPureOp(operands=[x], result_types=[kinds[0]]), *kinds)
    with pytest.raises(InvalidInputError, match=r"test\.pureop"):
        run(module, [image(2, 3)])
