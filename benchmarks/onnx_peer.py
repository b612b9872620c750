"""ONNX Runtime's own 8 bits as a peer: a `ktensor` module as an ONNX model, quantized statically and run.

Only the operations of the networks that the benchmarks measure are exported.
"""

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from kpuir.dialects import ktensor
from kpuir.importers import import_model
from kpuir.ir.functions import entry_function
from kpuir.named_pipelines import PIPELINES
from kpuir.passes.dataset_pass import dataset_inputs
from kpuir.pipelines import make_context, parse_passes, run_passes

Array = NDArray[Any]
Runner = Callable[[Array], list[Array]]


def simplified(path: Path) -> ModuleOp:
    """A model at the `ktensor` level, images NCHW."""
    module = import_model(path)
    run_passes(make_context(), module, parse_passes("ktensor-simplify", lambda: PIPELINES))
    return module


def as_onnx(module: ModuleOp) -> onnx.ModelProto:
    """A module as an ONNX model of opset 17. Raises NotImplementedError for an operation it does not know."""
    block = entry_function(module).body.block
    names: dict[SSAValue, str] = {value: f"in{index}" for index, value in enumerate(block.args)}
    constants: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    results: Sequence[SSAValue] = ()
    for index, op in enumerate(block.ops):
        if isinstance(op, func.ReturnOp):
            results = op.operands
            continue
        names[op.results[0]] = name = f"v{index}"
        if isinstance(op, ktensor.ConstantOp):
            constants.append(numpy_helper.from_array(op.array, name))
            continue
        kind, attributes, extra = _node(op)
        for number, array in enumerate(extra):
            constants.append(numpy_helper.from_array(array, f"{name}.{number}"))
        inputs = [*(names[value] for value in op.operands), *(f"{name}.{number}" for number in range(len(extra)))]
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    ports = [
        [helper.make_tensor_value_info(names[value], onnx.TensorProto.FLOAT, ktensor.shape_of(value)) for value in side]
        for side in (block.args, results)
    ]
    graph = helper.make_graph(nodes, "main", ports[0], ports[1], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _node(op: Operation) -> tuple[str, dict[str, Any], list[Array]]:
    """The type and attributes of the node for an operation, and the constants it takes besides its operands."""
    match op:
        case ktensor.Conv2dOp():
            window = {"strides": op.strides, "pads": op.pads, "dilations": op.dilations}
            attributes = {name: list(value.get_values()) for name, value in window.items()}
            return "Conv", {**attributes, "group": op.group_count}, []
        case ktensor.MatmulOp() if len(ktensor.shape_of(op.lhs)) == len(ktensor.shape_of(op.rhs)) == 2:
            return "Gemm", {}, []
        case ktensor.AveragePool2dOp():
            window = {"kernel_shape": op.kernel_shape, "strides": op.strides, "pads": op.pads}
            attributes = {name: list(value.get_values()) for name, value in window.items()}
            return "AveragePool", {**attributes, "count_include_pad": int(op.counts_padding)}, []
        case ktensor.ActivationOp() if op.function.kind is ktensor.ActivationKind.RELU:
            return "Relu", {}, []
        case ktensor.BinaryOp():
            return op.kind.data.value.capitalize(), {}, []
        case ktensor.SoftmaxOp() if op.beta.value.data == 1:
            return "Softmax", {"axis": op.axis.value.data}, []
        case ktensor.ConcatOp():
            return "Concat", {"axis": op.axis.value.data}, []
        case ktensor.TransposeOp():
            return "Transpose", {"perm": list(op.permutation.get_values())}, []
        case ktensor.ReshapeOp():
            return "Reshape", {}, [np.array(ktensor.shape_of(op.output), np.int64)]
        case _:
            raise NotImplementedError(f"no ONNX node for {op.name}")


class _Samples(CalibrationDataReader):
    """Samples of the one input, in ONNX Runtime's form of a calibration dataset."""

    def __init__(self, name: str, samples: Sequence[Array]) -> None:
        self._feeds = iter([{name: sample} for sample in samples])

    def get_next(self) -> Any:
        """The next sample, then None."""
        return next(self._feeds, None)


def runners(path: Path, calibration: Array) -> tuple[Runner, Runner]:
    """A .onnx or .tflite file of one input in float and in 8 bits, as functions of a sample in the model's own layout.

    Activations are uint8, weights int8 for each channel, ranges the smallest and largest values. What a quantized
    model computes is taken from its QuantizeLinear and DequantizeLinear as they stand: the kernels that are otherwise
    made of them were less exact.
    """
    logging.getLogger().setLevel(logging.ERROR)  # it recommends what is being done
    module = simplified(path)
    channels_last = dataset_inputs(module)[0].layout == "NHWC"

    def arranged(sample: Array) -> Array:
        return np.ascontiguousarray(sample.transpose(0, 3, 1, 2)) if channels_last else sample

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = as_onnx(module)
        onnx.save(model, folder / "float.onnx")
        quant_pre_process(folder / "float.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
        quantize_static(
            folder / "prepared.onnx",
            folder / "8bits.onnx",
            _Samples(model.graph.input[0].name, [arranged(sample) for sample in calibration]),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        exact, rounded = _session(folder / "float.onnx"), _session(folder / "8bits.onnx")
    return lambda sample: exact(arranged(sample)), lambda sample: rounded(arranged(sample))


def _session(path: Path) -> Runner:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda sample: [np.asarray(result) for result in session.run(None, {name: sample})]
