"""The kpu dialect from Python: inferred types, accessors, errors of constructors, cheap import."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects import test as xdsl_test
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.transforms.canonicalize import CanonicalizePass
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import kpu
from kpuir.dialects.kpu import FeatureMapType, PoolKind
from kpuir.dialects.ktensor import ActivationAttr, ActivationKind, QuantizedType
from kpuir.ir.locations import layer_name, named

INPUT = QuantizedType.of(0.5, 3)
RESULT = QuantizedType.of(0.1, 0)


def value(kind: Attribute) -> SSAValue:
    return xdsl_test.TestOp(result_types=[kind]).results[0]


def tensor(*shape: int, element: Attribute = f32) -> SSAValue:
    return value(TensorType(element, shape))


def layer_fields(oc: int = 4, ic: int = 3, k: int = 3) -> dict[str, Any]:
    return {
        "kernel_size": k,
        "pad_value": 3,
        "arg_x": -7,
        "shr_x": 0,
        "arg_w": -3,
        "shr_w": 0,
        "arg_add": 21,
        "weights": np.arange(oc * ic * k * k).reshape(oc, ic, k, k) % 256,
        "bn_mul": np.full(oc, 4096),
        "bn_shift": np.full(oc, 15),
        "bn_add": np.full(oc, -1),
        "act_start": np.array([-(2**35), *range(-7, 8)]),
        "act_mul": np.ones(16),
        "act_shift": np.zeros(16),
        "act_add": np.arange(16),
        "result_element": RESULT,
    }


def test_convolution_infers_its_type_from_all_kinds_of_input() -> None:
    weight, bias = tensor(4, 3, 3, 3), tensor(4)
    plain = kpu.Conv2dOp(tensor(2, 3, 9, 8), weight, bias, pool=PoolKind.MAX_2_S2)
    assert plain.output.type == TensorType(f32, (2, 4, 4, 4))
    quantized = kpu.Conv2dOp(tensor(1, 3, 8, 8, element=INPUT), weight, bias, result_element=RESULT)
    assert quantized.output.type == TensorType(RESULT, (1, 4, 8, 8))
    mapped = kpu.Conv2dOp(value(FeatureMapType.of((1, 3, 8, 8), 0.5, 3)), weight, bias, result_element=RESULT)
    assert mapped.output.type == FeatureMapType.of((1, 4, 8, 8), 0.1, 0)
    given = kpu.Conv2dOp(tensor(1, 3, 8, 8), weight, bias, result_type=TensorType(f32, (1, 4, 8, 8)))
    for op in (plain, quantized, mapped, given):
        op.verify()
    assert (plain.pool_kind, plain.is_depthwise, plain.kernel_size) == (PoolKind.MAX_2_S2, False, 3)
    with pytest.raises(ValueError, match="scale and zero point"):
        kpu.Conv2dOp(tensor(1, 3, 8, 8, element=INPUT), weight, bias)


def test_activation_functions_stay_in_order() -> None:
    chain = [ActivationAttr.of(ActivationKind.MUL, 2.0), ActivationAttr.of(ActivationKind.RELU)]
    op = kpu.Conv2dOp(tensor(1, 3, 8, 8), tensor(4, 3, 1, 1), tensor(4), activation=chain)
    assert list(op.activation) == chain


def test_movement_infers_types_and_keeps_elements() -> None:
    x = tensor(1, 3, 8, 8, element=INPUT)
    assert kpu.PadOp(x, (1, 2, 3, 4)).output.type == TensorType(INPUT, (1, 3, 12, 14))
    assert kpu.CropOp(x, (1, 2, 3, 0)).output.type == TensorType(INPUT, (1, 3, 4, 6))
    assert kpu.StridedSliceOp(x, (1, 0), (2, 3)).output.type == TensorType(INPUT, (1, 3, 4, 3))
    assert kpu.SpaceToBatchOp(x, (2, 3), (0, 1, 0, 0)).output.type == TensorType(INPUT, (6, 3, 4, 3))
    back = kpu.BatchToSpaceOp(tensor(6, 3, 4, 3), (2, 3), (0, 1, 0, 0))
    assert back.output.type == TensorType(f32, (1, 3, 8, 8))
    up = kpu.UploadOp(x)
    assert up.output.type == FeatureMapType.of((1, 3, 8, 8), 0.5, 3)
    assert kpu.DownloadOp(up.output).output.type == x.type


def test_feature_map_knows_its_bytes() -> None:
    kind = FeatureMapType.of((2, 16, 120, 160), 0.5, 3)
    assert kind.byte_size == 2 * 368_640
    assert kind.quantized == INPUT
    assert kind.get_shape() == (2, 16, 120, 160)
    assert kind.get_num_dims() == 4


def test_layer_holds_its_numbers() -> None:
    op = kpu.LayerOp(value(FeatureMapType.of((1, 3, 8, 8), 0.5, 3)), pool=PoolKind.MEAN_2_S2, **layer_fields())
    op.verify()
    assert op.output.type == FeatureMapType.of((1, 4, 4, 4), 0.1, 0)
    assert op.integer("arg_x") == -7
    assert op.array("weights").dtype == np.uint8
    assert op.array("act_start")[0] == -(2**35)
    np.testing.assert_array_equal(op.array("weights").ravel(), np.arange(108))


def test_weights_of_16_bits_stay_that() -> None:
    words = np.full((4, 3, 3, 3), 65535, np.uint16)
    fields: dict[str, Any] = {**layer_fields(), "weights": words}
    op = kpu.LayerOp(value(FeatureMapType.of((1, 3, 8, 8), 0.5, 3)), **fields)
    op.verify()
    np.testing.assert_array_equal(op.array("weights"), words)


def test_depthwise_layer() -> None:
    fields = layer_fields(oc=3, ic=1)
    op = kpu.LayerOp(value(FeatureMapType.of((1, 3, 8, 8), 0.5, 3)), depthwise=True, **fields)
    op.verify()
    assert op.output.type == FeatureMapType.of((1, 3, 8, 8), 0.1, 0)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("weights", np.full((4, 3, 3, 3), 256), "weights has 256 to 256, its elements hold 0 to 255"),
        ("bn_shift", np.full(4, -1), "bn_shift has -1"),
        ("act_mul", np.full(16, 40000), "act_mul has 40000"),
    ],
)
def test_layer_refuses_numbers_its_arrays_cannot_hold(name: str, wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kpu.LayerOp(value(FeatureMapType.of((1, 3, 8, 8), 0.5, 3)), **{**layer_fields(), name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("kernel_size", 1, "kernel_size is 1, but the weights have 3"),
        ("pad_value", 256, "pad_value is 256, its field holds 0 to 255"),
        ("arg_x", 2**23, "arg_x is 8388608, its field holds -8388608 to 8388607"),
        ("shr_w", 16, "shr_w is 16, its field holds 0 to 15"),
        ("arg_add", -(2**39) - 1, "arg_add is -549755813889"),
        ("bn_mul", np.full(4, 2**23), "bn_mul is 8388608"),
        ("bn_shift", np.full(4, 16), "bn_shift is 16, its field holds 0 to 15"),
        ("bn_add", np.zeros(5), "bn_add is tensor<5xi32>, expected tensor<4xi32>"),
        ("act_start", np.full(16, 2**35), "act_start is 34359738368"),
        ("act_start", -np.arange(16), "segment 1 starts at -1, before segment 0 at 0"),
        ("act_add", np.zeros(15), "act_add is tensor<15xui8>, expected tensor<16xui8>"),
        ("weights", np.zeros((4, 2, 3, 3)), "weight is 4x2x3x3, an input of 3 channels needs 3"),
        ("weights", np.zeros((4, 3, 2, 2)), "kernel_size is 3, but the weights have 2"),
    ],
)
def test_layer_verifier(name: str, wrong: Any, message: str) -> None:
    op = kpu.LayerOp(value(FeatureMapType.of((1, 3, 8, 8), 0.5, 3)), **{**layer_fields(), name: wrong})
    with pytest.raises(VerifyException, match=message):
        op.verify()


def test_layer_is_checked_against_the_hardware() -> None:
    op = kpu.LayerOp(value(FeatureMapType.of((1, 3, 3, 8), 0.5, 3)), **layer_fields())
    with pytest.raises(VerifyException, match="the input is 3 high"):
        op.verify()


def test_importing_the_dialect_does_not_import_numpy() -> None:
    script = "import sys, kpuir.dialects.kpu; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_canonicalization_keeps_the_layer_name() -> None:
    inner = kpu.PadOp(tensor(1, 3, 8, 8), (1, 0, 0, 0))
    outer = kpu.PadOp(inner, (0, 1, 0, 0))
    outer.location = named("stem")
    block = Block([inner, outer, xdsl_test.TestOp([outer.output])])
    module = ModuleOp(Region(block))
    CanonicalizePass().apply(Context(), module)
    (pad,) = [op for op in module.walk() if isinstance(op, kpu.PadOp)]
    assert pad.pads.get_values() == (1, 1, 0, 0)
    assert layer_name(pad) == "stem"
