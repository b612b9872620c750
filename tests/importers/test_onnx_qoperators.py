"""Models quantized by ONNX Runtime's static quantizer, and the ops of its own domain that it writes."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnxruntime.quantization as quantizer
import pytest
from onnx import TensorProto
from onnxruntime.quantization import QuantFormat, QuantType

import kpuir
from kpuir import onnx_backend
from kpuir.errors import UnsupportedError
from kpuir.importers.onnx.ops.qoperators import TABLE
from tests.importers.nets import Array, floats, net, node, runtime
from tests.importers.test_onnx_graph import small_net

MAP = (1, 4, 6, 5)
SCALE: dict[str, Any] = {"s": np.float32(0.021), "z": 120}
RESULT: dict[str, Any] = {"rs": np.float32(0.0173), "rz": 101}
SECOND: dict[str, Any] = {"b": np.random.default_rng(5).integers(0, 256, MAP), "bs": np.float32(0.013), "bz": 90}
MATRIX = np.random.default_rng(6).integers(0, 256, (5, 3))

OPERANDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # what comes behind the input "x", floats being scales and integers codes; attributes
    "QLinearAdd": ({**SCALE, **SECOND, **RESULT}, {}),
    "QLinearMul": ({**SCALE, **SECOND, **RESULT}, {}),
    "QLinearLeakyRelu": ({**SCALE, **RESULT}, {"alpha": 0.2}),
    "QLinearSigmoid": ({**SCALE, "rs": np.float32(1 / 256), "rz": 0}, {}),
    "QLinearSoftmax": ({**SCALE, "rs": np.float32(1 / 256), "rz": 0}, {"axis": 3, "opset": 13}),
    "QLinearAveragePool": ({**SCALE, **RESULT}, {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 1, 0, 1]}),
    "QLinearGlobalAveragePool": ({**SCALE, **RESULT}, {}),
    "QLinearConcat": ({**SCALE, **SECOND}, {"axis": 1}),
    "QLinearWhere": ({**SCALE, **SECOND, **RESULT}, {}),
    "QGemm": ({**SCALE, "b": MATRIX, "bs": floats([0.013, 0.02, 0.01]), "bz": np.full(3, 128), "c": [9, -500, 80]}, {}),
    "DequantizeLinear": (SCALE, {}),
    "QuantizeLinear": (SCALE, {}),
}


def model_of(op_type: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model of one node on codes, and what to feed it."""
    constants, attributes = OPERANDS[op_type]
    shape = (4, 5) if op_type == "QGemm" else MAP
    x = np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)
    fed: dict[str, Array] = {"x": x if op_type != "QuantizeLinear" else x.astype(np.float32)}
    order = ["x", *constants]
    if op_type == "QLinearConcat":
        constants = {**constants, **RESULT}
        order = ["rs", "rz", *order]
    if op_type == "QLinearWhere":
        fed = {"when": x > 100, **fed}
        order.insert(0, "when")
    if op_type == "QGemm":
        constants = {**constants, **RESULT}
        order += ["rs", "rz"]
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    arrays = {name: array.astype(np.int32 if name == "c" else np.uint8) if array.dtype.kind == "i" else array
              for name, array in arrays.items()}  # fmt: skip
    node = onnx.helper.make_node(op_type, order, ["y"], "layer", domain="com.microsoft", **attributes)
    element = TensorProto.FLOAT if op_type == "DequantizeLinear" else TensorProto.UINT8
    graph = onnx.helper.make_graph(
        [node],
        "quantized",
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in fed.items()
        ],
        [onnx.helper.make_tensor_value_info("y", element, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid("com.microsoft", 1)]
    )
    model.ir_version = 8
    return model, fed


@pytest.mark.parametrize("op_type", OPERANDS)
def test_op(op_type: str) -> None:
    model, fed = model_of(op_type)
    (expected,) = runtime(model, fed)
    (found,) = onnx_backend.run_model(model, list(fed.values()))
    assert found.dtype == expected.dtype
    difference = np.abs(found.astype(np.float64) - expected)
    assert difference.max() <= (1e-5 if op_type == "DequantizeLinear" else 1)
    assert (difference > 1e-5).mean() < 0.02  # ONNX Runtime rounds some sums before they are complete


def test_every_op_is_compared() -> None:
    # of QLinearReduceMean ONNX Runtime has a definition, but no implementation
    assert {name.split("::")[1] for name in TABLE} - {"QLinearReduceMean"} == OPERANDS.keys()


def test_maps_with_channels_last_are_refused() -> None:
    model, _ = model_of("QLinearGlobalAveragePool")
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("channels_last", 1))
    with pytest.raises(UnsupportedError, match="channels_last = 1"):
        onnx_backend.run_model(model, [np.zeros(MAP, np.uint8)])


class Samples(quantizer.CalibrationDataReader):
    """Samples for the quantizer."""

    def __init__(self, samples: list[dict[str, Array]]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> Any:
        """The next one, None at the end."""
        return next(self._samples, None)


SAMPLES = [{"x": np.random.default_rng(seed).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)} for seed in range(3)]


def quantized(folder: Path, quantize: Callable[..., None], *arguments: Any, **options: Any) -> Path:
    """A small network in `float.onnx`, and what one of the quantizer's functions makes of it."""
    onnx.save(small_net(13), folder / "float.onnx")
    logging.disable(logging.WARNING)
    quantize(folder / "float.onnx", folder / "quantized.onnx", *arguments, **options)
    logging.disable(logging.NOTSET)
    return folder / "quantized.onnx"


@pytest.mark.parametrize("style", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("activations", [QuantType.QUInt8, QuantType.QInt8])
def test_a_quantized_network(style: QuantFormat, activations: QuantType, tmp_path: Path) -> None:
    """Its scales are kept: every code is ONNX Runtime's, and no dataset is needed."""
    options = {"activation_type": activations, "reduce_range": True}
    path = quantized(tmp_path, quantizer.quantize_static, Samples(SAMPLES), style, **options)
    model = onnx.load(path)
    (expected,) = runtime(model, SAMPLES[0])
    (found,) = onnx_backend.run_model(model, [SAMPLES[0]["x"]])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    result = kpuir.compile(path)
    assert result.report.kpu_layers >= 10
    assert np.abs(result.run(SAMPLES[0])["y"] - expected).max() < 1 / 128


def test_codes_of_16_bits_are_limits_only(tmp_path: Path) -> None:
    """Their steps are finer than those of a kmodel, so none is rounded to."""
    options = {"activation_type": QuantType.QUInt16}
    path = quantized(tmp_path, quantizer.quantize_static, Samples(SAMPLES), QuantFormat.QDQ, **options)
    (expected,) = runtime(onnx.load(path), SAMPLES[0])
    (found,) = onnx_backend.run_model(onnx.load(path), [SAMPLES[0]["x"]])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    both = [kpuir.compile(one, dataset=SAMPLES).report for one in (tmp_path / "float.onnx", path)]
    assert sum(both[1].cpu_ops.values()) <= sum(both[0].cpu_ops.values()) + 4  # limits of the input and the output


def test_a_dynamically_quantized_network_is_a_float_one(tmp_path: Path) -> None:
    """Its scales are those of each input; the weights are its own, and no rounding is left for the CPU."""
    path = quantized(tmp_path, quantizer.quantize_dynamic, weight_type=QuantType.QUInt8)
    assert any(one.op_type == "DynamicQuantizeLinear" for one in onnx.load(path).graph.node)
    (expected,) = runtime(onnx.load(path), SAMPLES[0])
    (found,) = onnx_backend.run_model(onnx.load(path), [SAMPLES[0]["x"]])
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    both = [kpuir.compile(one, dataset=SAMPLES).report for one in (tmp_path / "float.onnx", path)]
    assert both[0].kpu_layers == both[1].kpu_layers
    assert both[0].cpu_ops == both[1].cpu_ops


def test_dynamic_codes_that_are_looked_at_are_codes() -> None:
    nodes = [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), node("Mul", ["s", "s"], ["y"])]
    model = net(nodes, {"x": [2, 3]}, outputs=("q", "y"))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    x = np.array([[-1.0, 0.3, 2], [0.7, 1.1, 0]], np.float32)
    for ours, theirs in zip(onnx_backend.run_model(model, [x]), runtime(model, {"x": x}), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
