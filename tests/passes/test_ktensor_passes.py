"""The passes of the ktensor level that fold and fuse: the same numbers before and after, in fewer operations."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from xdsl.builder import ImplicitBuilder
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, ActivationOp, BinaryOp, ConstantOp, UnaryOp
from kpuir.interpreters.run import run
from kpuir.ir.locations import layer_name, named
from kpuir.passes.ktensor_decompose_resize import KTensorDecomposeResizePass
from kpuir.passes.ktensor_fold_batch_norm import KTensorFoldBatchNormPass
from kpuir.passes.ktensor_fold_constants import KTensorFoldConstantsPass
from kpuir.passes.ktensor_fuse_activations import KTensorFuseActivationsPass
from kpuir.passes.ktensor_fuse_depth_and_space import KTensorFuseDepthAndSpacePass
from kpuir.passes.ktensor_fuse_pads import KTensorFusePadsPass

Array: TypeAlias = NDArray[Any]
Body: TypeAlias = Callable[[SSAValue], Operation]


def random(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def constant(array: Array | float) -> ConstantOp:
    return ConstantOp(np.asarray(array, np.float32))


def module_of(shape: tuple[int, ...], body: Body) -> ModuleOp:
    """A module whose @main computes `body` of one tensor."""
    block = Block(arg_types=[TensorType(f32, shape)])
    with ImplicitBuilder(block) as (x,):
        result = body(x).results[0]
        func.ReturnOp(result)
    module = ModuleOp([func.FuncOp("main", ([TensorType(f32, shape)], [result.type]), Region(block))])
    module.verify()
    return module


def names(module: ModuleOp) -> list[str]:
    """The operations that compute something, in order."""
    skipped = ("ktensor.constant", "func.func", "func.return", "builtin.module")
    return [op.name.removeprefix("ktensor.") for op in module.walk() if op.name not in skipped]


def check(
    one: ModulePass, shape: tuple[int, ...], body: Body, expected: list[str], tolerance: float = 1e-5
) -> ModuleOp:
    """Apply a pass; the result computes the same and consists of the `expected` operations."""
    module, x = module_of(shape, body), random(*shape, seed=9, low=-5, high=5)
    before = run(module, [x])[0]
    one.apply(Context(), module)
    module.verify()
    after = run(module, [x])[0]
    np.testing.assert_allclose(after, before, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(before).max())))
    assert names(module) == expected
    return module


# --- ktensor-fold-constants


def test_constants_of_every_kind_are_folded() -> None:
    def body(x: SSAValue) -> Operation:
        a = UnaryOp("sqrt", constant(random(1, 4, 4, 4, low=0)))
        b = ktensor.MaxPool2dOp(a, (2, 2), strides=(2, 2))
        quantized = ktensor.QuantizeOp(b, ktensor.QuantizedType.of(0.01, 3))
        c = ktensor.DequantizeOp(ktensor.TransposeOp(quantized, (0, 1, 3, 2)))
        return BinaryOp("add", x, ktensor.ReduceOp("mean", c, (2, 3)))

    check(KTensorFoldConstantsPass(), (1, 4, 3, 3), body, ["binary"])


def test_large_results_are_not_folded() -> None:
    def body(x: SSAValue) -> Operation:
        return BinaryOp("add", x, UnaryOp("exp", constant(random(4, 4))))

    check(KTensorFoldConstantsPass(max_elements=15), (4, 4), body, ["unary", "binary"])
    check(KTensorFoldConstantsPass(max_elements=16), (4, 4), body, ["binary"])


# --- ktensor-fold-batch-norm

AFFINE: list[tuple[str, bool]] = [
    ("add", False),
    ("add", True),
    ("sub", False),
    ("sub", True),
    ("mul", False),
    ("mul", True),
    ("div", False),
]


def chain(x: Operation | SSAValue, steps: list[tuple[str, bool]], shape: tuple[int, ...]) -> Operation:
    """Scales and shifts of `x`, one after the other; `True` has the constant on the left."""
    result = x
    for seed, (kind, reversed_) in enumerate(steps):
        values = constant(random(*shape, seed=seed, low=0.5) * (-1 if seed % 2 else 1))
        result = BinaryOp(kind, values, result) if reversed_ else BinaryOp(kind, result, values)
    assert isinstance(result, Operation)
    return result


CHANNEL_SHAPES = st.sampled_from([(1, 6, 1, 1), (6, 1, 1), (1,), (), (1, 1, 1, 1)])
STEPS = st.lists(st.sampled_from(AFFINE), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS, shape=CHANNEL_SHAPES, groups=st.sampled_from([1, 2]), bias=st.booleans())
def test_chains_behind_convolutions(
    steps: list[tuple[str, bool]], shape: tuple[int, ...], groups: int, bias: bool
) -> None:
    def conv(x: SSAValue) -> Operation:
        weight, shift = constant(random(6, 4 // groups, 3, 3)), constant(random(6)) if bias else None
        return chain(ktensor.Conv2dOp(x, weight, shift, pads=(1, 1, 1, 1), groups=groups), steps, shape)

    def transposed(x: SSAValue) -> Operation:
        weight, shift = constant(random(4, 6 // groups, 3, 3)), constant(random(6)) if bias else None
        return chain(ktensor.Conv2dTransposeOp(x, weight, shift, strides=(2, 2), groups=groups), steps, shape)

    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), conv, ["conv2d"])
    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), transposed, ["conv2d_transpose"])


@settings(max_examples=10, deadline=None)
@given(steps=STEPS, shape=st.sampled_from([(6,), (1, 6), (1,), ()]), bias=st.booleans())
def test_chains_behind_matrix_products(steps: list[tuple[str, bool]], shape: tuple[int, ...], bias: bool) -> None:
    def body(x: SSAValue) -> Operation:
        return chain(ktensor.MatmulOp(x, constant(random(8, 6)), constant(random(6)) if bias else None), steps, shape)

    check(KTensorFoldBatchNormPass(), (3, 8), body, ["matmul"])


@settings(max_examples=10, deadline=None)
@given(steps=STEPS, groups=st.sampled_from([1, 2]))
def test_chains_before(steps: list[tuple[str, bool]], groups: int) -> None:
    def conv(x: SSAValue) -> Operation:
        return ktensor.Conv2dOp(chain(x, steps, (4, 1, 1)), constant(random(6, 4 // groups, 3, 3)), groups=groups)

    def matmul(x: SSAValue) -> Operation:
        return ktensor.MatmulOp(chain(x, steps, (1, 8)), constant(random(8, 6)))

    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), conv, ["conv2d"])
    check(KTensorFoldBatchNormPass(), (3, 8), matmul, ["matmul"])


def test_before_padding_only_scaling_is_exact() -> None:
    def scaled(x: SSAValue) -> Operation:
        y = BinaryOp("mul", x, constant(random(4, 1, 1)))
        return ktensor.Conv2dOp(y, constant(random(6, 4, 3, 3)), pads=(1, 1, 1, 1))

    def shifted(x: SSAValue) -> Operation:
        y = BinaryOp("add", x, constant(random(4, 1, 1)))
        return ktensor.Conv2dOp(y, constant(random(6, 4, 3, 3)), pads=(0, 0, 0, 1))

    def transposed(x: SSAValue) -> Operation:
        y = BinaryOp("add", BinaryOp("mul", x, constant(random(4, 1, 1))), constant(1.0))
        return ktensor.Conv2dTransposeOp(y, constant(random(4, 6, 3, 3)))

    def transposed_scaled(x: SSAValue) -> Operation:
        y = BinaryOp("mul", x, constant(random(4, 1, 1)))
        return ktensor.Conv2dTransposeOp(y, constant(random(4, 3, 3, 3)), groups=2)

    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), scaled, ["conv2d"])
    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), shifted, ["binary", "conv2d"])
    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), transposed, ["binary", "binary", "conv2d_transpose"])
    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), transposed_scaled, ["conv2d_transpose"])


@pytest.mark.parametrize("variance", [1e-6, 1.0, 1e6])
def test_any_variance_and_sign(variance: float) -> None:
    scale = random(6, 1, 1) / np.sqrt(variance)
    scale[2] = 0.0

    def body(x: SSAValue) -> Operation:
        y = BinaryOp("mul", ktensor.Conv2dOp(x, constant(random(6, 4, 1, 1))), constant(scale))
        return BinaryOp("add", y, constant(random(6, 1, 1)))

    check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), body, ["conv2d"])


def test_what_is_not_folded() -> None:
    weight = random(6, 4, 1, 1)

    def grows(x: SSAValue) -> Operation:
        return BinaryOp("add", ktensor.Conv2dOp(x, constant(weight)), constant(random(2, 6, 1, 1)))

    def columns(x: SSAValue) -> Operation:
        return BinaryOp("add", ktensor.Conv2dOp(x, constant(weight)), constant(random(6)))

    def zero(x: SSAValue) -> Operation:
        return BinaryOp("div", ktensor.Conv2dOp(x, constant(weight)), constant(np.zeros(1)))

    def reciprocal(x: SSAValue) -> Operation:
        return BinaryOp("div", constant(1.0), ktensor.Conv2dOp(x, constant(weight)))

    def used_twice(x: SSAValue) -> Operation:
        conv = ktensor.Conv2dOp(x, constant(weight))
        return BinaryOp("mul", BinaryOp("add", conv, constant(1.0)), conv)

    for body, count in ((grows, 1), (columns, 1), (reciprocal, 1), (used_twice, 2)):
        check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), body, ["conv2d", *["binary"] * count])
    module = module_of((1, 4, 5, 6), zero)
    KTensorFoldBatchNormPass().apply(Context(), module)
    assert names(module) == ["conv2d", "binary"]


def test_folded_layers_keep_their_names() -> None:
    def body(x: SSAValue) -> Operation:
        conv = ktensor.Conv2dOp(x, constant(random(6, 4, 1, 1)))
        conv.location = named("conv1")
        norm = BinaryOp("mul", conv, constant(2.0))
        norm.location = named("bn1")
        return norm

    module = check(KTensorFoldBatchNormPass(), (1, 4, 5, 6), body, ["conv2d"])
    assert [layer_name(op) for op in module.walk() if op.name == "ktensor.conv2d"] == ["conv1+bn1"]


# --- ktensor-fuse-depth-and-space


def phases(x: SSAValue, order: tuple[int, ...], block: int = 2) -> Operation:
    """Every `block`-th pixel of x, from each pixel of the first block that `order` names."""
    _, c, h, w = ktensor.shape_of(x)
    return ktensor.ConcatOp(
        [ktensor.SliceOp(x, (0, 0, *divmod(one, block)), (1, c, h, w), (1, 1, block, block)).output for one in order],
        1,
    )


def shuffled(x: SSAValue, split: tuple[int, ...], order: tuple[int, ...], joined: tuple[int, ...]) -> Operation:
    return ktensor.ReshapeOp(ktensor.TransposeOp(ktensor.ReshapeOp(x, split), order), joined)


REORDERED = ["space_to_depth", *["slice"] * 4, "concat"]
SPELLED_OUT: dict[str, tuple[Body, list[str]]] = {
    "dcr": (lambda x: phases(x, (0, 1, 2, 3)), ["space_to_depth"]),
    "focus": (lambda x: phases(x, (0, 2, 1, 3)), REORDERED),
    "3x3": (lambda x: phases(x, tuple(range(9)), 3), ["space_to_depth"]),
    "one phase twice": (lambda x: phases(x, (0, 1, 2, 2)), [*["slice"] * 4, "concat"]),
    "three": (lambda x: phases(x, (0, 1, 2)), [*["slice"] * 3, "concat"]),
    "unshuffle": (
        lambda x: shuffled(x, (1, 8, 3, 2, 6, 2), (0, 1, 3, 5, 2, 4), (1, 32, 3, 6)),
        ["space_to_depth"],
    ),
    "unshuffle dcr": (
        lambda x: shuffled(x, (1, 8, 2, 3, 4, 3), (0, 3, 5, 1, 2, 4), (1, 72, 2, 4)),
        ["space_to_depth"],
    ),
    "shuffle": (lambda x: shuffled(x, (1, 2, 2, 2, 6, 12), (0, 1, 4, 2, 5, 3), (1, 2, 12, 24)), ["depth_to_space"]),
    "shuffle dcr": (lambda x: shuffled(x, (1, 2, 2, 2, 6, 12), (0, 3, 4, 1, 5, 2), (1, 2, 12, 24)), ["depth_to_space"]),
    "rows and columns by different numbers": (
        lambda x: shuffled(x, (1, 2, 1, 4, 6, 12), (0, 1, 4, 2, 5, 3), (1, 2, 6, 48)),
        ["reshape", "transpose", "reshape"],
    ),
    "columns first": (
        lambda x: shuffled(x, (1, 8, 3, 2, 6, 2), (0, 1, 5, 3, 2, 4), (1, 32, 3, 6)),
        ["reshape", "transpose", "reshape"],
    ),
}


@pytest.mark.parametrize("case", SPELLED_OUT)
def test_pixels_that_become_channels_do_so_in_one_step(case: str) -> None:
    body, expected = SPELLED_OUT[case]
    check(KTensorFuseDepthAndSpacePass(), (1, 8, 6, 12), body, expected)


# --- ktensor-decompose-resize


@pytest.mark.parametrize("size", [(30, 37), (20, 25), (90, 111)])
def test_large_resizes_are_products_in_blocks(size: tuple[int, int]) -> None:
    """As exact as one product with the whole matrix, in a fraction of its multiplications."""
    height, width = size
    module = module_of((1, 2, 40, 50), lambda x: ktensor.ResizeOp(x, size, mode="bilinear"))
    x = random(1, 2, 40, 50)
    expected = run(module, [x])[0]
    KTensorDecomposeResizePass().apply(Context(), module)
    np.testing.assert_allclose(run(module, [x])[0], expected, atol=1e-6)
    products = [op for op in module.walk() if isinstance(op, ktensor.MatmulOp)]
    multiplications = sum(
        np.prod(ktensor.shape_of(op.lhs)) * ktensor.shape_of(op.output)[1] for op in products if len(products) > 2
    )
    assert 0 < multiplications < 0.4 * 2 * (40 * 50 * width + width * 40 * height)


# --- ktensor-fuse-pads


def pad(x: SSAValue | Operation, value: float = 0.0, sides: tuple[int, ...] = (1, 0, 1, 2)) -> ktensor.PadOp:
    top, left, bottom, right = sides
    return ktensor.PadOp(x, (0, 0, top, left), (0, 0, bottom, right), value)


def relu(x: SSAValue | Operation) -> ActivationOp:
    return ActivationOp(x, ActivationAttr.of("relu"))


WEIGHT = random(6, 4, 3, 3)
FUSED: list[Body] = [
    lambda x: ktensor.Conv2dOp(pad(x), constant(WEIGHT), constant(random(6)), pads=(0, 1, 0, 0), strides=(2, 1)),
    lambda x: ktensor.AveragePool2dOp(pad(x), (3, 3), strides=(2, 2)),
    lambda x: ktensor.AveragePool2dOp(pad(x), (3, 4), pads=(1, 1, 0, 0), count_include_pad=True),
    lambda x: ktensor.MaxPool2dOp(pad(relu(x)), (2, 3)),
    lambda x: ktensor.MaxPool2dOp(pad(x, -np.inf), (2, 3)),
    lambda x: ktensor.MaxPool2dOp(pad(ktensor.TransposeOp(ktensor.SoftmaxOp(x, 1), (0, 1, 3, 2)), -1.0), (2, 3)),
    lambda x: ktensor.MaxPool2dOp(pad(ktensor.ConcatOp([relu(x), UnaryOp("abs", x)], 1)), (2, 3), pads=(0, 1, 0, 0)),
]
NOT_FUSED: list[Body] = [
    lambda x: ktensor.Conv2dOp(pad(x, 1.0), constant(WEIGHT)),
    lambda x: ktensor.Conv2dOp(ktensor.PadOp(x, (0, 1, 0, 0), (0, 0, 0, 0)), constant(random(6, 5, 3, 3))),
    lambda x: ktensor.AveragePool2dOp(pad(x), (3, 3), pads=(1, 1, 1, 0)),
    lambda x: ktensor.AveragePool2dOp(pad(x, 1.0), (3, 3)),
    lambda x: ktensor.AveragePool2dOp(pad(x), (2, 2)),
    lambda x: ktensor.MaxPool2dOp(pad(x), (2, 3)),
    lambda x: ktensor.MaxPool2dOp(pad(relu(x), 0.5), (2, 3)),
    lambda x: ktensor.MaxPool2dOp(pad(ktensor.AveragePool2dOp(x, (2, 2)), -0.5), (2, 3)),
    lambda x: ktensor.MaxPool2dOp(pad(relu(x)), (2, 3), dilations=(2, 1)),
]


@pytest.mark.parametrize("body", FUSED)
def test_pads_are_fused(body: Body) -> None:
    expected = [name for name in names(module_of((1, 4, 5, 6), body)) if name != "pad"]
    check(KTensorFusePadsPass(), (1, 4, 5, 6), body, expected)


@pytest.mark.parametrize("body", NOT_FUSED)
def test_pads_that_have_to_stay(body: Body) -> None:
    check(KTensorFusePadsPass(), (1, 4, 5, 6), body, names(module_of((1, 4, 5, 6), body)))


# --- ktensor-fuse-activations


def act(x: SSAValue | Operation, kind: str, *params: float) -> ActivationOp:
    return ActivationOp(x, ActivationAttr.of(kind, *params))


def op(kind: str, lhs: SSAValue | Operation | float, rhs: SSAValue | Operation | float) -> BinaryOp:
    """A binary op; numbers become constants."""
    return BinaryOp(kind, _operand(lhs), _operand(rhs))


def _operand(side: SSAValue | Operation | float) -> SSAValue | Operation:
    return side if isinstance(side, SSAValue | Operation) else constant(side)


def relu6_shifted(x: SSAValue) -> Operation:
    return op("min", op("max", op("add", x, 3.0), 0.0), 6.0)


def softplus(x: SSAValue) -> Operation:
    return UnaryOp("log", op("add", 1.0, UnaryOp("exp", x)))


NAMED: list[tuple[Body, tuple[Any, ...]]] = [
    (lambda x: op("max", x, 0.0), ("relu",)),
    (lambda x: act(x, "max", 0.0), ("relu",)),
    (lambda x: op("min", op("max", 0.0, x), 6.0), ("relu6",)),
    (lambda x: op("max", op("min", x, 6.0), 0.0), ("relu6",)),
    (lambda x: op("min", act(x, "relu"), 6.0), ("relu6",)),
    (lambda x: act(x, "clamp", 0.0, 6.0), ("relu6",)),
    (lambda x: op("min", op("max", x, -1.0), 2.0), ("clamp", -1.0, 2.0)),
    (lambda x: op("min", op("max", x, 3.0), 2.0), ("clamp", 2.0, 2.0)),
    (lambda x: op("max", x, op("mul", 0.25, x)), ("leaky_relu", 0.25)),
    (lambda x: op("max", op("div", x, 4.0), x), ("leaky_relu", 0.25)),
    (lambda x: op("min", op("mul", x, 2.0), x), ("leaky_relu", 2.0)),
    (lambda x: op("mul", x, act(x, "sigmoid")), ("swish",)),
    (lambda x: op("mul", act(x, "sigmoid"), x), ("swish",)),
    (lambda x: op("div", relu6_shifted(x), 6.0), ("hard_sigmoid", 1 / 6, 0.5)),
    (lambda x: op("min", op("max", op("add", op("mul", x, 0.2), 0.5), 0.0), 1.0), ("hard_sigmoid", 0.2, 0.5)),
    (lambda x: act(op("sub", x, 0.5), "clamp", 0.0, 1.0), ("hard_sigmoid", 1.0, -0.5)),
    (lambda x: op("mul", x, op("div", relu6_shifted(x), 6.0)), ("hard_swish",)),
    (lambda x: op("div", op("mul", x, relu6_shifted(x)), 6.0), ("hard_swish",)),
    (lambda x: op("mul", op("mul", x, relu6_shifted(x)), 1 / 6), ("hard_swish",)),
    (lambda x: op("mul", op("mul", x, 1 / 6), relu6_shifted(x)), ("hard_swish",)),
    (lambda x: op("mul", act(x, "hard_sigmoid", 1 / 6, 0.5), x), ("hard_swish",)),
    (softplus, ("softplus",)),
    (lambda x: op("mul", x, UnaryOp("tanh", softplus(x))), ("mish",)),
    (lambda x: op("mul", act(act(x, "softplus"), "tanh"), x), ("mish",)),
]


@pytest.mark.parametrize(("body", "function"), NAMED)
def test_functions_get_their_names(body: Body, function: tuple[Any, ...]) -> None:
    module = check(KTensorFuseActivationsPass(), (1, 4, 50), body, ["activation"])
    found = next(op for op in module.walk() if isinstance(op, ActivationOp)).function
    assert found.kind == function[0]
    assert found.values == pytest.approx(function[1:], rel=1e-6)


UNNAMED: list[Body] = [
    lambda x: op("add", x, 1.0),
    lambda x: op("min", x, 6.0),
    lambda x: op("mul", op("max", x, 1.0), 2.0),
    lambda x: op("max", x, op("mul", x, 2.0)),
    lambda x: op("max", x, op("mul", x, -0.5)),
    lambda x: op("min", x, op("mul", x, 0.5)),
    lambda x: op("mul", x, act(op("mul", x, 1.7), "sigmoid")),
    lambda x: op("mul", x, act(x, "hard_sigmoid", 0.2, 0.5)),
    lambda x: UnaryOp("log", op("add", UnaryOp("exp", x), 2.0)),
    lambda x: op("max", x, constant(np.zeros((2, 1, 50)))),
]


@pytest.mark.parametrize("body", UNNAMED)
def test_functions_without_a_name_stay(body: Body) -> None:
    check(KTensorFuseActivationsPass(), (1, 1, 50), body, names(module_of((1, 1, 50), body)))


def test_x_may_be_a_product_itself() -> None:
    def body(x: SSAValue) -> Operation:
        product = op("mul", x, UnaryOp("abs", x))
        return op("mul", product, act(product, "sigmoid"))

    check(KTensorFuseActivationsPass(), (1, 50), body, ["unary", "binary", "activation"])
