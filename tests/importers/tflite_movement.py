"""Forms of what moves, converts and chooses elements, and of what computes with codes: see `tflite_forms`."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from tests.importers.tflite_builder import Sparsity, Tensor
from tests.importers.tflite_matrix import MAP, Form, ints, pairs, result, typed, weights


def movement() -> Iterator[Form]:
    for axis in (-1, 0, 1, 2, 3, -4):
        yield Form("CONCATENATION", (MAP, MAP), "ConcatenationOptions", {"Axis": axis}, same=True)
    yield Form("CONCATENATION", ((2, 3), (2, 4), (2, 1)), "ConcatenationOptions", {"Axis": 1}, same=True)
    yield Form(
        "CONCATENATION",
        (typed(MAP, "int32"), typed(MAP, "int32")),
        "ConcatenationOptions",
        {"Axis": 1},
        result("int32"),
    )
    for shape, count in (((), 3), ((4,), 1), (MAP, 2)):
        options = {"ValuesCount": count, "Axis": 0}
        yield Form("PACK", (shape,) * count, "PackOptions", options, same=True)
    yield Form("CONCATENATION", ((3,), (2,)), "ConcatenationOptions", {"Axis": 0}, same=True)
    yield Form("CONCATENATION", ((1, 2, 1, 2, 3),) * 3, "ConcatenationOptions", {"Axis": 3}, same=True)
    yield Form("CONCATENATION", (MAP, weights(1, 4, 6, 2)), "ConcatenationOptions", {"Axis": 3}, same=True)
    for axis in (0, 1, 2, -1, -3):
        yield Form("PACK", ((3, 4), (3, 4), (3, 4)), "PackOptions", {"ValuesCount": 3, "Axis": axis}, same=True)
    for axis, count in ((0, 2), (1, 3), (-1, 4)):
        outputs = tuple(Tensor((1,)) for _ in range(count))
        yield Form("UNPACK", ((2, 3, 4),), "UnpackOptions", {"Num": count, "Axis": axis}, outputs, same=True)
    for axis, count in ((3, 2), (-2, 3), (1, 4), (0, 1)):
        outputs = tuple(Tensor((1,)) for _ in range(count))
        yield Form("SPLIT", (np.int32(axis), MAP), "SplitOptions", {"NumSplits": count}, outputs, same=True)
    for axis, sizes in ((3, (3, -1)), (-2, (1, 2, 3)), (1, (4,))):
        outputs = tuple(Tensor((1,)) for _ in sizes)
        options = {"NumSplits": len(sizes)}
        yield Form("SPLIT_V", (MAP, ints(*sizes), np.int32(axis)), "SplitVOptions", options, outputs, same=True)
    for begin, size, shape in (((0, 1, 2, 3), (1, -1, 3, 4), (1, 3, 3, 4)), ((0, 0, 0, 0), (-1, -1, -1, -1), MAP)):
        yield Form("SLICE", (MAP, ints(*begin), ints(*size)), results=(Tensor(shape),), same=True)
    for x, begin, size in (
        ((5,), (2,), (2,)),
        ((2, 3), (1, 0), (1, 2)),
        ((2, 1, 3, 2, 2), (0, 0, 1, 0, 1), (2, 1, 2, 2, 1)),
    ):
        places = (np.array(begin, np.int64), np.array(size, np.int64))
        yield Form("SLICE", (x, *places), results=(Tensor(size),), same=True)
    for begin, end, steps, masks in SLICES:
        yield Form(
            "STRIDED_SLICE",
            ((4, 5, 6), ints(*begin), ints(*end), ints(*steps)),
            "StridedSliceOptions",
            masks,
            same=True,
        )
    for begin, end, steps, masks in (
        ((0, 1, 0, 2), (1, 4, 6, 8), (1, 2, 1, 3), {}),
        ((0, 1, 2, 3), (1, 2, 3, 4), (1, 1, 2, 3), {"Offset": True}),
        ((0, 0, 0, 5), (0, 0, 0, -9), (1, 1, 1, -2), {"BeginMask": 7, "EndMask": 15}),
    ):
        places = (ints(*begin), ints(*end), ints(*steps))
        yield Form("STRIDED_SLICE", (MAP, *places), "StridedSliceOptions", masks, same=True)
    for multiples in ((2, 3), (1, 1), (1, 4)):
        yield Form("TILE", ((2, 3), ints(*multiples)), same=True)
    for shape, multiples in (((3,), (4,)), (MAP, (2, 1, 3, 2)), ((1, 2, 1, 2, 3), (2, 1, 3, 1, 2))):
        yield Form("TILE", (shape, np.array(multiples, np.int64)), same=True)
    for shape, wanted in (((3, 1), (2, 3, 4)), ((1,), (2, 2)), ((2, 1, 3), (2, 4, 3))):
        yield Form("BROADCAST_TO", (shape, ints(*wanted)), same=True)
    for margins in (((0, 0), (1, 2), (0, 1), (2, 0)), ((1, 0), (0, 0), (0, 0), (0, 0)), ((0, 0),) * 4):
        yield Form("PAD", (MAP, pairs(*margins)), same=True)
        yield Form("PADV2", (MAP, pairs(*margins), np.float32(-1.5)), same=True)
        if margins[0] == (0, 0):
            for mode in (0, 1):
                yield Form("MIRROR_PAD", (MAP, pairs(*margins)), "MirrorPadOptions", {"Mode": mode}, same=True)
    for shape, margins in (((3,), ((1, 2),)), ((2, 3), ((0, 2), (1, 0))), ((1, 2, 1, 2, 3), ((0, 1),) * 5)):
        for kind, more in (("PAD", ()), ("PADV2", (np.float32(0.5),))):
            yield Form(kind, (shape, np.array(margins, np.int64), *more), same=True)
    for shape, margins, mode in product(((3,), (3, 4, 3)), ((1, 2), (0, 1)), (0, 1)):
        given = (shape, pairs(*[margins] * len(shape)))
        yield Form("MIRROR_PAD", given, "MirrorPadOptions", {"Mode": mode}, same=True)
    for shape, axes in ((MAP, (2,)), (MAP, (-1,)), ((5,), (0,)), (MAP, (1, 2)), ((2, 3, 4), (0, 1, 2))):
        yield Form("REVERSE_V2", (shape, ints(*axes)), same=True)
    for shape, order in (
        (MAP, (0, 3, 1, 2)),
        ((3, 4), (1, 0)),
        ((2, 3, 4), (2, 0, 1)),
        ((1, 2, 3, 2, 2), (4, 0, 2, 1, 3)),
        ((2, 1, 3, 1, 2, 2), (5, 1, 0, 4, 2, 3)),
        ((4,), (0,)),
    ):
        yield Form("TRANSPOSE", (shape, ints(*order)), same=True)
    for factors in ((1, 2, 3, 1), (1, 1, 1, 2), (1, 1, 1, 1)):
        yield Form("DILATE", (MAP, ints(*factors), np.float32(0.5)), "DilateOptions", same=True)
    for x, update, place in (((4, 5), (2, 3), (1, 2)), ((4, 5), (2, 3), (9, -1)), (MAP, (1, 2, 2, 8), (0, 1, 3, 0))):
        yield Form("DYNAMIC_UPDATE_SLICE", (x, update, ints(*place)), same=True)


SLICES: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], dict[str, int]], ...] = (
    ((0, 1, 2), (4, 4, 6), (1, 2, 3), {}),
    ((3, -1, 5), (0, -4, 0), (-1, -1, -2), {}),
    ((9, -9, 1), (9, 9, -1), (1, 1, 1), {"BeginMask": 1}),
    ((0, 0, 0), (0, 0, 0), (-1, -2, 1), {"BeginMask": 7, "EndMask": 7}),
    ((2, 0, -1), (3, 5, 0), (1, 1, 1), {"ShrinkAxisMask": 5}),
    ((1, 0, 0, 0), (3, 0, 5, 6), (1, 1, 2, 1), {"NewAxisMask": 2}),
    ((0, 0, 2), (1, 0, 5), (1, 1, 1), {"EllipsisMask": 2}),
    ((0, 1), (0, 3), (1, 1), {"EllipsisMask": 1}),
    ((1, 2), (2, 4), (1, 1), {"EndMask": 2}),
    ((1,), (2,), (1,), {"ShrinkAxisMask": 1}),
    ((0, 0, 1), (0, 0, 3), (1, 1, 1), {"NewAxisMask": 1, "EllipsisMask": 2}),
    ((-3, -4, -5), (-1, -1, -1), (1, 2, 2), {}),
)


def shapes() -> Iterator[Form]:
    for shape in ((2, -1, 8), (-1,), (4, 6, 8), (1, 1, 192)):
        wanted = [192 // 16 if dim == -1 and len(shape) == 3 else (192 if dim == -1 else dim) for dim in shape]
        yield Form("RESHAPE", (MAP, ints(*shape)), "ReshapeOptions", {"NewShape": wanted}, same=True)
    yield Form("RESHAPE", (MAP,), "ReshapeOptions", {"NewShape": [1, 24, 8]}, same=True)
    for axis in (0, 1, 2, -1, -3):
        yield Form("EXPAND_DIMS", ((3, 4), np.int32(axis)), same=True)
    for axes in ([0], [-2], [0, 2], []):
        yield Form("SQUEEZE", ((1, 3, 1, 4),), "SqueezeOptions", {"SqueezeDims": axes}, same=True)
    for shape in (MAP, (3,), ()):
        yield Form("ZEROS_LIKE", (shape,))
        yield Form("RANK", (shape,), results=result("int32"))
        if shape:
            yield Form("SHAPE", (shape,), "ShapeOptions", {"OutType": 2}, result("int32"))
            yield Form("SHAPE", (shape,), "ShapeOptions", {"OutType": 4}, result("int64"))
    for dtype in ("float32", "float16", "int8", "int16", "int32", "int64", "bool"):
        yield Form("FILL", (ints(2, 3), np.array(1.5).astype(dtype)), results=result(dtype))
    yield Form("FILL", (np.array([4], np.int64), np.float32(-2)))
    yield Form("RANGE", (np.float32(1), np.float32(5), np.float32(0.5)))
    yield Form("RANGE", (np.int32(9), np.int32(1), np.int32(-3)), results=result("int32"))
    yield Form("RANGE", (np.int64(3), np.int64(9), np.int64(2)), results=result("int64"))
    for one, other, dtype in product(((1, 4), (4,), (2, 1, 1)), ((3, 1), (1,)), ("int32", "int64")):
        yield Form("BROADCAST_ARGS", (np.array(one, dtype), np.array(other, dtype)), results=result(dtype))
    for shape in ((3,), (2, 4)):
        yield Form("MATRIX_DIAG", (shape,))
    for shape, diagonal in (((3, 3), (3,)), ((2, 3, 4), (2, 3)), ((4, 2), (2,))):
        yield Form("MATRIX_SET_DIAG", (shape, diagonal), same=True)


SPARSE = (
    (Sparsity((0, 1), (), (4, ((0, 2, 2, 3, 4), (0, 3, 1, 2)))), (1, 2, 3, 4)),
    (Sparsity((1, 0), (), (4, ((0, 1, 2, 4, 4), (2, 0, 1, 3)))), (5, -2, 3, 4)),
    (Sparsity((0, 1, 2, 3), (0, 1), (2, ((0, 1, 3), (1, 0, 1)), 2, 2)), tuple(range(1, 13))),
    (Sparsity((0, 1, 2), (1,), (4, ((0, 1, 1, 2, 3), (1, 0, 1)), 2)), (1, 2, 3, 4, 5, 6)),
)
"""Matrices of 4x4: by rows, by columns, and in blocks."""


def conversions() -> Iterator[Form]:
    for sparse, values in SPARSE:
        stored = Tensor((4, 4), "float32", "x", np.array(values, np.float32), sparse=sparse)
        yield Form("DENSIFY", (stored,), "DensifyOptions", same=True)
    yield Form("DEQUANTIZE", (typed(MAP, "float16"),))
    yield Form("QUANTIZE", (MAP,), results=(Tensor((1,), "int8", scale=[0.02], zero_point=[0]),))


CODES = {"int8": (0.03, -20), "uint8": (0.05, 100), "int16": (0.001, 0)}
"""A scale and a zero point of each type of codes."""


COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")


def coded(dtype: str, shape: tuple[int, ...] = MAP, factor: float = 1.0, **more: Any) -> Tensor:
    """A tensor of codes, of `factor` times the scale."""
    scale, zero_point = CODES[dtype]
    return Tensor(shape, dtype, "x", scale=[scale * factor], zero_point=[zero_point], **more)


def operators_on_codes() -> Iterator[Form]:
    """What LiteRT computes of codes whatever their scales, and conversions; of all codes."""
    for dtype in CODES:
        narrow, other = coded(dtype), coded(dtype, factor=1.7)
        for kind, factors in product(COMPARISONS, ((1.0, 1.0), (0.02, 0.02), (1.0, 1.7))):
            if dtype == "int16" and factors[0] < factors[1] and kind not in ("EQUAL", "NOT_EQUAL"):
                continue
            row, column = (coded(dtype, *one) for one in zip(((1, 1, 90, 1), (1, 90, 1, 1)), factors, strict=True))
            yield Form(kind, (row, column), results=result("bool"))
        divisors = np.array([3, 4, 2, 7, 5, 1, 9, 100], dtype)
        if dtype != "uint8":
            yield Form("NEG", (narrow,), results=(other,))
            for kind in ("FLOOR_DIV", "FLOOR_MOD"):
                for sign in (1, -1):
                    yield Form(kind, (narrow, coded(dtype, (8,), 0.3, data=divisors * sign)), results=(other,))
        for shape in ((3,), (2, 4)):
            yield Form("MATRIX_DIAG", (coded(dtype, shape),), results=(coded(dtype, (1,), 1.7),))
        if dtype != "int16":
            where = np.array([[1], [3], [1]], np.int32)
            yield Form("SCATTER_ND", (where, coded(dtype, (3, 2)), ints(5, 2)), results=(coded(dtype, (1,), 1.7),))
        for function, start in ((1, 3), (3, 50), (4, 60)):
            window = [np.array(one, np.int64) for one in ((1, 2, 2, 1), (1, 1, 2, 1), (1, 1, 1, 1))]
            given = (narrow, np.array(start, dtype), *window)
            yield Form("REDUCE_WINDOW", given, "ReduceWindowOptions", {"ReduceFunction": function}, (other,))
        for target in ("float32", "int32", "int8", "uint8", "int16", "bool"):
            for result_ in (Tensor((1,), target), *([coded(target, (1,))] if target in CODES else [])):
                yield Form("CAST", (narrow,), "CastOptions", {}, (result_,))
        yield Form("CAST", (MAP,), "CastOptions", {}, (narrow,), -20 if dtype != "uint8" else 0, 100)
        yield Form("DEQUANTIZE", (narrow,))
        yield Form("QUANTIZE", (MAP,), results=(narrow,))
        for target in CODES:
            if (dtype, target) != ("int16", "uint8"):
                yield Form("QUANTIZE", (narrow,), results=(coded(target, (1,), 1.3),))
        if dtype != "int16":
            codes = np.random.default_rng(1).integers(0, 100, (6, 5)).astype(dtype)
            rows = Tensor((6, 5), dtype, "x", codes, scale=[0.05], zero_point=[0])
            yield Form("EMBEDDING_LOOKUP", (typed((4,), "int32"), rows), low=0, high=5.9)
    tall = Tensor((1,), "int8", scale=[0.05], zero_point=[10])
    for kind in ("LOG", "RSQRT"):
        zero_point = -20 if kind == "LOG" else -128
        yield Form(kind, (Tensor(MAP, "int8", "x", scale=[0.03], zero_point=[zero_point]),), results=(tall,))


def choosing() -> Iterator[Form]:
    for axis, dtype, shape in product((0, 1, -1), ("int32", "int64"), ((4, 5), (2, 3, 4))):
        axis_type = np.int32(axis) if dtype == "int32" else np.int64(axis)
        code = 2 if dtype == "int32" else 4
        for kind, table in (("ARG_MAX", "ArgMaxOptions"), ("ARG_MIN", "ArgMinOptions")):
            yield Form(kind, (shape, axis_type), table, {"OutputType": code}, result(dtype))
    for axis, indices in product(
        (0, 1, -1, 2), (ints(2, 0, 1), pairs((0, 1), (2, 0)), np.int32(1), np.array([2, 2], np.int64))
    ):
        yield Form("GATHER", ((3, 4, 5), indices), "GatherOptions", {"Axis": axis}, same=True)
        yield Form(
            "GATHER",
            ((3, 4, 5), typed(indices.shape, "int32", "i")),
            "GatherOptions",
            {"Axis": axis},
            low=0,
            high=2.9,
            same=True,
        )
    for axis, batch in ((1, 1), (2, 1), (2, 2)):
        options = {"Axis": axis, "BatchDims": batch}
        where = (3, 4, 2)[: batch + 1] if batch == 2 else (3, 2)
        fixed = np.random.default_rng(0).integers(0, 4, where).astype(np.int32)
        yield Form("GATHER", ((3, 4, 5), fixed), "GatherOptions", options, same=True)
        yield Form(
            "GATHER", ((3, 4, 5), typed(where, "int32", "i")), "GatherOptions", options, low=0, high=3.9, same=True
        )
    for indices in (
        pairs((0, 1), (2, 0)),
        np.array([[1], [2]], np.int32),
        np.array([[[0, 1, 2]], [[2, 1, 0]]], np.int32),
    ):
        yield Form("GATHER_ND", ((3, 4, 5), indices), same=True)
        yield Form("GATHER_ND", ((3, 4, 5), typed(indices.shape, "int32", "i")), low=0, high=2.9, same=True)
    for shape in ((6, 5), (6, 2, 3)):
        yield Form("EMBEDDING_LOOKUP", (typed((4,), "int32"), weights(*shape)), low=0, high=5.9, same=True)
    for axis, on, off in product((-1, 0, 1), (1.0, 3.5), (0.0, -1.5)):
        form = (typed((2, 4), "int32"), np.int32(5), np.float32(on), np.float32(off))
        yield Form("ONE_HOT", form, "OneHotOptions", {"Axis": axis}, low=-1, high=5.9, same=True)
    for k in (1, 3, 6):
        yield Form("TOPK_V2", ((2, 3, 6), np.int32(k)), results=(Tensor((1,)), Tensor((1,), "int32")), same=True)
    for axis, exclusive, reverse in product((0, 1, -1), (False, True), (False, True)):
        options = {"Exclusive": exclusive, "Reverse": reverse}
        yield Form("CUMSUM", ((3, 4, 5), np.int32(axis)), "CumsumOptions", options)
    yield Form("GATHER", ((3, 4, 5), np.array([2, 0], np.int16)), "GatherOptions", {"Axis": 1}, same=True)
    for time, batch in ((1, 0), (0, 1), (2, 0)):
        size = (3, 4, 5)[batch]
        options = {"SeqDim": time, "BatchDim": batch}
        yield Form(
            "REVERSE_SEQUENCE", ((3, 4, 5), ints(*[1, 3, 2, 3, 1][:size])), "ReverseSequenceOptions", options, same=True
        )
        lengths = typed((size,), "int32", "n")
        yield Form(
            "REVERSE_SEQUENCE", ((3, 4, 5), lengths), "ReverseSequenceOptions", options, low=1, high=3.9, same=True
        )
    yield Form("SCATTER_ND", (np.array([[1], [3], [1]], np.int32), (3, 2), ints(5, 2)))
    yield Form("SCATTER_ND", (pairs((0, 1), (2, 0)), (2, 4), ints(3, 2, 4)))
    for shape, segments in (((5, 3), (0, 0, 1, 1, 2)), ((3, 2, 2), (0, 1, 1)), ((4,), (0, 0, 0, 0))):
        yield Form("SEGMENT_SUM", (shape, ints(*segments)))
    for reduction in ("SUM", "MAX", "MIN", "PROD"):
        kind = f"UNSORTED_SEGMENT_{reduction}"
        yield Form(kind, ((5, 3), ints(3, 0, 1, -1, 0), np.int32(4)))
        yield Form(kind, ((2, 2, 3), pairs((2, 0), (2, 1)), np.int32(3)))
        given = (typed((5, 3), "int32"), ints(2, 0, 1, -1, 0), np.int32(3))
        yield Form(kind, given, "", {}, result("int32"), -9, 9)
