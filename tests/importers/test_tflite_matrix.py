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

int16 results differ by more where functions are tables with lines between their entries: see `INT16_STEPS` and
`test_int16_tables`. What LiteRT does not compute at all is checked to be refused by it, so that no type is left out.

By default some forms of each operator are tested; `KPUIR_ALL_FORMS=1` takes all.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kpuir.errors import UnsupportedError
from kpuir.importers.tflite import import_tflite
from kpuir.importers.tflite.ops import OPS
from kpuir.interpreters.run import run
from tests.importers.litert import run_litert
from tests.importers.tflite_forms import forms
from tests.importers.tflite_matrix import RELU_N1_TO_1, Form, problem, quantized, real, retyped
from tests.importers.tflite_tables import gelu, gelu_tanh, looked_up, softmax, table


def is_float(form: Form) -> bool:
    """Whether a form is to be given codes or another type."""
    return any(tensor is not None and tensor.dtype == "float32" for tensor in form.tensors()) and not is_coded(form)


def is_coded(form: Form) -> bool:
    return any(tensor is not None and tensor.scale for tensor in form.tensors())


FORMS = forms()
COMPUTE_FLOATS = [kind for kind, found in FORMS.items() if any(map(is_float, found))]
MULTIPLY = 2
ALL = bool(os.environ.get("KPUIR_ALL_FORMS"))
MOVES = frozenset(
    {"BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "DYNAMIC_UPDATE_SLICE", "EXPAND_DIMS"}
    | {"GATHER", "GATHER_ND", "MATRIX_SET_DIAG", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MIRROR_PAD", "PACK", "PAD"}
    | {"PADV2", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SELECT", "SLICE"}
    | {"SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TOPK_V2"}
    | {"TRANSPOSE", "UNPACK"}
)
"""What gives LiteRT's codes exactly: each is one of the input's."""
EXACT = MOVES | {
    *("ARG_MAX", "ARG_MIN", "CAST", "DENSIFY", "DILATE", "EMBEDDING_LOOKUP", "EQUAL", "FLOOR_DIV", "FLOOR_MOD"),
    *("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "MATRIX_DIAG", "NEG", "NOT_EQUAL", "ONE_HOT", "RANK"),
    *("REDUCE_WINDOW", "REVERSE_SEQUENCE", "SCATTER_ND", "SELECT_V2", "SHAPE"),
}
"""And what computes with codes as with whole numbers, or compares."""
CODED = {
    "int8 uint8 int16": MOVES - {"DEPTH_TO_SPACE", "SPACE_TO_DEPTH"}
    | {
        *("ADD", "AVERAGE_POOL_2D", "CAST", "CONV_2D", "DEPTHWISE_CONV_2D", "DILATE", "DIV", "EMBEDDING_LOOKUP"),
        *("EQUAL", "FULLY_CONNECTED", "GELU", "GREATER", "GREATER_EQUAL", "LEAKY_RELU", "LESS", "LESS_EQUAL"),
        *("LOGISTIC", "MATRIX_DIAG", "MEAN", "MUL", "NOT_EQUAL", "PRELU", "QUANTIZE", "RANK", "REDUCE_WINDOW"),
        *("RELU", "RELU6", "RESIZE_BILINEAR", "SELECT_V2", "SHAPE", "SOFTMAX", "SUB", "SUM", "TANH"),
        "TRANSPOSE_CONV",
    },
    "int8 int16": {"ABS", "BATCH_MATMUL", "EXP", "LOG", "NEG", "REDUCE_PROD", "RSQRT", "SQRT"},
    "int8 uint8": {
        *("ARG_MAX", "ARG_MIN", "DEPTH_TO_SPACE", "HARD_SWISH", "L2_NORMALIZATION", "LOG_SOFTMAX", "ONE_HOT"),
        *("RELU_0_TO_1", "RELU_N1_TO_1", "SCATTER_ND", "SPACE_TO_DEPTH"),
    },
    "uint8 int16": {"REVERSE_SEQUENCE"},
    "int8": {"DENSIFY", "ELU", "SQUARED_DIFFERENCE"},
    "int16": {"FLOOR_DIV", "FLOOR_MOD"},
}
"""What LiteRT computes of codes. It has FLOOR_DIV and FLOOR_MOD of int8 as well, but here they would divide by 0."""
TABLES = {"EXP", "GELU", "LOG", "RSQRT", "SOFTMAX"}
"""What LiteRT computes by tables of int16: see `tflite_tables`."""
INT16_STEPS = {
    **dict.fromkeys(("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"), 1.5),
    "LOGISTIC": 2.0,
    "TANH": 3.5,
}
"""By how many of 65536 codes int16 results may differ, where it is not 1 (ours are not rounded at all).

- Sums of products of int16 are multiplied by a number of 15 bits: 2^-15 of a code of up to 2^15, and half a code.
- LOGISTIC is 256 lines, 1/24 apart: 0.68 codes (h^2 / 8 times the largest curvature 0.096), entries of 16 bits 0.25,
  the input's rounding to 1/12288 a third, its factor's of 15 bits 0.22, the result's a half. TANH is twice that, less
  half a code.
- REDUCE_PROD is rounded at each multiplication: see `products`. RESIZE_BILINEAR at half pixels loses half of the last
  of 10 bits of its coordinates on both axes where the scale is odd: 2 * 65535 / 2048.
"""

DTYPES = ("float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool", "float64")
"""Types of numbers without a scale, beside float32."""
SOUND = {
    "float16 int8 uint8 int16 uint16 int32 uint32 int64 bool float64": (
        *("BATCH_TO_SPACE_ND", "BROADCAST_TO", "CAST", "DILATE", "DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP"),
        *("EXPAND_DIMS", "FILL", "MIRROR_PAD", "RANK", "RESHAPE", "SELECT", "SELECT_V2", "SHAPE", "SLICE"),
        *("SPACE_TO_BATCH_ND", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE"),
    ),
    "float16 int8 uint8 int16 int32 int64 bool": ("GATHER", "GATHER_ND", "PAD", "PADV2", "REVERSE_V2"),
    "int8 uint8 int16 int32 int64": ("REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SPLIT", "SPLIT_V", "TOPK_V2"),
    "float16 int8 uint8 int16 int32 int64": ("MAXIMUM", "MINIMUM"),
    "float16 int16 int32 int64": ("ADD", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"),
    "float16 int16 int32 int64 bool": ("EQUAL",),
    "float16 int16 int32 uint32 int64": ("MUL",),
    "int8 uint8 int16 int32 int64 float64": ("REDUCE_WINDOW",),
    "float16 int8 uint8 int16 uint16 int32 uint32 bool": ("RESIZE_NEAREST_NEIGHBOR",),
    "float16 int8 uint8 int16 int32 uint32 int64 bool": ("CONCATENATION",),
    "float16 int8 uint8 int16 int32 bool": ("UNPACK",),
    "float16 int8 int16 int32 int64": ("NEG",),
    "int8 uint8 int16 int32 uint32 int64": ("MATRIX_DIAG", "MATRIX_SET_DIAG", "PACK"),
    "int8 uint8 int32 int64": ("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
    "int8 uint8 int32 bool": ("ARG_MAX", "ARG_MIN"),
    "int8 uint8 int32 int64 bool": ("ONE_HOT", "SCATTER_ND"),
    "uint8 int16 int32 int64": ("REVERSE_SEQUENCE",),
    "int8 int16 int32 int64": ("FLOOR_MOD",),
    "int8 int16 int32": ("FLOOR_DIV",),
    "int8 uint8 int16": ("RESIZE_BILINEAR",),
    "float16 int32 int64 bool": ("NOT_EQUAL",),
    "int32": (
        *("ADD_N", "DIV", "POW", "SEGMENT_SUM", "SQUARED_DIFFERENCE", "UNSORTED_SEGMENT_MAX"),
        *("UNSORTED_SEGMENT_MIN", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_SUM"),
    ),
    "int32 int64": ("CUMSUM", "MEAN", "RANGE", "SUB", "SUM", "ZEROS_LIKE"),
    "int32 int64 float64": ("BUCKETIZE",),
    "int16 int32": ("ABS",),
    "int32 float64": ("SIGN",),
    "float16": ("COS", "FLOOR", "GELU", "LOGISTIC", "ROUND", "SIN", "SOFTMAX", "TANH"),
    "float16 float64": ("ATAN2",),
    "float16 int8": ("DENSIFY",),
}
"""What LiteRT computes of numbers without a scale, beside float32."""
UNSOUND = {
    "int8 uint8 int16": (
        *("AVERAGE_POOL_2D", "BATCH_MATMUL", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC"),
        *(
            "MAX_POOL_2D",
            "MEAN",
            "NOT_EQUAL",
            "PRELU",
            "RELU",
            "RELU6",
            "RELU_0_TO_1",
            "RELU_N1_TO_1",
            "RSQRT",
            "SOFTMAX",
        ),
        *("DIV", "SQRT", "SQUARED_DIFFERENCE", "SUB", "SUM", "TANH"),
    ),
    "int8 uint8": ("ADD", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "MUL"),
    "int8 uint8 int16 int32": ("QUANTIZE",),
    "float16 uint16 bool float64": ("MATRIX_DIAG", "MATRIX_SET_DIAG"),
    "float16 int8 uint8 int16 uint16 int32 uint32 int64 bool float64": ("FAKE_QUANT",),
    "bool": ("REDUCE_WINDOW",),
}
"""What LiteRT takes without looking: it divides by a scale of 0, or takes other types for float32. Much of it crashes,
so it is not run; we refuse it."""


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
    """Also what is written as codes: int8 and so on that a `Form` gives a scale."""
    found = [(form, form.results[0]) for form in some(kind, 6)]
    expect_none([(form, problem(form, steps=steps(form, one.dtype) if one.scale else 0)) for form, one in found])


@pytest.mark.parametrize("kind", COMPUTE_FLOATS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_codes(kind: str, dtype: str) -> None:
    """What LiteRT takes of numbers rounded to codes is imported to the same codes, within `steps`."""
    floats = [form for form in some(kind, 3) if is_float(form) and form.options.get("ReduceFunction") != MULTIPLY]
    floats = [form for form in floats if form.results[0].dtype != "uint32"]  # that of -1 is none of float32
    if (kind, dtype) in {(kind, "int16") for kind in TABLES} or kind == "FAKE_QUANT":
        return
    if not any(kind in kinds and dtype in types.split() for types, kinds in CODED.items()):
        message = problem(quantized(floats[0], dtype))
        assert message is not None
        assert message.startswith("LiteRT: ")
        return
    ways = (True, False) if dtype == "int8" and floats[0].weights is not None else (True,)
    integer = [quantized(form, dtype, per_channel=per_channel) for form in floats for per_channel in ways]
    found = [(form, problem(form, steps=steps(form, dtype))) for form in integer]
    # Where all scales are powers of two, LiteRT adds int16 only if the result has that of an input; it does not
    # quantize int16 to uint8, and says so.
    rejections = ("input1_shift == 0", "output->type == kTfLiteInt8 || output->type == kTfLiteInt16")
    expect_none([(form, message) for form, message in found if not any(one in str(message) for one in rejections)])


def steps(form: Form, dtype: str) -> Any:
    """By how many codes results may differ."""
    rescales = form.kind == "CONCATENATION" and is_coded(form) and not form.same
    if form.kind in EXACT and not form.options.get("FusedActivationFunction") and not rescales:
        return 0
    if dtype == "int16" and form.kind == "REDUCE_PROD":
        return products(form)
    if dtype == "int16" and form.options.get("HalfPixelCenters"):
        return 65
    return INT16_STEPS.get(form.kind, 1) if dtype == "int16" else 1


def products(form: Form) -> Any:
    """What a product of int16 is off: half a code at each multiplication, times the factors behind; 2^-15 by each
    multiplier of 15 bits."""
    (codes,), (tensor, axes) = form.samples(), form.tensors()
    assert tensor is not None
    assert axes is not None
    assert axes.data is not None
    over = sorted({int(axis) % codes.ndim for axis in axes.data.reshape(-1)})
    kept = [axis for axis in range(codes.ndim) if axis not in over]
    count = int(np.prod([codes.shape[axis] for axis in over]))
    factor = tensor.scale[0] / form.results[0].scale[0] ** (1 / count)
    factors = np.abs(codes.transpose(kept + over).astype(float).reshape(-1, count)) * factor
    behind = np.cumprod(np.c_[factors, np.ones(len(factors))][:, ::-1], 1)[:, : count - 1].sum(1)
    shape = [1 if axis in over else size for axis, size in enumerate(codes.shape)]
    most = (0.5 + 0.5 * factor * behind + count * 2.0**-15 * factors.prod(1)).reshape(shape)
    return most if form.options.get("KeepDims") else most.squeeze(tuple(over))


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"])
def test_int16_with_biases_of_32_bits(kind: str) -> None:
    form = quantized(next(form for form in FORMS[kind] if form.weights is not None), "int16")
    *others, bias = form.tensors()
    assert bias is not None
    assert bias.data is not None
    short = replace(bias, dtype="int32", data=bias.data.astype(np.int32))
    form = replace(form, inputs=[*others, short], options={**form.options, "QuantizedBiasType": 2})
    assert problem(form, steps=INT16_STEPS.get(kind, 1)) is None


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_int16_tables(kind: str) -> None:
    """Ours is the function, LiteRT's result is that of its table, code by code."""
    for form in some(kind, 2):
        if not is_float(form):
            continue
        integer = quantized(form, "int16")
        (codes,), (tensor,), (out,) = integer.samples(), integer.tensors(), integer.results
        assert tensor is not None
        scale, unit = np.float32(tensor.scale[0]), np.float32(out.scale[0])
        function = functions(form.options, np.float32(-32768 * unit), np.float32(32767 * unit))[kind]
        if kind == "SOFTMAX":
            expected = softmax(codes, float(scale), form.options["Beta"])
        else:
            expected = looked_up(codes, table(function, float(scale), 0, float(unit), np.float32))
        np.testing.assert_array_equal(run_litert(integer.model(), [codes])[0], expected)
        (ours,) = run(import_tflite(integer.model()), [real(codes, tensor)])
        exact = np.clip(function(codes * np.float64(scale)) / unit, -32768, 32767)
        np.testing.assert_allclose(ours / unit, exact, rtol=0, atol=0.05)


def functions(options: Mapping[str, Any], lowest: Any, highest: Any) -> dict[str, Callable[[Any], Any]]:
    """What operators compute; a logarithm and a root of no positive number are the lowest and the highest code."""
    return {
        "EXP": np.exp,
        "GELU": gelu_tanh if options.get("Approximate") else gelu,
        "LOG": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), lowest),
        "RSQRT": lambda x: np.where(x > 0, 1 / np.sqrt(np.where(x > 0, x, 1)), highest),
        "SOFTMAX": lambda x: softmax_of_numbers(x * options["Beta"]),
    }


def softmax_of_numbers(x: Any) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_int4_weights(kind: str) -> None:
    constant = [form for form in some(kind, 2) if is_float(form) and not isinstance(form.inputs[1], tuple)]
    forms = [replace(form, weight_bits=4) for form in constant]
    expect_none([(form, problem(form, steps=1)) for form in (quantized(form, "int8") for form in forms)])


@pytest.mark.parametrize("kind", COMPUTE_FLOATS)
def test_types_without_scales(kind: str) -> None:
    """What LiteRT takes, beside float32, is imported to the same result, or refused where it is unsound."""
    sound, unsound = (
        {dtype for text, kinds in table.items() if kind in kinds for dtype in text.split()}
        for table in (SOUND, UNSOUND)
    )
    found = [form for form in FORMS[kind] if is_float(form)]
    for number, form in enumerate(found if ALL else found[:1]):
        for dtype in DTYPES:
            other = retyped(form, dtype)
            if dtype in unsound:
                with pytest.raises(UnsupportedError, match=r"has no scale|do not compute|function . of bool"):
                    import_tflite(other.model())
                continue
            if dtype == "uint32" and form.options.get("FusedActivationFunction") == RELU_N1_TO_1:
                continue  # LiteRT's -1 is 4294967295
            message = problem(other, steps=int(kind == "RESIZE_BILINEAR"))
            rejects = message is not None and message.startswith("LiteRT: ")
            assert message is None or rejects or "has no rows" in message, f"{other}: {message}"
            assert number > 0 or rejects == (dtype not in sound), f"{other}: {message}"
