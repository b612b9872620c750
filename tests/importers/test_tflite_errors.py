"""What is refused, and how: one error that names the layers, never a traceback."""

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite
from xdsl.dialects.builtin import ModuleOp

from kpuir.errors import InvalidInputError, KpuirError, UnsupportedError, UsageError
from kpuir.importers.tflite import graph, import_tflite
from kpuir.importers.tflite.ops import OPS
from kpuir.importers.tflite.refusals import refusal
from kpuir.ir.locations import layer_name
from tests.importers.tflite_builder import Operator, Sparsity, Tensor, build, constant, one_op
from tests.importers.tflite_forms import forms
from tests.shared import shared_file

CONV: dict[str, Any] = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
WEIGHT = np.ones((4, 3, 3, 3), np.float32)


def conv(x: Any = (1, 6, 6, 3), w: Any = WEIGHT, *bias: Any, **options: Any) -> bytes:
    return one_op("CONV_2D", [x, w, *bias], "Conv2DOptions", **{**CONV, **options})


def rejected(model: bytes, pattern: str) -> None:
    with pytest.raises(InvalidInputError, match=pattern) as caught:
        import_tflite(model)
    assert "\n  File" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (b"", "empty"),
        (b"TFL3", "not a TFLite model"),
        (b"\x08\x07\x12\x04onnx and more", "not a TFLite model"),
        (b"\x00\x00\x00\x00TFL3", "broken TFLite file of 8 bytes"),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "broken TFLite file of 72 bytes: it refers to bytes that are not there"),
        (b"\x08\x00\x00\x00TFL3" + bytes(64), "broken TFLite file"),
    ],
)
def test_not_a_model(data: bytes, pattern: str) -> None:
    rejected(data, pattern)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no such file"):
        import_tflite(tmp_path / "none.tflite")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(conv())
    assert isinstance(import_tflite(path), ModuleOp)
    assert isinstance(import_tflite(str(path)), ModuleOp)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.9])
def test_truncated(share: float) -> None:
    data = shared_file("models/kws_ref_model_float32.tflite").read_bytes()
    rejected(data[: int(len(data) * share)], "broken TFLite file|not a TFLite model")


def mutations(data: bytes, seed: int) -> bytes:
    """The file with 1 to 8 bytes changed, half of the times in its first or last 2000 bytes, where the tables are."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        near = int(rng.integers(0, min(2000, len(data))))
        far = int(rng.integers(0, len(data)))
        at = (near, len(data) - 1 - near, far, far)[int(rng.integers(4))]
        changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    return bytes(changed)


def error_of(model: bytes) -> KpuirError | None:
    """Our error about a broken model, None where it is still a sound one; anything else is raised."""
    try:
        import_tflite(model).verify()
    except KpuirError as error:
        return error
    return None


def test_mutated_files_never_crash() -> None:
    """400 broken variants of small models give a module that verifies, or one of our errors."""
    models = [
        conv((1, 6, 6, 3), WEIGHT, np.zeros(4, np.float32)),
        one_op(
            "STRIDED_SLICE",
            [(1, 4, 4, 3), *(np.array(v, np.int32) for v in ([0, 1, 0, 0], [1, 3, 4, 3], [1, 1, 2, 1]))],
            "StridedSliceOptions",
        ),
        one_op("PAD", [(1, 4, 4, 3), np.array([[0, 0], [1, 2], [0, 1], [2, 0]], np.int32)]),
        one_op("TILE", [(2, 3), np.array([2, 3], np.int32)]),
        one_op("MEAN", [(1, 4, 4, 3), np.array([1, 2], np.int32)], "ReducerOptions", KeepDims=True),
        one_op("RESIZE_BILINEAR", [(1, 4, 4, 3), np.array([8, 8], np.int32)], "ResizeBilinearOptions"),
        one_op("SPLIT", [np.array([1], np.int32), (4, 6)], "SplitOptions", 3, NumSplits=3),
        shared_file("models/kws_ref_model_float32.tflite").read_bytes(),
    ]
    errors = [error_of(mutations(models[seed % len(models)], seed)) for seed in range(400)]
    messages = [str(error) for error in errors if error is not None]
    assert 50 < len(messages) < 350
    assert max(map(len, messages)) < 2000


def test_mutated_files_of_every_operator() -> None:
    """One broken variant of a model of each operator."""
    errors = [error_of(mutations(found[0].model(), seed)) for seed, found in enumerate(forms().values())]
    assert max(len(str(error)) for error in errors if error is not None) < 1000


def test_all_refused_layers_are_reported_together() -> None:
    tensors = [
        Tensor((1, 4), name="x"),
        Tensor((1, 4), name="model/relu;more"),
        constant(np.array(1, np.int32), "axis"),
        Tensor((1,), "int64", "model/unique"),
        Tensor((1, 4), name="model/flex"),
        Tensor((1, 4), name="model/lstm"),
        constant(np.float32(1.7), "weights"),
        Tensor((1, 4), name="model/after"),
        Tensor((1,), name="model/boxes"),
    ]
    operators = [
        Operator("RELU", [0], [1]),
        Operator("UNIQUE", [1, 2], [3]),
        Operator("CUSTOM", [1], [4], custom="FlexErf"),
        Operator("LSTM", [1, 6], [5], "LSTMOptions", {"KernelType": 1}),
        Operator("ADD", [4, 5], [7], "AddOptions"),
        Operator("CUSTOM", [7], [8], custom="TFLite_Detection_PostProcess"),
    ]
    with pytest.raises(UnsupportedError) as caught:
        import_tflite(build(tensors, operators, [0], [3, 8]))
    problems = dict(caught.value.problems)
    assert list(problems) == ["model/unique", "model/flex", "model/lstm", "model/boxes"]
    assert "UNIQUE is not supported: the size of its result" in problems["model/unique"]
    assert "FlexErf" in problems["model/flex"]
    assert "LSTM: its basic kernel; works: the full kernel" in problems["model/lstm"]
    assert "TFLite_Detection_PostProcess is not supported: end the model in front" in problems["model/boxes"]
    assert str(caught.value.hint) == "end the model in front of them with --outputs 'model/relu;more', or replace them"


@pytest.mark.parametrize(
    ("dtype", "scale", "reason"),
    [
        ("int16", [0.0], "x is int16, of scale 0"),
        ("int8", [0.0], "x is int8, and its scale is 0"),
        ("int8", [0.1, 0.2], "x is int8 with 2 scales"),
    ],
)
def test_activations_that_are_no_bytes(dtype: str, scale: list[float], reason: str) -> None:
    tensors = [Tensor((1, 4), dtype, name, scale=scale, zero_point=[0] * len(scale)) for name in ("x", "y")]
    with pytest.raises(UnsupportedError, match=reason) as caught:
        import_tflite(build(tensors, [Operator("RELU", [0], [1])], [0], [1]))
    assert len(caught.value.problems) == 1
    assert "int8 or uint8" in str(caught.value.hint)


DETECTION = [
    *(Tensor((1, 4), name=name) for name in ("x", "unused", "boxes;a", "scores")),
    *(Tensor((1,), name=name) for name in ("found", "classes")),
]
"""Boxes and scores that a custom operator, which no compiler knows, makes detections of."""


def detector() -> bytes:
    found = Operator("CUSTOM", [2, 3], [4, 5], custom="TFLite_Detection_PostProcess", custom_options=b"any")
    operators = [Operator("RELU", [0], [2]), Operator("RELU6", [2], [3]), found, Operator("IF", [1], [1])]
    return build(DETECTION, operators, [0, 1], [4, 5], subgraphs=("main", "then", "else"))


def test_the_hint_where_to_end_is_a_model() -> None:
    with pytest.raises(UnsupportedError) as caught:
        import_tflite(detector())
    assert [layer for layer, _ in caught.value.problems] == ["model", "found", "unused"]
    assert "--outputs 'boxes;a,scores'" in str(caught.value.hint)
    for outputs in (("boxes;a", "scores"), ("boxes", "scores")):
        module = import_tflite(detector(), outputs=outputs)
        assert str(module).count("ktensor.name") == 3, "the input that only IF reads is dropped"
    with pytest.raises(UsageError, match="no value or layer 'score' to end at") as wrong:
        import_tflite(detector(), outputs=("score",))
    assert str(wrong.value.hint).startswith("there are scores")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (struct.pack("<2i", 1, 2), "Convolution2DTransposeBias: its 8 bytes of options are not 3 integers"),
        (struct.pack("<5i", 1, 2, 2, 1, 0), "its 20 bytes of options are not 3 integers"),
        (struct.pack("<3i", 0, 2, 2), "has padding scheme 0 and strides 2x2"),
    ],
)
def test_options_of_custom_operators(options: bytes, reason: str) -> None:
    tensors = [Tensor((1, 3, 4, 3), name="x"), constant(WEIGHT), constant(np.zeros(4, np.float32)), Tensor((1,))]
    up = Operator("CUSTOM", [0, 1, 2], [3], custom="Convolution2DTransposeBias", custom_options=options)
    with pytest.raises(InvalidInputError, match=reason):
        import_tflite(build(tensors, [up], [0], [3]))


@pytest.mark.parametrize(
    ("name", "fields", "model"),
    [
        ("Conv2DOptions", 7, lambda: conv(Newer=1)),
        ("Tensor", 10, lambda: conv(w=constant(WEIGHT, more={"Newer": 1}))),
    ],
)
def test_fields_of_a_newer_schema(name: str, fields: int, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setitem(vars(tflite), f"{name}Start", lambda b: b.StartObject(fields + 1))
        newer.setitem(vars(tflite), f"{name}AddNewer", lambda b, value: b.PrependInt32Slot(fields, value, 0))
        data = model()
    with pytest.raises(UnsupportedError, match="holds what is newer than kpuir"):
        import_tflite(data)


def test_options_of_another_operator() -> None:
    model = one_op("CONV_2D", [(1, 6, 6, 3), WEIGHT], "Pool2DOptions", StrideH=1, StrideW=1)
    with pytest.raises(UnsupportedError, match="CONV_2D: its options are Pool2DOptions, not Conv2DOptions"):
        import_tflite(model)


def on_codes(kind: str, given: list[Tensor], out: Tensor, table: str = "", **options: Any) -> bytes:
    arguments = [i for i, tensor in enumerate(given) if tensor.data is None]
    operator = Operator(kind, range(len(given)), [len(given)], table, options)
    return build([*given, out], [operator], arguments, [len(given)])


def codes(dtype: str = "int8", scale: float = 0.1, shape: tuple[int, ...] = (1, 4), name: str = "x") -> Tensor:
    return Tensor(shape, dtype, name, scale=[scale] if scale else [], zero_point=[3] if scale else [])


def wide(scale: float, name: str) -> Tensor:
    return Tensor((1, 4), "int16", name, scale=[scale], zero_point=[0])


WINDOW = [constant(np.array(one, np.int64)) for one in ([1, 2], [1, 1], [1, 1])]
SEGMENTS = [constant(np.array(one, np.int32)) for one in ([0], 2)]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            on_codes("TRANSPOSE", [codes(), constant(np.array([1, 0], np.int32))], codes(scale=0.2, name="y")),
            "TRANSPOSE: runtimes take codes of x of scale 0.1 and zero point 3 for those of y of scale 0.2 and",
        ),
        (
            on_codes("MAXIMUM", [codes(), codes(scale=0.11, name="z")], codes(), "MaximumMinimumOptions"),
            "MAXIMUM: runtimes take codes of x of scale 0.1 and zero point 3 for those of z of scale 0.11 and",
        ),
        (
            on_codes("LESS", [wide(1e-4, "x"), wide(2e-4, "z")], Tensor((1, 4), "bool")),
            "LESS: runtimes take codes of x of scale 0.0001 and zero point 0 for those of z of scale 0.0002 and",
        ),
        (
            on_codes("RELU", [codes(scale=0)], codes(scale=0)),
            "RELU: its int8 x has no scale; works: codes with one, or",
        ),
        (
            on_codes("MATRIX_DIAG", [Tensor((4,), "float16", "x")], Tensor((4, 4), "float16")),
            "MATRIX_DIAG: x is float16, which runtimes do not compute; works: float32",
        ),
        (
            on_codes(
                "REDUCE_WINDOW",
                [codes(), constant(np.int8(1)), *WINDOW],
                codes(),
                "ReduceWindowOptions",
                ReduceFunction=2,
            ),
            "REDUCE_WINDOW: runtimes multiply codes, whatever their scale; works: products of floats",
        ),
        (
            on_codes("UNSORTED_SEGMENT_MIN", [Tensor((1, 4), "int32", "x"), *SEGMENTS], Tensor((2, 4), "int32")),
            "UNSORTED_SEGMENT_MIN: segment 1 has no rows; works: segments that have some, or floats",
        ),
    ],
)
def test_codes_that_runtimes_take_for_others(model: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        import_tflite(model)


def test_what_runtimes_leave_out_or_mistake() -> None:
    with pytest.raises(UnsupportedError, match="CONV_2D: runtimes leave out its fused TANH; works: TANH behind it"):
        import_tflite(conv(FusedActivationFunction=4))
    weight = constant(np.ones((2, 4), np.int8), "w", scale=[0.1], zero_point=[0])
    with pytest.raises(
        UnsupportedError, match="FULLY_CONNECTED: runtimes take its int8 for uint8 where it gives int16"
    ):
        import_tflite(on_codes("FULLY_CONNECTED", [codes(), weight], wide(0.1, "y"), "FullyConnectedOptions"))


def test_results_of_4_bits() -> None:
    result = Tensor((1, 4), "int4", "y", scale=[0.1], zero_point=[0])
    with pytest.raises(UnsupportedError, match="QUANTIZE: its result is int4; works: a float, an integer of 8 bits or"):
        import_tflite(on_codes("QUANTIZE", [Tensor((1, 4), name="x")], result))


def test_weights_with_a_zero_point() -> None:
    x = Tensor((1, 6, 6, 3), "int8", "x", scale=[0.1], zero_point=[0])
    weight = constant(np.ones((4, 3, 3, 3), np.int8), "w", scale=[0.1], zero_point=[2])
    model = on_codes("CONV_2D", [x, weight], codes(name="y"), "Conv2DOptions", **CONV)
    with pytest.raises(UnsupportedError, match="CONV_2D: the zero point of its weights w, which runtimes take for 0"):
        import_tflite(model)


def test_nearly_the_same_scale() -> None:
    """No code is another one."""
    order = constant(np.array([1, 0], np.int32))
    assert import_tflite(on_codes("TRANSPOSE", [codes(), order], codes(scale=0.1001, name="y")))


@pytest.mark.parametrize(
    ("sparse", "reason"),
    [
        (Sparsity((0, 1), (), (2, ((0, 1, 2), (0, 5)))), "index 5 is out of bounds"),
        (Sparsity((0, 0), (), (2, 2)), "2 levels in the order"),
        (Sparsity((0, 1), (), (2, ((0, 1, 3), (0, 1, 2)))), "shape mismatch"),
        (Sparsity((0, 1), (), (1 << 30, 4)), "a level has 1073741824 entries"),
        (Sparsity((0, 1), (), (2, ((0, 1, 1 << 30), (0, 1)))), "a level has 1073741824 entries"),
    ],
)
def test_sparse_constants(sparse: Sparsity, reason: str) -> None:
    stored = Tensor((2, 4), "float32", "w", np.ones(2, np.float32), sparse=sparse)
    rejected(build([stored, Tensor((2, 4))], [Operator("DENSIFY", [0], [1])], [], [1]), f"constant w .*{reason}")


REFUSED = {
    "works on the bits": "BITCAST BITWISE_XOR",
    "has complex numbers": "COMPLEX_ABS IMAG REAL RFFT2D",
    "is control flow": "CALL CALL_ONCE IF WHILE",
    "end the model in front of its post-processing": "NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5",
    "converters do not write it any more": "CONCAT_EMBEDDINGS SPARSE_TO_DENSE",
    "its result is random": "MULTINOMIAL RANDOM_STANDARD_NORMAL RANDOM_UNIFORM",
    "the size of its result depends": "UNIQUE WHERE",
    "variables cannot be compiled": "ASSIGN_VARIABLE READ_VARIABLE VAR_HANDLE",
    "work of the application": "EMBEDDING_LOOKUP_SPARSE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_LOOKUP "
    "HASHTABLE_SIZE LSH_PROJECTION SKIP_GRAM",
    "made when a model is loaded": "DELEGATE",
    "kept of earlier inferences": "SVDF",
    "newer than kpuir": "STABLEHLO_CASE",
}
"""Every operator of LiteRT's schema that is not imported, by its reason; and those of StableHLO."""
NO_OPERATORS = {"CUSTOM", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
NNCASE = """ABS ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND CAST CEIL CONCATENATION CONV_2D COS
DEPTHWISE_CONV_2D DEQUANTIZE DIV EQUAL EXP EXPAND_DIMS FAKE_QUANT FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER
GATHER_ND GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOG LOGISTIC LOG_SOFTMAX MAXIMUM
MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN
REDUCE_PROD RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR ROUND RSQRT SHAPE SIN SLICE SOFTMAX
SPACE_TO_BATCH_ND SPLIT SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE
TRANSPOSE_CONV"""
"""The builtin operators that nncase's releases for this chip import."""


def test_every_operator_of_litert_is_imported_or_refused_with_its_reason() -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    reasons = {kind: reason for reason, kinds in REFUSED.items() for kind in kinds.split()}
    known = {kind: number for kind, number in vars(BuiltinOperator).items() if isinstance(number, int)}
    assert set(OPS) - set(known) == {"CUSTOM Convolution2DTransposeBias"}
    assert set(NNCASE.split()) <= set(OPS)
    assert not reasons.keys() & OPS.keys()
    for kind, number in known.items():
        if kind in OPS or kind in NO_OPERATORS:
            continue
        here = kind if hasattr(tflite.BuiltinOperator, kind) else f"operator {number}"
        reason = reasons.pop(kind, "is StableHLO, which converters lower" if kind.startswith("STABLEHLO_") else None)
        assert reason is not None, f"{kind} is neither imported nor refused"
        assert reason in refusal(graph.Operator(here, "", (), (), None, "layer"))
    assert not reasons


def test_control_flow() -> None:
    tensors = [Tensor((1, 4), name="x"), Tensor((1, 4), name="y")]
    model = build(tensors, [Operator("IF", [0], [1])], [0], [1], subgraphs=("main", "then", "else"))
    with pytest.raises(UnsupportedError) as caught:
        import_tflite(model)
    assert "3 subgraphs (main, then, else)" in str(caught.value)
    assert "IF is not supported: it is control flow" in str(caught.value)


def test_nan_weights() -> None:
    weight = WEIGHT.copy()
    weight[1, 2, 0, 1] = np.nan
    rejected(conv(w=weight), r"^layer: 1 of the 108 values of its constant c1 are NaN")
    bias = np.array([0, np.nan, 0, np.nan], np.float32)
    rejected(conv((1, 6, 6, 3), WEIGHT, bias), r"^layer: 2 of the 4 values of its constant c2 are NaN")


def test_infinite_weights() -> None:
    weight = WEIGHT.copy()
    weight[0, 0, 0, 0] = -np.inf
    rejected(conv(w=weight), "^layer: its weights hold infinite values")


@pytest.mark.parametrize(
    ("signature", "pattern"),
    [((-1, -1, 6, 3), r"input x: its shape \[-1, -1, 6, 3\] is dynamic beyond the batch")],
)
def test_dynamic_shapes(signature: tuple[int, ...], pattern: str) -> None:
    tensors = [Tensor((1, 6, 6, 3), name="x", signature=signature), Tensor((1,), name="y")]
    rejected(build(tensors, [Operator("RELU", [0], [1])], [0], [1]), pattern)


def test_given_shapes() -> None:
    """They are as if the model had been written with them; those it does not leave open change only with `resize`."""

    def relu(shape: tuple[int, ...], signature: tuple[int, ...] = ()) -> bytes:
        tensors = [Tensor(shape, name="x", signature=signature), Tensor(shape, name="y")]
        return build(tensors, [Operator("RELU", [0], [1])], [0], [1])

    large, shape = str(import_tflite(relu((1, 8, 10, 3)))), {"x": (1, 8, 10, 3)}
    assert str(import_tflite(relu((1, 6, 6, 3), (-1, -1, -1, 3)), input_shapes=shape)) == large
    assert str(import_tflite(relu((1, 6, 6, 3)), input_shapes=shape, resize=True)) == large
    for given, message in (
        (shape, "input 'x' is 1x6x6x3 and cannot be 1x8x10x3"),
        ({"x": (6, 6, 3)}, "input 'x' is 1x6x6x3 and cannot be 6x6x3"),
        ({"z": (1, 6, 6, 3)}, "there is no input 'z'"),
    ):
        with pytest.raises(UsageError, match=message):
            import_tflite(relu((1, 6, 6, 3)), input_shapes=given)


def test_dynamic_batch_is_one() -> None:
    tensors = [Tensor((7, 6), name="x", signature=(-1, 6)), Tensor((7, 6), name="y")]
    assert "tensor<1x6xf32>" in str(import_tflite(build(tensors, [Operator("RELU", [0], [1])], [0], [1])))


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        (conv((1, 6, 6, 4)), "layer: 4 input channels do not fit weights of 3 input and 4 output channels"),
        (conv((6, 6, 3)), "CONV_2D needs an input of 4 dimensions"),
        (conv((1, 6, 6, 3), WEIGHT, np.zeros(5, np.float32)), "layer: CONV_2D does not fit its inputs: bias has shape"),
        (conv(StrideH=0), "layer: StrideH is 0"),
        (conv(Padding=7), "padding scheme 7"),
        (conv((1, 2, 2, 3), Padding=1), "window 3x3 is larger than its input 2x2"),
        (one_op("CONV_2D", [(1, 6, 6, 3), WEIGHT]), "CONV_2D has no option"),
        (one_op("CONV_2D", [(1, 6, 6, 3)], "Conv2DOptions", **CONV), "number 1 is missing"),
        (one_op("ADD", [(1, 6, 3), (1, 5, 3)], "AddOptions"), "do not broadcast"),
        (one_op("RESHAPE", [(2, 3), np.array([4, -1], np.int32)]), "6 elements .* cannot take the shape"),
        (one_op("RESHAPE", [(2, 3), np.array([0, -1], np.int32)]), "cannot take the shape"),
        (one_op("CONCATENATION", [(2, 3), (2, 4)], "ConcatenationOptions", Axis=5), "axis 5"),
        (one_op("SLICE", [(2, 3), np.array([0, 2], np.int32), np.array([2, 2], np.int32)]), "leave the input"),
        (one_op("SPLIT", [np.array(1, np.int32), (4, 5)], "SplitOptions", 2), "cannot be split into 2 parts"),
        (one_op("TRANSPOSE", [(2, 3), np.array([0, 0], np.int32)]), "permutation"),
        (one_op("PAD", [(2, 3), np.array([[0, 0], [-1, 0]], np.int32)]), "padding"),
        (one_op("FILL", [np.array([1 << 30, 1 << 30], np.int32), np.float32(0)]), "too large"),
        (one_op("TILE", [(2, 3), np.array([1 << 20, 1 << 20], np.int32)]), "too large"),
        (one_op("RESIZE_BILINEAR", [(1, 4, 4, 3), np.array([0, 8], np.int32)], "ResizeBilinearOptions"), "its size"),
        (
            one_op(
                "RESIZE_BILINEAR",
                [(1, 4, 4, 3), np.array([8, 8], np.int32)],
                "ResizeBilinearOptions",
                AlignCorners=True,
                HalfPixelCenters=True,
            ),
            "exclude each other",
        ),
        (one_op("RANGE", [np.int32(0), np.int32(1 << 30), np.int32(1)]), "counts from"),
        (one_op("MIRROR_PAD", [(2, 3), np.array([[2, 0], [0, 0]], np.int32)], "MirrorPadOptions"), "mirrors more"),
        (one_op("RELU", [Tensor((2, 3), "string", "x")]), "input x: it is string"),
        (one_op("CUSTOM", [(2, 3)]), r"the custom op \? is not supported"),
        (one_op("GATHER", [(2, 3), np.array([0, 7], np.int32)], "GatherOptions"), "lie outside 2 elements"),
        (one_op("UNSORTED_SEGMENT_SUM", [(2, 3), np.array([0, 2], np.int32), np.int32(2)]), "indices outside of 2"),
        (one_op("CAST", [(2, 3)], "CastOptions"), None),
        (one_op("RESHAPE", [(4, 6), (2,)]), "its new shape is computed by the model"),
        (one_op("FULLY_CONNECTED", [(1, 7), np.ones((3, 4), np.float32)], "FullyConnectedOptions"), "does not fit"),
        (
            one_op("FULLY_CONNECTED", [(1, 4), np.ones((3, 4), np.float32)], "FullyConnectedOptions", WeightsFormat=1),
            "shuffled weights",
        ),
        (conv(FusedActivationFunction=5), "fused activation number 5"),
        (one_op("SOFTMAX", [(1, 4)], "SoftmaxOptions", Beta=float("nan")), "layer: SOFTMAX has Beta = nan"),
    ],
)
def test_contradictions(model: bytes, pattern: str | None) -> None:
    if pattern is None:
        assert isinstance(import_tflite(model), ModuleOp)
    else:
        rejected(model, pattern)


def test_reading_a_tensor_nobody_computes() -> None:
    tensors = [Tensor((1, 4), name="x"), Tensor((1, 4), name="ghost"), Tensor((1, 4), name="y")]
    rejected(build(tensors, [Operator("ADD", [0, 1], [2], "AddOptions")], [0], [2]), "reads tensor ghost")


def test_layer_names_are_short_and_unique() -> None:
    names = ["a/Relu;StatefulPartitionedCall/a", "a/Relu;b", "StatefulPartitionedCall/c;d", "StatefulPartitionedCall:0"]
    tensors = [Tensor((1, 4), name="x"), *(Tensor((1, 4), name=name) for name in names)]
    operators = [Operator("RELU", [i], [i + 1]) for i in range(len(names))]
    module = import_tflite(build(tensors, operators, [0], [len(names)]))
    layers = [layer_name(op) for op in module.walk() if op.name == "ktensor.activation"]
    assert layers == ["a/Relu", "a/Relu_2", "d", "StatefulPartitionedCall:0"]
    assert re.search(r'ktensor.name = "StatefulPartitionedCall:0"', str(module))
