"""Small ONNX models for tests, and the comparison of an imported one with ONNX Runtime."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto
from xdsl.dialects.builtin import ModuleOp

from kpuir.dialects.ktensor import shape_of
from kpuir.importers.onnx import import_onnx

Array = NDArray[Any]


def floats(values: Any) -> Array:
    """A float32 array."""
    return np.array(values, np.float32)


def node(op_type: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    """A node named after its op and first output."""
    name = attributes.pop("node_name", f"{op_type.lower()}_{outputs[0]}")
    return onnx.helper.make_node(op_type, list(inputs), list(outputs), name=name, **attributes)


def net(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 13,
    element: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of the nodes; constants are initializers."""
    graph = onnx.helper.make_graph(
        list(nodes),
        "net",
        [onnx.helper.make_tensor_value_info(name, element, list(shape)) for name, shape in inputs.items()],
        [onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def feeds(model: onnx.ModelProto, seed: int = 0) -> dict[str, Array]:
    """Random values in -2..2 for every input that is fed; a symbolic size is 1."""
    generator = np.random.default_rng(seed)
    names = {tensor.name for tensor in model.graph.initializer}
    values: dict[str, Array] = {}
    for value in model.graph.input:
        if value.name in names:
            continue
        tensor = value.type.tensor_type
        shape = [dimension.dim_value or 1 for dimension in tensor.shape.dim]
        array = generator.uniform(-2, 2, shape)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        values[value.name] = (generator.integers(0, 256, shape) if dtype == np.uint8 else array).astype(dtype)
    return values


def runtime(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs of ONNX Runtime, without its own fusions."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, dict(inputs))]


def interpret(module: ModuleOp, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of the float interpreter; pictures without a batch have one there."""
    from kpuir.interpreters.run import run
    from kpuir.ir.functions import entry_function

    arguments = entry_function(module).body.block.args
    given = [np.asarray(value, np.float32) for value in inputs]
    ones = [(1,) * (len(shape_of(one)) - value.ndim) for one, value in zip(arguments, given, strict=True)]
    return run(module, [value.reshape((*one, *value.shape)) for one, value in zip(ones, given, strict=True)])


def compare(model: onnx.ModelProto, tolerance: float = 1e-5, seed: int = 0) -> ModuleOp:
    """Import a model and require the same outputs as ONNX Runtime, relative to the largest; returns the module."""
    inputs = feeds(model, seed)
    expected = runtime(model, inputs)
    module = import_onnx(model.SerializeToString())
    actual = interpret(module, list(inputs.values()))
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.shape == theirs.shape
        scale = max(1.0, float(np.max(np.abs(theirs))))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)
    return module


def op_names(module: ModuleOp) -> list[str]:
    """The names of the ktensor ops in their order, constants left out, without the dialect."""
    names = [op.name for op in module.walk() if op.name.startswith("ktensor.")]
    return [name.removeprefix("ktensor.") for name in names if name != "ktensor.constant"]
