"""Every operator in every form and type against LiteRT's own kernels.

float32 results agree within 1e-5 (of each number, or of the largest one where they cancel). Integer results are those
of LiteRT, or one off where LiteRT computes in fixed point and we in real numbers. How far its codes lie from the exact
results of these forms, in steps, int8 and uint8:

- convolutions, products, PRELU, HARD_SWISH: up to 0.51; MUL: 0.59; MEAN, LEAKY_RELU: 0.75. A sum is multiplied by a
  number in 0.5 to 1 of 31 bits and rounded, then shifted and rounded again: where the scales differ little, and the
  shift is short, both roundings are seen;
- ADD, SUB, DIV, pools, SOFTMAX and the functions of tables: 0.50, L2_NORMALIZATION of uint8 0.53; the codes differ
  at halves, which go away from code 0 there, to the even code here;
- REDUCE_PROD: 0.83, rescaled at each multiplication; SQRT: up to 1, it is truncated;
- RESIZE_BILINEAR: 0.59 of int8, whose coordinates are imported as the 10 bits that they have there.

int16 results differ by more where functions are tables of 513 entries with lines between them: GELU by 31 of 65536
codes, and EXP, LOG and RSQRT by hundreds, which are not compared; see `INT16_STEPS`.

By default some forms of each operator are tested; `KPUIR_ALL_FORMS=1` takes all.
"""

import os
from dataclasses import replace

import pytest

from kpuir.importers.tflite.ops import OPS
from tests.importers.tflite_forms import forms
from tests.importers.tflite_matrix import Form, problem, quantized

FORMS = forms()
ALL = bool(os.environ.get("KPUIR_ALL_FORMS"))
MOVES = frozenset(
    {"BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "DYNAMIC_UPDATE_SLICE", "EXPAND_DIMS"}
    | {"GATHER", "GATHER_ND", "MATRIX_SET_DIAG", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MIRROR_PAD", "PACK", "PAD"}
    | {"PADV2", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SELECT", "SLICE"}
    | {"SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TOPK_V2"}
    | {"TRANSPOSE", "UNPACK"}
)
"""What gives LiteRT's codes exactly: each is one of the input's."""
FIXED_POINT = frozenset(
    {"ADD", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "DIV", "FULLY_CONNECTED", "HARD_SWISH"}
    | {"L2_NORMALIZATION", "LEAKY_RELU", "LOGISTIC", "LOG_SOFTMAX", "MEAN", "MUL", "PRELU", "RELU", "RELU6"}
    | {"RELU_0_TO_1", "RELU_N1_TO_1", "RESIZE_BILINEAR", "SOFTMAX", "SUB", "SUM", "TANH", "TRANSPOSE_CONV"}
)
INT8_ALONE = frozenset(
    {"ABS", "BATCH_MATMUL", "ELU", "EXP", "GELU", "LOG", "REDUCE_PROD", "RSQRT", "SQRT", "SQUARED_DIFFERENCE"}
)
"""What LiteRT has for int8 but not for uint8."""
COMPARES = frozenset(
    {"ARG_MAX", "ARG_MIN", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL", "RANK", "SHAPE"}
)
INT16_STEPS = {
    **dict.fromkeys(MOVES - {"DEPTH_TO_SPACE", "SPACE_TO_DEPTH"}, 0),
    **dict.fromkeys(
        ("ABS", "ADD", "AVERAGE_POOL_2D", "DIV", "FULLY_CONNECTED", "LEAKY_RELU", "MEAN", "MUL", "PRELU"), 1
    ),
    **dict.fromkeys(("MAX_POOL_2D", "RELU", "RELU6", "SQRT", "SUB", "SUM"), 1),
    **dict.fromkeys(("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC", "TRANSPOSE_CONV"), 2),
    "TANH": 3,
    "REDUCE_PROD": 4,
    "SOFTMAX": 8,
    "GELU": 32,
    "RESIZE_BILINEAR": 40,
}
"""By how many of 65536 codes int16 results may differ: ours are not rounded at all."""


def test_every_operator_has_forms() -> None:
    assert set(FORMS) == {kind for kind in OPS if not kind.startswith("CUSTOM")}


def some(kind: str, most: int) -> list[Form]:
    """Forms of an operator, evenly out of all."""
    found = FORMS[kind]
    return found if ALL or len(found) <= most else found[:: -(-len(found) // most)]


def expect_none(found: "list[tuple[Form, str | None]]") -> None:
    bad = [f"{form}: {message}" for form, message in found if message]
    assert not bad, "\n".join([f"{len(bad)} of {len(found)} forms:", *bad[:5]])


@pytest.mark.parametrize("kind", FORMS)
def test_float32(kind: str) -> None:
    expect_none([(form, problem(form)) for form in some(kind, 6)])


@pytest.mark.parametrize("kind", sorted(MOVES | FIXED_POINT | INT8_ALONE | COMPARES))
def test_int8_and_uint8(kind: str) -> None:
    steps = 0 if kind in MOVES | COMPARES else 1
    for dtype in ("int8",) if kind in INT8_ALONE else ("int8", "uint8"):
        floats = [form for form in some(kind, 3) if computes_floats(form)]
        for per_channel in (True, False) if kind == "CONV_2D" else (True,):
            integer = [quantized(form, dtype, per_channel=per_channel) for form in floats]
            expect_none([(form, problem(form, steps=steps)) for form in integer])


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_int4_weights(kind: str) -> None:
    forms = [replace(form, weight_bits=4) for form in some(kind, 2)]
    expect_none([(form, problem(form, steps=1)) for form in (quantized(form, "int8") for form in forms)])


@pytest.mark.parametrize("kind", sorted(INT16_STEPS))
def test_int16(kind: str) -> None:
    integer = [quantized(form, "int16") for form in some(kind, 2) if computes_floats(form)]
    found = [(form, problem(form, steps=INT16_STEPS[kind])) for form in integer]
    # LiteRT adds int16 numbers only where a scale is a power of two times the other, and says so.
    expect_none([(form, message) for form, message in found if "input1_shift == 0" not in str(message)])


def computes_floats(form: Form) -> bool:
    return any(isinstance(given, tuple) for given in form.inputs)
