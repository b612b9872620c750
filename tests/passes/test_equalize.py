"""`kpu-equalize` changes ranges, never what a model computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp

from kpuir.dialects import kpu, ktensor
from kpuir.importers.onnx import import_onnx
from kpuir.interpreters.run import run
from kpuir.ir.functions import entry_function
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.kpu_equalize import KpuEqualizePass, pairs
from kpuir.pipelines import make_context, parse_passes, run_passes
from tests.networks import mobilenet, resnet
from tests.zoo.models import SMALL


def chain() -> onnx.ModelProto:
    """Convolutions with ReLU: 3x3, depthwise at stride 2, 1x1, depthwise, 1x1."""
    rng = np.random.default_rng(1)
    nodes, weights, name = list[onnx.NodeProto](), list[onnx.TensorProto](), "image"
    shapes = ((8, 3, 3, 3), (8, 1, 3, 3), (16, 8, 1, 1), (16, 1, 3, 3), (8, 16, 1, 1))
    for index, shape in enumerate(shapes):
        values = {f"w{index}": rng.standard_normal(shape), f"b{index}": rng.standard_normal(shape[0]) * 0.1}
        weights += [numpy_helper.from_array(value.astype(np.float32), key) for key, value in values.items()]
        pads, groups = [shape[2] // 2] * 4, shape[0] if shape[1] == 1 else 1
        strides = [2, 2] if index == 1 else [1, 1]
        nodes.append(helper.make_node("Conv", [name, *values], [f"c{index}"], pads=pads, group=groups, strides=strides))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [name := f"r{index}"]))
    ports = [
        helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 16, 16]),
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8, 8, 8]),
    ]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)


def legalized(model: onnx.ModelProto) -> ModuleOp:
    module = import_onnx(model.SerializeToString())
    run_passes(make_context(), module, parse_passes("ktensor-simplify,kpu-legalize", lambda: PIPELINES))
    return module


def largest_shares(module: ModuleOp, sample: np.ndarray) -> list[float]:
    """For each pair, how large the median channel between the two layers is, against the largest."""
    wanted = {conv.output for conv, _ in pairs(module)}
    shares: list[float] = []

    def observe(value: object, array: np.ndarray) -> None:
        if value in wanted:
            sizes = np.abs(array).max(axis=(0, 2, 3))
            shares.append(float(np.median(sizes) / sizes.max()))

    run(module, [sample], observe=observe)
    return shares


def tcn() -> onnx.ModelProto:
    """Dilated kernels: layers read several shifted copies of a map."""
    build, arguments = SMALL["tcn"]
    return build(**arguments)


@pytest.mark.parametrize("build", [chain, resnet, tcn])
def test_the_function_stays_and_channels_come_closer(tmp_path: Path, build: Callable[[], onnx.ModelProto]) -> None:
    module = legalized(build())
    rng = np.random.default_rng(0)
    for conv, _ in pairs(module):  # spread the channels out
        weight, bias = ktensor.constant_of(conv.weight), ktensor.constant_of(conv.bias)
        assert weight is not None
        assert bias is not None
        factors = np.exp(rng.normal(0, 1.5, len(bias))).astype(np.float32)
        for index, array in ((1, weight * factors[:, None, None, None]), (2, bias * factors)):
            constant = ktensor.ConstantOp(array)
            block = conv.parent
            assert block is not None
            block.insert_op_before(constant, conv)
            conv.operands[index] = constant.output
    shape = ktensor.shape_of(entry_function(module).body.block.args[0])
    samples = rng.random((4, *shape[1:])).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    before, spread = run(module, [samples[:1]])[0], largest_shares(module, samples[:1])
    KpuEqualizePass(dataset=str(tmp_path / "samples.npy")).apply(make_context(), module)
    module.verify()
    after, even = run(module, [samples[:1]])[0], largest_shares(module, samples[:1])
    assert len(spread) > 3
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())
    assert np.mean(even) > 1.3 * np.mean(spread)


def test_a_map_that_is_added_later_has_two_readers() -> None:
    found = [len(readers) for _, readers in pairs(legalized(resnet()))]
    assert max(found) == 2


def test_functions_that_are_not_homogeneous_stop_it() -> None:
    module = legalized(mobilenet())
    kinds = {f.kind for op in module.walk() if isinstance(op, kpu.Conv2dOp) for f in op.activation.data}
    assert "relu6" in kinds
    assert all(not conv.activation.data for conv, _ in pairs(module))
