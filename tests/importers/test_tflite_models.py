"""Whole TFLite models against LiteRT, as imported and after the transposes are gone."""

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from kpuir.dialects import ktensor
from kpuir.importers.tflite import import_tflite
from kpuir.interpreters.run import run
from kpuir.ir.locations import layer_name
from kpuir.passes.ktensor_absorb_layouts import KTensorAbsorbLayoutsPass
from kpuir.passes.ktensor_sink_transposes import KTensorSinkTransposesPass
from tests.importers.litert import Array, run_litert
from tests.importers.tflite_builder import with_float_weights
from tests.shared import shared_file

SLIM = "version-slim-320_without_postprocessing.tflite"
HYBRID = "kws_ref_model_float32.tflite"
"""Despite its name its convolutions have int8 weights."""
INPUTS = {
    "ad01_fp32.tflite": (1, 640),
    HYBRID: (1, 49, 10, 1),
    "pretrainedResnet.tflite": (1, 32, 32, 3),
    "vww_96_float.tflite": (1, 96, 96, 3),
    SLIM: (1, 240, 320, 3),
}
CONVS = ktensor.Conv2dOp | ktensor.Conv2dTransposeOp


def load(name: str) -> bytes:
    return shared_file(f"models/{name}").read_bytes()


def main_of(module: ModuleOp) -> FuncOp:
    return next(op for op in module.walk() if isinstance(op, FuncOp))


def relative_errors(got: list[Array], wanted: list[Array]) -> list[float]:
    """The largest difference of each output over its largest value."""
    assert [a.shape for a in got] == [a.shape for a in wanted]
    return [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, wanted, strict=True)]


def ancestors(value: SSAValue, found: set[Operation]) -> set[Operation]:
    """All operations a value depends on."""
    owner = value.owner
    if isinstance(owner, Operation) and owner not in found:
        found.add(owner)
        for operand in owner.operands:
            ancestors(operand, found)
    return found


def transposes_between_convs(module: ModuleOp) -> list[str]:
    convs = [op for op in module.walk() if isinstance(op, CONVS)]
    before = {op for conv in convs for op in ancestors(conv.input, set())}
    movers = [op for op in before if isinstance(op, ktensor.TransposeOp)]
    return [str(op) for op in movers if any(isinstance(above, CONVS) for above in ancestors(op.input, set()))]


@pytest.mark.parametrize("name", INPUTS)
def test_model_agrees_with_litert(name: str) -> None:
    data = load(name)
    module = import_tflite(data)
    module.verify()
    x = np.random.default_rng(0).random(INPUTS[name], np.float32)
    wanted = run_litert(with_float_weights(data) if name == HYBRID else data, [x])
    assert max(relative_errors(run(module, [x]), wanted)) < 1e-4

    KTensorSinkTransposesPass().apply(Context(), module)
    KTensorAbsorbLayoutsPass().apply(Context(), module)
    module.verify()
    planar = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x
    assert max(relative_errors(run(module, [planar]), wanted)) < 1e-4


@pytest.mark.parametrize("name", INPUTS)
def test_no_transpose_stays_between_convolutions(name: str) -> None:
    module = import_tflite(load(name))
    convs = [op for op in module.walk() if isinstance(op, CONVS)]
    assert len(convs) < 2 or transposes_between_convs(module), "there was nothing to remove"
    KTensorSinkTransposesPass().apply(Context(), module)
    KTensorAbsorbLayoutsPass().apply(Context(), module)
    assert transposes_between_convs(module) == []
    left = [op for op in module.walk() if isinstance(op, ktensor.TransposeOp)]
    assert len(left) == (8 if name == SLIM else 0)  # the heads of slim interleave their boxes


def test_names_and_layouts() -> None:
    module = import_tflite(load(SLIM))
    function = main_of(module)
    assert str(function.arg_attrs) == '[{ktensor.name = "input_1"}]'
    assert str(function.res_attrs) == '[{ktensor.name = "Identity"}, {ktensor.name = "Identity_1"}]'
    names = [layer_name(op) for op in module.walk() if isinstance(op, ktensor.Conv2dOp)]
    assert len(set(names)) == len(names)
    assert names[0] == "functional_1/basenet.0.2_relu/Relu"
    KTensorAbsorbLayoutsPass().apply(Context(), module)
    assert str(main_of(module).arg_attrs) == '[{ktensor.name = "input_1", ktensor.layout = "NHWC"}]'


def test_stored_shapes_are_not_trusted() -> None:
    """The file says [1, 1, 4] and [1, 1, 2]."""
    results = main_of(import_tflite(load(SLIM))).function_type.outputs
    assert [str(result) for result in results] == ["tensor<1x4420x4xf32>", "tensor<1x4420x2xf32>"]
