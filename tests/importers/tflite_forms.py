"""Every TFLite operator with every attribute: the forms that `test_tflite_matrix` compares with LiteRT."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from tests.importers.tflite_builder import Tensor
from tests.importers.tflite_matrix import (
    MAP,
    NONE,
    RELU,
    RELU6,
    RELU_N1_TO_1,
    SAME,
    SYMMETRIC_ONE,
    TANH,
    VALID,
    Form,
    ints,
    pairs,
    result,
    typed,
    weights,
)
from tests.importers.tflite_movement import choosing, coded, conversions, movement, operators_on_codes, shapes


def convolutions() -> Iterator[Form]:
    for padding, (sh, sw), (dh, dw), (kh, kw), fused in product(
        (SAME, VALID),
        ((1, 1), (2, 2), (1, 2), (3, 2)),
        ((1, 1), (2, 2), (1, 2)),
        ((3, 3), (1, 1), (2, 4), (5, 3)),
        (NONE, RELU, RELU_N1_TO_1, RELU6),
    ):
        if (dh, dw) != (1, 1) and (sh, sw) != (1, 1):
            continue
        options = {
            "Padding": padding,
            "StrideH": sh,
            "StrideW": sw,
            "DilationHFactor": dh,
            "DilationWFactor": dw,
            "FusedActivationFunction": fused,
        }
        x = (1, 11, 13, 4)
        yield Form("CONV_2D", (x, weights(6, kh, kw, 4), weights(6)), "Conv2DOptions", options, weights=(1, 0))
        yield Form(
            "DEPTHWISE_CONV_2D",
            (x, weights(1, kh, kw, 8), weights(8)),
            "DepthwiseConv2DOptions",
            {**options, "DepthMultiplier": 2},
            weights=(1, 3),
        )
    plain = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    yield Form("CONV_2D", ((1, 5, 5, 4), weights(6, 3, 3, 2), weights(6)), "Conv2DOptions", plain, weights=(1, 0))
    for multiplier in (1, 3):
        given = ((2, 5, 5, 4), weights(1, 3, 3, 4 * multiplier), weights(4 * multiplier))
        options = {**plain, "DepthMultiplier": multiplier}
        yield Form("DEPTHWISE_CONV_2D", given, "DepthwiseConv2DOptions", options, weights=(1, 3))
    batch = ((2, 5, 5, 4), weights(6, 3, 3, 4), weights(6))
    yield Form("CONV_2D", batch, "Conv2DOptions", plain, weights=(1, 0))
    for padding, (sh, sw), (kh, kw) in product(
        (SAME, VALID), ((1, 1), (2, 2), (2, 3)), ((3, 3), (2, 2), (4, 4), (1, 1))
    ):
        out = [(n - 1) * s + (k if padding == VALID else 1) for n, s, k in ((4, sh, kh), (5, sw, kw))]
        more = [out] if padding == VALID else [out, [4 * sh, 5 * sw]]
        for height, width in more:
            yield Form(
                "TRANSPOSE_CONV",
                (ints(1, height, width, 5), weights(5, kh, kw, 3), (1, 4, 5, 3), weights(5)),
                "TransposeConvOptions",
                {"Padding": padding, "StrideH": sh, "StrideW": sw},
                results=(Tensor((1, height, width, 5)),),
                weights=(1, 0),
            )
    for fused in (RELU, RELU_N1_TO_1, RELU6):
        yield Form(
            "TRANSPOSE_CONV",
            (ints(1, 8, 10, 5), weights(5, 3, 3, 3), (1, 4, 5, 3), weights(5)),
            "TransposeConvOptions",
            {"Padding": SAME, "StrideH": 2, "StrideW": 2, "FusedActivationFunction": fused},
            results=(Tensor((1, 8, 10, 5)),),
            weights=(1, 0),
        )
    for padding, stride, dilation, fused in ((SAME, 1, 1, 1), (VALID, 1, 2, 0), (SAME, 2, 1, 3), (VALID, 2, 1, 0)):
        axes = {f"Stride{axis}": stride for axis in "DHW"} | {f"Dilation{axis}Factor": dilation for axis in "DHW"}
        options = {"Padding": padding, "FusedActivationFunction": fused, **axes}
        given = ((2, 5, 6, 7, 3), weights(3, 2, 3, 3, 4), weights(4))
        yield Form("CONV_3D", given, "Conv3DOptions", options)
    for padding, stride, dilation, fused in ((SAME, 1, 1, 1), (VALID, 1, 2, 0), (SAME, 2, 1, 3), (VALID, 2, 1, 0)):
        axes = {f"Stride{axis}": stride for axis in "DHW"} | {f"Dilation{axis}Factor": dilation for axis in "DHW"}
        options = {"Padding": padding, "FusedActivationFunction": fused, **axes}
        spans = [(taps - 1) * dilation + 1 for taps in (3, 2, 3)]
        for more in (0, stride - 1):
            size = [n * stride for n in (4, 5, 3)] if padding == SAME else []
            size = size or [(n - 1) * stride + span + more for n, span in zip((4, 5, 3), spans, strict=True)]
            shape = ints(2, *size, 4)
            yield Form(
                "CONV_3D_TRANSPOSE",
                (shape, weights(3, 2, 3, 4, 3), (2, 4, 5, 3, 3), weights(4) if fused else None),
                "Conv3DOptions",
                options,
                results=(Tensor(shape.tolist()),),
            )


def pools() -> Iterator[Form]:
    for kind, padding, (sh, sw), (kh, kw), fused in product(
        ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"),
        (SAME, VALID),
        ((1, 1), (2, 2), (2, 1)),
        ((2, 2), (3, 3), (7, 9), (1, 3)),
        (NONE, RELU, RELU_N1_TO_1, RELU6),
    ):
        options = {
            "FilterHeight": kh,
            "FilterWidth": kw,
            "StrideH": sh,
            "StrideW": sw,
            "Padding": padding,
            "FusedActivationFunction": fused,
        }
        yield Form(kind, ((1, 7, 9, 3),), "Pool2DOptions", options, same=kind != "L2_POOL_2D")


def products() -> Iterator[Form]:
    table = "FullyConnectedOptions"
    for fused in range(4):
        options = {"FusedActivationFunction": fused}
        yield Form("FULLY_CONNECTED", ((3, 12), weights(5, 12), weights(5)), table, options, weights=(1, 0))
    for x, more in (((1, 2, 2, 3), {}), ((1, 4, 12), {"KeepNumDims": True}), ((2, 3, 4, 12), {"KeepNumDims": True})):
        yield Form("FULLY_CONNECTED", (x, weights(5, 12), weights(5)), table, more, weights=(1, 0))
        yield Form("FULLY_CONNECTED", (x, weights(5, 12), None), table, more, weights=(1, 0))
    table = "BatchMatMulOptions"
    for adj_x, adj_y in product((False, True), repeat=2):
        x, y = ((4, 3) if adj_x else (3, 4)), ((5, 4) if adj_y else (4, 5))
        options = {"AdjX": adj_x, "AdjY": adj_y}
        for left, right in (((2,), (2,)), ((1,), (2,)), ((2,), (1,)), ((2, 1), (3,)), ((2, 3), (2, 3)), ((2,), ())):
            yield Form("BATCH_MATMUL", ((*left, *x), (*right, *y)), table, options)
        for right in ((2,), ()):
            yield Form("BATCH_MATMUL", ((2, *x), weights(*right, *y)), table, options)


def functions() -> Iterator[Form]:
    for shape in (MAP, (5,), (2, 3), (1, 2, 3, 2, 2)):
        for kind in (
            "ABS",
            "CEIL",
            "COS",
            "ELU",
            "EXP",
            "FLOOR",
            "HARD_SWISH",
            "NEG",
            "ROUND",
            "SIGN",
            "SIN",
            "SQUARE",
        ):
            yield Form(kind, (shape,), low=-6, high=6)
        for kind in ("RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1"):
            yield Form(kind, (shape,), low=-9, high=9)
        yield Form("LOGISTIC", (shape,), low=-9, high=9, fixed=(1 / 256, 0))
        yield Form("TANH", (shape,), low=-4, high=4, fixed=SYMMETRIC_ONE)
        for kind in ("LOG", "RSQRT", "SQRT"):
            yield Form(kind, (shape,), low=0.1, high=9)
    for alpha in (0.2, 0.0, 1.5, -0.3):
        yield Form("LEAKY_RELU", (MAP,), "LeakyReluOptions", {"Alpha": alpha})
    for approximate in (False, True):
        yield Form("GELU", (MAP,), "GeluOptions", {"Approximate": approximate}, low=-4, high=4)
    for slope in ((1, 1, 8), (4, 6, 8), (1,), (1, 6, 1)):
        yield Form("PRELU", (MAP, weights(*slope)), weights=(1, None))
    for bits, (least, most) in product((8, 2, 4, 16), ((-1.3, 1.7), (0.0, 1.0), (-1.5, 0.0))):
        options = {"Min": least, "Max": most, "NumBits": bits}
        yield Form("FAKE_QUANT", (MAP,), "FakeQuantOptions", options)
    for boundaries in ([-1.0, 0.0, 0.5], [0.25], [-1.5, -1.5, 1.0, 9.0]):
        options = {"Boundaries": np.array(boundaries, np.float32)}
        yield Form("BUCKETIZE", (MAP,), "BucketizeOptions", options, results=result("int32"))


SHAPES = (
    (MAP, MAP),
    (MAP, (8,)),
    ((1, 1, 1, 8), MAP),
    (MAP, ()),
    ((4, 1, 3), (2, 1, 5, 1)),
    ((1, 3, 1, 2, 1), (2, 1, 4, 1, 5)),
)


def binaries() -> Iterator[Form]:
    for x, y in SHAPES:
        for kind, table in (("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions"), ("DIV", "DivOptions")):
            for fused in range(4):
                if kind == "DIV" and max(len(x), len(y)) > 4:
                    continue
                low = 0.3 if kind == "DIV" else -2.0
                yield Form(kind, (x, y), table, {"FusedActivationFunction": fused}, low=low)
            if kind in ("ADD", "SUB"):
                yield Form(kind, (x, y), table, {"PotScaleInt16": False})
        for kind in ("MAXIMUM", "MINIMUM"):
            yield Form(kind, (x, y), "MaximumMinimumOptions", same=True)
        if max(len(x), len(y)) < 5:
            yield Form("SQUARED_DIFFERENCE", (x, y))
            yield Form("POW", (x, y), low=0.2)
            yield Form("FLOOR_DIV", (x, y), low=0.3, high=9)
            yield Form("FLOOR_MOD", (x, y), low=0.3, high=9)
    for dtype, kind in product(("int32", "int64"), ("ADD", "SUB", "MUL", "DIV", "FLOOR_DIV", "FLOOR_MOD", "POW")):
        if dtype == "int64" and kind in ("DIV", "FLOOR_DIV", "POW"):
            continue
        table = f"{kind.title()}Options" if kind in ("ADD", "SUB", "MUL", "DIV") else ""
        low, high = (1, 6) if kind == "POW" else (-20, 20)
        y = np.array([3, -4, 2, 7, -5, 1, 9, -2] if kind != "POW" else [0, 1, 2, 3, 4, 5, 1, 2], dtype)
        yield Form(kind, (typed(MAP, dtype), y), table, {}, result(dtype), low, high)
    for dtype, kind in product(("int32", "int64"), ("MAXIMUM", "MINIMUM")):
        yield Form(kind, (typed(MAP, dtype), typed(MAP, dtype)), "MaximumMinimumOptions", {}, result(dtype), -9, 9)
    yield Form("SQUARED_DIFFERENCE", (typed(MAP, "int32"), ints(3)), "", {}, result("int32"), -9, 9)
    for exponent in (-1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 1.7, -2.2):
        yield Form("POW", (MAP, np.float32(exponent)), low=0.2)
    for exponent in (2.0, 3.0, 4.0, -3.0):
        yield Form("POW", (MAP, np.float32(exponent)))
    yield Form("POW", ((3,), np.ones((1, 2, 1), np.float32)[:, :1]))
    yield Form("FLOOR_MOD", (MAP, np.float32(-0.75)))
    for count in (2, 3, 5):
        yield Form("ADD_N", (MAP,) * count)
    yield Form("ATAN2", (MAP, MAP))
    yield Form("ATAN2", (MAP, np.array([-1, 0, 1, 0, 2, -3, 1e-9, 0], np.float32) * np.ones(MAP, np.float32)))
    yield Form("ATAN2", (np.zeros(MAP, np.float32), MAP))
    for dtype in ("int8", "uint8", "int16", "int32"):
        bits = np.array([0, 1, 2, 3, 4, 5, 6, 7], dtype) * np.ones(MAP, dtype)
        yield Form(
            "RIGHT_SHIFT", (typed(MAP, dtype), bits), "", {}, result(dtype), 0 if dtype == "uint8" else -100, 100
        )


def logic() -> Iterator[Form]:
    for kind in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        for x, y in ((MAP, MAP), (MAP, (8,)), ((2, 3, 1), (1, 3, 4))):
            yield Form(kind, (x, y), results=result("bool"), same=True)
            for dtype in ("int32", "int64"):
                yield Form(kind, (typed(x, dtype), typed(y, dtype)), "", {}, result("bool"), -3, 3)
    for kind in ("LOGICAL_AND", "LOGICAL_OR"):
        for x, y in ((MAP, MAP), (MAP, (8,))):
            yield Form(kind, (typed(x, "bool"), typed(y, "bool")), results=result("bool"))
    yield Form("LOGICAL_NOT", (typed(MAP, "bool"),), results=result("bool"))
    for c, x, y in ((MAP, MAP, MAP), ((8,), MAP, MAP), (MAP, (1,), MAP), ((2, 1, 3), (4, 1), (2, 1, 1))):
        yield Form("SELECT_V2", (typed(c, "bool"), x, y), "SelectV2Options", same=True)
    yield Form(
        "SELECT_V2",
        (np.array([True, False, True]), (2, 3), np.full(3, -3.4028234663852886e38, np.float32)),
        "SelectV2Options",
        same=True,
    )
    for c, x in ((MAP, MAP), ((4,), (4, 3, 2)), ((1,), (1,))):
        yield Form("SELECT", (typed(c, "bool"), x, x), "SelectOptions", same=True)
    codes = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
    codes |= {"float64": 10, "uint32": 15, "uint16": 16}
    kinds = tuple(codes)
    for source, target in product(kinds, kinds):
        options = {"InDataType": codes[source], "OutDataType": codes[target]}
        most = 60000 if "float16" in (source, target) else 70000
        if source in ("int8", "uint8", "int16", "uint16"):
            most = np.iinfo(source).max
        low = 0 if source.startswith("uint") or target == "uint32" else -most
        yield Form("CAST", (typed((9, 7), source),), "CastOptions", options, result(target), low, most)
    for kind, dtype in product(("ABS", "NEG", "SIGN"), ("int32",)):
        yield Form(kind, (typed(MAP, dtype),), "", {}, result(dtype), -9, 9)
    for dtype in ("int8", "int16"):
        yield Form("NEG", (typed(MAP, dtype),), "", {}, result(dtype), -100, 100)
        for kind in ("FLOOR_DIV", "FLOOR_MOD"):
            y = np.array([3, -4, 2, 7, -5, 1, 9, -2], dtype)
            yield Form(kind, (typed(MAP, dtype), y), "", {}, result(dtype), -100, 100)


def reductions() -> Iterator[Form]:
    for axes, keep in product(((1, 2), (-1,), (0,), (0, 1, 2, 3), (3, 1), (2, -2)), (False, True)):
        for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
            same = kind in ("REDUCE_MAX", "REDUCE_MIN")
            yield Form(kind, ((2, 3, 4, 5), ints(*axes)), "ReducerOptions", {"KeepDims": keep}, same=same)
        for kind in ("REDUCE_ANY", "REDUCE_ALL"):
            yield Form(
                kind, (typed((2, 3, 4, 5), "bool"), ints(*axes)), "ReducerOptions", {"KeepDims": keep}, result("bool")
            )
    for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        same = kind in ("REDUCE_MAX", "REDUCE_MIN")
        for shape, axes in (((3,), ints(0)), ((2, 3), np.int32(1)), ((2, 1, 3, 2, 2), ints(4, 0))):
            yield Form(kind, (shape, axes), "ReducerOptions", {}, same=same)
    for kind, dtype in product(("SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "MEAN"), ("int32", "int64")):
        yield Form(kind, (typed((2, 3, 4), dtype), ints(1)), "ReducerOptions", {"KeepDims": True}, result(dtype), -9, 9)
    for shape in ((2, 10), MAP, (3, 4, 5), (7,)):
        for beta in (1.0, 0.5):
            yield Form("SOFTMAX", (shape,), "SoftmaxOptions", {"Beta": beta}, fixed=(1 / 256, 0), low=-8, high=8)
        yield Form("LOG_SOFTMAX", (shape,), fixed=(16 / 256, 255), low=-3, high=3)
        yield Form("L2_NORMALIZATION", (shape,), "L2NormOptions", fixed=SYMMETRIC_ONE)
    windows = (((1, 2, 3, 1), (1, 2, 1, 1), (1, 1, 2, 1)), ((2, 1, 1, 3), (1, 1, 1, 2), (1, 1, 1, 1)))
    for function, window in product((1, 2, 3, 4), windows):
        given = [np.array(one, np.int64) for one in window]
        for start in ({1: 0, 2: 1, 3: 3.4e38, 4: -3.4e38}[function], 0.5):
            yield Form(
                "REDUCE_WINDOW",
                ((2, 5, 7, 4), np.float32(start), *given),
                "ReduceWindowOptions",
                {"ReduceFunction": function},
            )
        x = typed((2, 5, 7, 4), "int32")
        options = {"ReduceFunction": function}
        yield Form("REDUCE_WINDOW", (x, np.int32(2), *given), "ReduceWindowOptions", options, result("int32"), -9, 9)
    for function, start in ((5, True), (6, False)):
        x = typed((2, 5, 7, 4), "bool")
        given = (x, np.array(start), *(np.array(one, np.int64) for one in windows[0]))
        yield Form("REDUCE_WINDOW", given, "ReduceWindowOptions", {"ReduceFunction": function}, result("bool"))
    for radius, bias, alpha, beta in ((1, 1.0, 0.5, 0.75), (5, 2.0, 1e-2, 0.5), (0, 1.0, 1.0, 1.0)):
        options = {"Radius": radius, "Bias": bias, "Alpha": alpha, "Beta": beta}
        yield Form("LOCAL_RESPONSE_NORMALIZATION", (MAP,), "LocalResponseNormalizationOptions", options)


def images() -> Iterator[Form]:
    for size, (align, half) in product(
        ((10, 12), (7, 9), (3, 4), (1, 11), (5, 6), (23, 31), (15, 2)), ((False, False), (True, False), (False, True))
    ):
        options = {"AlignCorners": align, "HalfPixelCenters": half}
        x = ((1, 5, 6, 2), ints(*size))
        yield Form("RESIZE_BILINEAR", x, "ResizeBilinearOptions", options, same=True)
        yield Form("RESIZE_NEAREST_NEIGHBOR", x, "ResizeNearestNeighborOptions", options, same=True)
    for kind, table in (("RESIZE_BILINEAR", "Bilinear"), ("RESIZE_NEAREST_NEIGHBOR", "NearestNeighbor")):
        yield Form(kind, ((2, 3, 4, 1), ints(6, 7)), f"Resize{table}Options", same=True)
    for block, pads in (((2, 2), ((1, 0), (2, 0))), ((1, 3), ((0, 0), (0, 0))), ((3, 2), ((1, 0), (0, 2)))):
        yield Form("SPACE_TO_BATCH_ND", ((1, 5, 6, 2), ints(*block), pairs(*pads)), same=True)
    yield Form("SPACE_TO_BATCH_ND", ((2, 5, 2), ints(2), pairs((1, 0))), same=True)
    for block, crops in (((2, 2), ((1, 0), (0, 2))), ((1, 2), ((0, 0), (1, 1))), ((4, 1), ((2, 1), (0, 0)))):
        yield Form("BATCH_TO_SPACE_ND", ((4, 3, 4, 2), ints(*block), pairs(*crops)), same=True)
    yield Form("BATCH_TO_SPACE_ND", ((2, 5, 2), ints(2), pairs((1, 0))), same=True)
    for block in (1, 2):
        yield Form("DEPTH_TO_SPACE", ((1, 3, 4, 8),), "DepthToSpaceOptions", {"BlockSize": block}, same=True)
        yield Form("SPACE_TO_DEPTH", ((1, 4, 6, 3),), "SpaceToDepthOptions", {"BlockSize": block}, same=True)


def states(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [Tensor(shape, name=f"state{i}", variable=True) for i, shape in enumerate(shapes)]


def lstm_inputs(inputs: int, units: int, outputs: int, *, cifg: bool, peephole: bool, project: bool) -> list[Any]:
    """Weights of one direction: inputs 1 to 17."""
    skip = 1 if cifg else 0
    gates = [weights(units, inputs + i)[:, :inputs] for i in range(4)]
    recurrent = [weights(units, outputs + i)[:, :outputs] for i in range(4)]
    peepholes = [weights(units, i + 1)[:, 0].copy() if peephole else None for i in range(3)]
    biases = [weights(units + i)[:units] for i in range(4)]
    for group in (gates, recurrent, biases, peepholes):
        if skip:
            group[0] = None  # type: ignore[call-overload]
    projection = [weights(outputs, units), weights(outputs)] if project else [None, None]
    kept = [*gates, *recurrent, *peepholes, *biases]
    return [None if one is None else np.ascontiguousarray(one) for one in [*kept, *projection]]


def recurrent() -> Iterator[Form]:
    steps, batch, size, units = 4, 2, 3, 5
    for cifg, peephole, project, norm, major in (
        (False, False, False, False, False),
        (False, False, False, False, True),
        (True, False, False, False, False),
        (False, True, False, False, True),
        (False, False, True, False, False),
        (False, True, True, False, True),
        (False, False, False, True, False),
        (True, True, True, True, True),
    ):
        outputs = 4 if project else units
        given = lstm_inputs(size, units, outputs, cifg=cifg, peephole=peephole, project=project)
        norms = [None if cifg and i == 0 else weights(units + 1)[:units] for i in range(4)] if norm else []
        shape = (steps, batch, size) if major else (batch, steps, size)
        inputs = [shape, *given, *states((batch, outputs), (batch, units)), *norms]
        for clips in ({}, {"CellClip": 0.4, "ProjClip": 0.3}):
            options = {"FusedActivationFunction": 4, "TimeMajor": major, **clips}
            yield Form("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, "UnidirectionalSequenceLSTMOptions", options)
    given = lstm_inputs(size, units, units, cifg=False, peephole=False, project=False)
    single = [(batch, size), *given, *states((batch, units), (batch, units))]
    for options in ({}, {"CellClip": 0.4}):
        yield Form("LSTM", single, "LSTMOptions", {"FusedActivationFunction": 4, **options})
    for fused, clip in ((1, 0.0), (3, 0.0), (4, 0.3)):
        options = {"FusedActivationFunction": fused, "CellClip": clip}
        inputs = [(batch, steps, size), *given, *states((batch, units), (batch, units))]
        yield Form("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, "UnidirectionalSequenceLSTMOptions", options)
    for merge, major in product((False, True), repeat=2):
        # LiteRT itself gives other numbers with and without merging where there are two sequences, batch first.
        count = batch if major or not merge else 1
        shape = (steps, count, size) if major else (count, steps, size)
        state = states(*[(count, units)] * 4)
        inputs = [shape, *given, *given, *state, *[None] * 9]
        options = {"FusedActivationFunction": 4, "TimeMajor": major, "MergeOutputs": merge}
        outputs = (Tensor((1,)),) * (1 if merge else 2)
        for clip in ({}, {"CellClip": 0.4}):
            more = {**options, **clip}
            yield Form("BIDIRECTIONAL_SEQUENCE_LSTM", inputs, "BidirectionalSequenceLSTMOptions", more, outputs)
    for major, fused in product((False, True), (NONE, RELU, RELU_N1_TO_1, RELU6, TANH)):
        shape = (steps, batch, size) if major else (batch, steps, size)
        inputs = [shape, weights(units, size), weights(units, units), weights(units), *states((batch, units))]
        options = {"FusedActivationFunction": fused, "TimeMajor": major}
        yield Form("UNIDIRECTIONAL_SEQUENCE_RNN", inputs, "SequenceRNNOptions", options)
    for merge, major, fused in product((False, True), (False, True), (RELU, TANH)):
        shape = (steps, batch, size) if major else (batch, steps, size)
        ways: list[Any] = []
        for state in states((batch, units), (batch, units)):
            ways += [weights(units, size), weights(units, units) * (1 - len(ways) / 8), weights(units), state]
        options = {"FusedActivationFunction": fused, "TimeMajor": major, "MergeOutputs": merge}
        outputs = (Tensor((1,)),) * (1 if merge else 2)
        inputs = [shape, *ways, None, None, None]
        yield Form("BIDIRECTIONAL_SEQUENCE_RNN", inputs, "BidirectionalSequenceRNNOptions", options, outputs)
    inputs = [(batch, size), weights(units, size), weights(units, units), weights(units), *states((batch, units))]
    for fused in (NONE, RELU, RELU_N1_TO_1, RELU6, TANH):
        yield Form("RNN", inputs, "RNNOptions", {"FusedActivationFunction": fused})


def further() -> Iterator[Form]:
    """Weights that are computed, and types that differ within a layer."""
    plain = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    yield Form("CONV_2D", ((1, 5, 5, 4), (6, 3, 3, 4), weights(6)), "Conv2DOptions", plain, weights=(1, 0))
    given = ((1, 5, 5, 4), (1, 3, 3, 4), weights(4))
    yield Form("DEPTHWISE_CONV_2D", given, "DepthwiseConv2DOptions", {**plain, "DepthMultiplier": 1}, weights=(1, 3))
    for bias in ((), (weights(5),)):
        yield Form("FULLY_CONNECTED", ((3, 12), (5, 12), *bias), "FullyConnectedOptions", weights=(1, 0))
    for weight in ((5, 2, 2, 3), weights(5, 2, 2, 3)):
        options = {"Padding": VALID, "StrideH": 1, "StrideW": 1}
        given = (ints(1, 5, 6, 5), weight, (1, 4, 5, 3))
        results = (Tensor((1, 5, 6, 5)),)
        yield Form("TRANSPOSE_CONV", given, "TransposeConvOptions", options, results, weights=(1, 0))
    wide = Tensor((1,), "int16", scale=[0.002], zero_point=[0])
    for dtype, bias, options in (("int64", 1e-7, {"QuantizedBiasType": 4}), ("int32", 1e-7, {}), ("", 0.0, {})):
        last = (
            Tensor((5,), dtype, "b", (weights(5) * 1000).astype(dtype), scale=[bias], zero_point=[0]) if dtype else None
        )
        weight = Tensor((5, 12), "int16", "w", (weights(5, 12) * 32767).astype("int16"), scale=[1e-4], zero_point=[0])
        yield Form(
            "FULLY_CONNECTED", (coded("int16", (3, 12)), weight, last), "FullyConnectedOptions", options, (wide,)
        )
    weight = Tensor((5, 12), "uint8", "w", (weights(5, 12) * 127 + 128).astype("uint8"), scale=[0.01], zero_point=[128])
    last = Tensor((5,), "int32", "b", ints(1, -2, 300, 0, 5), scale=[0.0005], zero_point=[0])
    yield Form("FULLY_CONNECTED", (coded("uint8", (3, 12)), weight, last), "FullyConnectedOptions", {}, (wide,))
    half = Tensor((1,), "int16", scale=[1 / 32768], zero_point=[0])
    yield Form("SOFTMAX", (coded("int8", (3, 10)),), "SoftmaxOptions", {"Beta": 1.0}, (half,))
    joined = (coded("uint8"), coded("uint8", MAP, 1.7))
    yield Form("CONCATENATION", joined, "ConcatenationOptions", {"Axis": 1}, (coded("uint8", (1,), 1.3),))


FAMILIES = (
    *(convolutions, pools, products, functions, binaries, logic, reductions, images, movement),
    *(shapes, conversions, choosing, recurrent, operators_on_codes, further),
)


def forms() -> dict[str, list[Form]]:
    """All forms in float32 (or integers where the operator computes those), by operator."""
    found: dict[str, list[Form]] = {}
    for family in FAMILIES:
        for form in family():
            found.setdefault(form.kind, []).append(form)
    return found
