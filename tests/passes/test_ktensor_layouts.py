"""Random graphs full of transposes compute the same after the passes that move them."""

from collections.abc import Callable

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from kpuir.dialects import ktensor
from kpuir.dialects.ktensor import ActivationAttr, shape_of
from kpuir.interpreters.run import run
from kpuir.ir.locations import layer_name, named
from kpuir.passes.ktensor_absorb_layouts import KTensorAbsorbLayoutsPass
from kpuir.passes.ktensor_sink_transposes import KTensorSinkTransposesPass

Rng = np.random.Generator
Put = Callable[[Operation], SSAValue]


def function(shapes: list[tuple[int, ...]], body: Callable[[Block, Put], list[SSAValue]]) -> ModuleOp:
    """A module whose @main has float32 arguments of the given shapes."""
    kinds: list[Attribute] = [TensorType(f32, shape) for shape in shapes]
    block = Block(arg_types=kinds)

    def put(op: Operation) -> SSAValue:
        block.add_op(op)
        return op.results[0]

    results = body(block, put)
    block.add_op(ReturnOp(*results))
    return ModuleOp([FuncOp("main", (kinds, [value.type for value in results]), Region(block))])


def constant(put: Put, rng: Rng, shape: tuple[int, ...]) -> SSAValue:
    return put(ktensor.ConstantOp(rng.uniform(-1, 1, shape).astype(np.float32)))


def transpose(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    return put(ktensor.TransposeOp(x, rng.permutation(len(shape_of(x))).tolist()))


def some_ones(rng: Rng, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to another: leading axes dropped, some axes 1."""
    kept = tuple(size if rng.random() < 0.5 else 1 for size in shape)
    return kept[int(rng.integers(len(shape) + 1)) :]


def binary_constant(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    operands = [x, constant(put, rng, some_ones(rng, shape_of(x)))]
    if rng.random() < 0.5:
        operands.reverse()
    return put(ktensor.BinaryOp(str(rng.choice(["add", "sub", "mul", "max"])), *operands))


def binary_gate(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    axes = rng.permutation(len(shape_of(x)))[: int(rng.integers(1, len(shape_of(x)) + 1))]
    gate = put(ktensor.ReduceOp("mean", x, sorted(axes.tolist())))
    return put(ktensor.BinaryOp("mul", x, put(ktensor.ActivationOp(gate, ActivationAttr.of("sigmoid")))))


def binary_branches(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    permutation = rng.permutation(len(shape_of(x))).tolist()
    branch = put(ktensor.TransposeOp(put(ktensor.UnaryOp("abs", x)), permutation))
    return put(ktensor.BinaryOp("sub", put(ktensor.TransposeOp(x, permutation)), branch))


def prelu(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    return put(ktensor.PReluOp(x, constant(put, rng, some_ones(rng, shape_of(x)))))


def pad(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    rank = len(shape_of(x))
    return put(ktensor.PadOp(x, rng.integers(0, 2, rank).tolist(), rng.integers(0, 2, rank).tolist(), 0.5))


def slice_(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    shape = shape_of(x)
    flips = [bool(rng.random() < 0.3) for _ in shape]
    starts = [size - 1 if flip else int(rng.integers(size)) for size, flip in zip(shape, flips, strict=True)]
    ends = [-1 if flip else size for size, flip in zip(shape, flips, strict=True)]
    return put(ktensor.SliceOp(x, starts, ends, [-1 if flip else int(rng.integers(1, 3)) for flip in flips]))


def reduce(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    rank = len(shape_of(x))
    axes = sorted(rng.permutation(rank)[: int(rng.integers(1, max(rank, 2)))].tolist())
    return put(ktensor.ReduceOp("max", x, axes, keep_dims=bool(rng.random() < 0.5 or rank < 3)))


def softmax(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    return put(ktensor.SoftmaxOp(x, int(rng.integers(len(shape_of(x)))), 0.5))


def concat(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    shape, axis = shape_of(x), int(rng.integers(len(shape_of(x))))
    more = constant(put, rng, (*shape[:axis], 2, *shape[axis + 1 :]))
    return put(ktensor.ConcatOp([x, more, put(ktensor.UnaryOp("neg", x))], axis))


def add_ones(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    shape = shape_of(x)
    if len(shape) > 4:
        return x
    at = int(rng.integers(len(shape) + 1))
    return put(ktensor.ReshapeOp(x, (*shape[:at], 1, *shape[at:])))


def drop_ones(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    del rng
    return put(ktensor.ReshapeOp(x, [size for size in shape_of(x) if size != 1] or [1]))


def dense(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    shape = shape_of(x)
    rows = (shape[0], int(np.prod(shape[1:])))
    flat = put(ktensor.ReshapeOp(x, rows))
    return put(ktensor.MatmulOp(flat, constant(put, rng, (rows[1], 6))))


def square(put: Put, rng: Rng, x: SSAValue) -> SSAValue:
    del rng
    return put(ktensor.UnaryOp("sin", x))


STEPS = (
    add_ones,
    binary_branches,
    binary_constant,
    binary_gate,
    concat,
    drop_ones,
    pad,
    prelu,
    reduce,
    slice_,
    softmax,
    square,
)


def random_graph(rng: Rng) -> ModuleOp:
    def body(block: Block, put: Put) -> list[SSAValue]:
        x = transpose(put, rng, block.args[0])
        results: list[SSAValue] = []
        for step in rng.permutation(len(STEPS))[:6].tolist():
            x = transpose(put, rng, STEPS[step](put, rng, x))
            if rng.random() < 0.2:
                results.append(x)
        results.append(x)
        if len(shape_of(x)) > 1:
            results.append(dense(put, rng, x))
        return results

    shape = tuple(rng.permutation([2, 3, 4, 1])[: int(rng.integers(3, 5))].tolist())
    return function([shape], body)


def main_of(module: ModuleOp) -> FuncOp:
    return next(op for op in module.walk() if isinstance(op, FuncOp))


def count(module: ModuleOp) -> int:
    return sum(isinstance(op, ktensor.TransposeOp) for op in module.walk())


@pytest.mark.parametrize("seed", range(80))
def test_random_graphs_compute_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    module = random_graph(rng)
    module.verify()
    types = main_of(module).function_type
    argument = main_of(module).body.block.args[0]
    x = [rng.uniform(-2, 2, shape_of(argument)).astype(np.float32)]
    before, wanted = count(module), run(module, x)
    KTensorSinkTransposesPass().apply(Context(), module)
    module.verify()
    assert main_of(module).function_type == types
    assert count(module) < before
    for ours, theirs in zip(run(module, x), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    settled = str(module)
    KTensorSinkTransposesPass().apply(Context(), module)
    assert str(module) == settled


def test_new_operations_are_named_after_the_old_ones() -> None:
    def body(block: Block, put: Put) -> list[SSAValue]:
        x = put(ktensor.TransposeOp(block.args[0], (0, 2, 3, 1)))
        relu = ktensor.ActivationOp(x, ActivationAttr.of("relu"))
        relu.location = named("block1/relu")
        return [put(relu)]

    module = function([(1, 3, 4, 5)], body)
    KTensorSinkTransposesPass().apply(Context(), module)
    layers = [layer_name(op) for op in module.walk() if isinstance(op, ktensor.ActivationOp | ktensor.TransposeOp)]
    assert layers == ["block1/relu", "block1/relu"]


def test_absorbed_layouts_are_those_of_the_arrays() -> None:
    """An NHWC model fed with transposed arrays gives transposed results."""
    rng = np.random.default_rng(0)

    def body(block: Block, put: Put) -> list[SSAValue]:
        padded = put(ktensor.PadOp(block.args[0], (0, 1, 0, 0), (0, 0, 2, 0)))
        x = put(ktensor.TransposeOp(padded, (0, 3, 1, 2)))
        y = put(ktensor.Conv2dOp(x, constant(put, rng, (2, 3, 3, 3))))
        return [put(ktensor.TransposeOp(y, (0, 2, 3, 1)))]

    module = function([(1, 5, 6, 3)], body)
    x = rng.uniform(-1, 1, (1, 5, 6, 3)).astype(np.float32)
    (wanted,) = run(module, [x])
    KTensorAbsorbLayoutsPass(outputs=True).apply(Context(), module)
    module.verify()
    assert count(module) == 0
    kinds: FunctionType = main_of(module).function_type
    assert [str(kind) for kind in (*kinds.inputs, *kinds.outputs)] == ["tensor<1x3x5x6xf32>", "tensor<1x2x4x6xf32>"]
    (planar,) = run(module, [np.ascontiguousarray(x.transpose(0, 3, 1, 2))])
    np.testing.assert_allclose(planar.transpose(0, 2, 3, 1), wanted, rtol=1e-5, atol=1e-6)
