"""The tensor functions of the stackvm, and their numbers in each release of the runtime (`kmodel-v5.md` 8 and 13).

A function has fields, which follow its number in the code, and what it takes from the stack. In the file shapes and
strides are numbers of registers; here they are the values the registers have at that place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache
from itertools import accumulate
from operator import mul
from struct import Struct
from typing import Any


class DataType(IntEnum):
    """Element types."""

    INT8 = 0
    INT16 = 1
    INT32 = 2
    INT64 = 3
    UINT8 = 4
    UINT16 = 5
    UINT32 = 6
    UINT64 = 7
    FLOAT16 = 8
    FLOAT32 = 9
    FLOAT64 = 10
    BFLOAT16 = 11

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return _ITEM_SIZES[self]


_ITEM_SIZES = (1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 2)


class Kind(StrEnum):
    """What a field or a value on the stack is."""

    DATATYPE = "datatype"
    SHAPE = "shape"
    PADDINGS = "paddings"
    SCALAR = "scalar"
    BUFFER = "buffer"
    NUMBER = "number"
    PADDING = "padding"


@dataclass(frozen=True)
class Field:
    """A field by its name and kind; `layout` says how a scalar is stored."""

    name: str
    kind: Kind
    layout: Struct | None = None


@dataclass(frozen=True)
class Signature:
    """A tensor function in one release: its number, its fields in file order, its stack values, first pushed first."""

    name: str
    number: int
    fields: tuple[Field, ...]
    pushes: tuple[Field, ...]
    late: tuple[str, ...] = ()
    """The pushed numbers that the compilers push behind the registers instead of in front of them."""


RELEASES = ("1.0-beta", "1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9")
"""The releases of the runtime whose tables differ, or that people ask for by name."""

NEWEST = RELEASES[-1]

_TABLES: dict[str, int] = dict(zip(RELEASES, (0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 5), strict=True))

_LAYOUTS = {
    name: Struct("<" + letter)
    for name, letter in zip(("u8", "u16", "u32", "i32", "i64", "f32", "bool"), "BHIiqf?", strict=True)
}

_NUMBERS = """
batch_to_space 0 0 0 0 0 0
binary 1 1 1 1 1 1
broadcast 2 2 2 2 2 2
call 3 3 3 3 3 3
compare - - - - - 4
conv2d 5 5 5 5 5 6
convert 7 7 7 7 7 8
copy 8 8 8 8 8 9
cumsum - 9 9 9 9 10
dequantize 9 10 10 10 10 11
equal - - - - 11 -
gather 10 11 11 11 12 12
gather_nd 11 12 12 12 13 13
hardmax - 13 13 13 14 14
lut1d 13 15 15 15 16 16
matmul - - - - 17 17
onehot 15 17 17 17 18 18
pad 16 18 18 18 19 19
quantize 17 19 19 19 20 20
random_normal - - 20 20 21 21
random_uniform - - 21 21 22 22
reduce 18 20 22 22 23 23
reduce_arg - 21 23 23 24 24
reduce_prod - - 24 24 25 25
reduce_window2d 19 22 25 25 26 26
resize_image 20 23 26 26 27 27
roi_align - - - 27 28 28
sigmoid - - - 28 29 29
slice 21 24 27 29 30 30
softmax - - - - - 31
space_to_batch - - - - - 32
ternary - - 31 33 34 34
topk - - - 34 35 35
transpose 25 28 32 35 36 36
trilu - - - 36 37 37
unary 26 29 33 37 38 38
gru - - - - - 39
tflite_detection_postprocess - - - - - 40
layer_normalization - - - - - 41
compress - - - - - 42
gather_elements - - - - - 43
"""
"""Of each function, per table; - where no runtime with that table has it."""

_SINCE = {
    "gru": "1.7",
    "tflite_detection_postprocess": "1.7",
    "space_to_batch": "1.8",
    "layer_normalization": "1.8",
    "compress": "1.8",
    "gather_elements": "1.8",
}
"""The first release that has a function, where its table is older."""

_FORMS = """
batch_to_space | dt sh st std sh_block pads_crop | in out
binary | dt sh1 st1 sh2 st2 shd std op:u8 lo:f32 hi:f32 | a b out
broadcast | dt sh st shd std | in out
compare | dt sh1 st1 sh2 st2 shd std op:u8 | a b out
conv2d | dt sh st sh_w st_w st_bias std groups:u16 stride_h:u16 stride_w:u16 dil_h:u16 dil_w:u16 lo:f32 hi:f32 \
| in weights bias out pad_h+ pad_w+
convert | dt dt_d sh st std | in out
copy | dt sh st std | in out
cumsum | dt sh axis:i32 exclusive:bool reverse:bool | in out
dequantize | dt dt_d sh st std | in out scale= bias=
equal | dt sh1 st1 sh2 st2 std | a b out
gather | dt sh shd st std sh_indices axis:u8 | in out indices
gather_nd | dt sh shd st std sh_indices batch_dims:u8 | in out indices
hardmax | dt sh st axis:i32 | in out
lut1d | dt sh st std table_len:u16 | in table out min= max=
matmul | sh1 st1 sh2 st2 shd std lo:f32 hi:f32 | a b bias out
onehot | dt sh_indices shd std axis:u8 mode:u8 | indices depth on_value off_value out
pad | dt sh st std pads mode:u8 | in out value=
quantize | dt dt_d sh st std | in out scale= bias=
random_normal | dt shd mean:f32 std:f32 seed:f32 | out
random_uniform | dt shd low:f32 high:f32 seed:f32 | out
reduce | dt sh st std op:u8 sh_axes keep_dims:bool | in out init=
reduce_arg | dt sh st dt_d std op:u8 sh_axes keep_dims:bool last:bool | in out
reduce_prod | dt sh st std sh_axes keep_dims:bool | in out
reduce_window2d | dt op:u8 sh st std fh:u16 fw:u16 stride_h:u16 stride_w:u16 dil_h:u16 dil_w:u16 lo:f32 hi:f32 \
| in init= out pad_h+ pad_w+
resize_image | dt sh st std align_corners:bool half_pixel:bool mode:u8 | out_h= out_w= in out
roi_align | dt sh shd mode:u8 spatial_scale:f32 sampling_ratio:i64 | in rois batch_indices out
sigmoid | dt sh st std | in out
slice | dt sh st std sh_begin sh_end sh_step | in out
softmax | dt sh st std axis:i32 beta:f32 | in out
space_to_batch | dt sh st std sh_block pads | in out
ternary | dt sh1 st1 sh2 st2 sh3 st3 std | cond a b out
topk | dt sh st shd1 std1 shd2 std2 k:i64 axis:i32 largest:bool sorted:bool | in values_out indices_out
transpose | dt sh st std sh_perm | in out
trilu | dt sh upper:bool k:i64 | in out
unary | dt sh st std op:u8 | in out
gru | sh sh_w direction:u8 linear_before_reset:bool | in w r b initial_h out out_h
tflite_detection_postprocess | sh_boxes sh_scores sh_anchors max_detections:i32 max_classes_per_detection:i32 \
detections_per_class:i32 regular_nms:bool score_threshold:f32 iou_threshold:f32 classes:i32 y_scale:f32 x_scale:f32 \
h_scale:f32 w_scale:f32 | boxes scores anchors locations_out classes_out scores_out count_out
layer_normalization | dt sh axis:i32 eps:f32 | in scale bias out
compress | sh sh_condition axis:f32 | in condition out
gather_elements | sh sh_indices axis:i32 | in indices out
"""
"""Fields and stack values; `name:type` is a scalar, `name=` a number on the stack, `name+` the padding of an axis."""

_LATE: dict[str, tuple[str, ...]] = dict.fromkeys(("quantize", "dequantize"), ("scale", "bias"))


def _release(name: str) -> int:
    return RELEASES.index(name)


def _field(text: str) -> Field:
    name, _, layout = text.partition(":")
    if layout:
        return Field(name, Kind.SCALAR, _LAYOUTS[layout])
    if name.startswith("dt"):
        return Field(name, Kind.DATATYPE)
    return Field(name, Kind.PADDINGS if name.startswith("pads") else Kind.SHAPE)


def _push(text: str) -> Field:
    kinds = {"=": Kind.NUMBER, "+": Kind.PADDING}
    return Field(text.rstrip("=+"), kinds.get(text[-1], Kind.BUFFER))


def _absent(name: str, release: str) -> tuple[str, ...]:
    """The fields of a function that a release does not have yet."""
    older = {
        ("binary", "1.4"): ("shd",),
        ("matmul", "1.4"): ("st1", "st2", "shd", "std"),
        ("sigmoid", "1.3"): ("std",),
        ("reduce_prod", "1.6"): ("dt",),
        ("gru", "1.9"): ("linear_before_reset",),
    }
    return tuple(
        field
        for (function, since), fields in older.items()
        if function == name and _release(release) < _release(since)
        for field in fields
    )


@cache
def signatures(release: str) -> dict[str, Signature]:
    """The tensor functions that a release of the runtime has, by name. Raises KeyError for an unknown release."""
    forms = {line.split(" ", 1)[0]: line.split("|")[1:] for line in _FORMS.strip().splitlines()}
    found: dict[str, Signature] = {}
    for line in _NUMBERS.strip().splitlines():
        name, *numbers = line.split()
        number = numbers[_TABLES[release]]
        if name not in forms or number == "-" or _release(release) < _release(_SINCE.get(name, RELEASES[0])):
            continue
        fields, pushes = (form.split() for form in forms[name])
        absent = _absent(name, release)
        found[name] = Signature(
            name,
            int(number),
            tuple(_field(text) for text in fields if text.partition(":")[0] not in absent),
            tuple(map(_push, pushes)),
            _LATE.get(name, ()),
        )
    return found


def padding_length(release: str) -> int:
    """How many numbers the padding of an axis has: before, after, and from 1.1 on what goes between the elements."""
    return 3 if _release(release) >= _release("1.1") else 2


UNARY = (
    *("abs", "acos", "asin", "ceil", "cos", "exp", "floor", "log", "neg", "round", "rsqrt", "sign", "sin", "sqrt"),
    *("square", "tanh", "bitwise_not", "logical_not", "erf"),
)
BINARY = (
    *("add", "sub", "mul", "div", "min", "max", "pow", "floor_div", "floor_mod", "bit_and", "bit_or", "bit_xor"),
    *("logical_and", "logical_or", "logical_xor"),
)
COMPARE = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
PAD = ("constant", "reflect", "symmetric", "edge")
REDUCE = ("mean", "min", "max", "sum")


def unary_names(release: str) -> tuple[str, ...]:
    """The functions of `unary` that a release has, by number."""
    names = UNARY if _release(release) >= _release("1.8") else UNARY[:-1]
    return names if _release(release) >= _release("1.1") else tuple(one for one in names if one != "sign")


def unary_number(name: str, release: str) -> int:
    """The number of a function of `unary` in a release. Raises ValueError where it does not have it."""
    names = unary_names(release)
    if name not in names:
        raise ValueError(f"the runtime of release {release} has no {name}")
    return names.index(name)


def signature_of(function: str, fields: Mapping[str, Any], release: str) -> Signature | None:
    """How a release has a function of the newest one; None where it does not."""
    functions = signatures(release)
    if function == "compare" and fields["op"] == COMPARE.index("equal"):
        return functions.get("equal", functions.get(function))
    return functions.get(function)


def _is_same_call(function: str, fields: Mapping[str, Any], release: str, other: str) -> bool:
    """Whether what a file for a release has for a call is what another takes for it."""
    found = signature_of(function, fields, release)
    if found is None or found != signature_of(function, fields, other):
        return False
    if function == "unary":
        name = UNARY[fields["op"]]
        return all(name in unary_names(one) for one in (release, other)) and (
            unary_number(name, release) == unary_number(name, other)
        )
    kinds = {one.kind for one in (*found.fields, *found.pushes)}
    return not kinds & {Kind.PADDING, Kind.PADDINGS} or padding_length(release) == padding_length(other)


def releases_of(calls: Iterable[tuple[str, Mapping[str, Any]]], release: str) -> list[str]:
    """The releases that take calls, functions with their fields, as a file for a release has them."""
    known = list(calls)
    return [other for other in RELEASES if all(_is_same_call(*call, release, other) for call in known)]


_FLOATS = (DataType.FLOAT32,)
_NUMBERS_OF = {
    "binary": (*_FLOATS, DataType.INT32, DataType.INT64),
    "compare": (*_FLOATS, DataType.UINT8, DataType.INT32, DataType.INT64),
    "cumsum": (*_FLOATS, DataType.INT32),
    "lut1d": (DataType.UINT8,),
    "pad": tuple(one for one in DataType if one.itemsize < 8),
    "reduce": (*_FLOATS, DataType.INT32, DataType.INT64),
    "reduce_prod": (*_FLOATS, DataType.INT32),
    **dict.fromkeys(
        (
            *("conv2d", "hardmax", "layer_normalization", "random_normal", "random_uniform", "reduce_arg"),
            *("reduce_window2d", "roi_align", "sigmoid", "softmax", "ternary", "topk", "trilu", "unary"),
        ),
        _FLOATS,
    ),
}
"""The element types that runtimes compute with, where a function does not take all of them."""


_KINDS: dict[str, tuple[str, Sequence[str]]] = {
    "binary": ("op", BINARY),
    "compare": ("op", COMPARE),
    "pad": ("mode", PAD),
    "reduce": ("op", REDUCE),
    "reduce_window2d": ("op", REDUCE),
    "unary": ("op", UNARY),
}
"""The field that says which of several things a function does, and these, by number."""
_NOT_DONE = {
    *("floor_div", "floor_mod", "bit_and", "bit_or", "bit_xor", "logical_or", "logical_xor"),
    "bitwise_not",
}
"""Those that no runtime does, though they have numbers."""


def refusal(function: str, fields: Mapping[str, Any]) -> str:
    """Why runtimes stop at a call of a function that they have; empty where they do it (`kmodel-v5.md` 8)."""
    datatype = fields.get("dt", DataType.FLOAT32)
    if datatype not in _NUMBERS_OF.get(function, DataType):
        return f"no runtime does {function} on {datatype.name.lower()}"
    if function == "convert" and fields["dt_d"] is DataType.FLOAT16 and datatype is not DataType.FLOAT32:
        return f"no runtime converts {datatype.name.lower()} to float16"
    name, kinds = _KINDS.get(function, ("", ()))
    if not name:
        return ""
    number = fields[name]
    kind = kinds[number] if 0 <= number < len(kinds) else f"number {number}"
    return f"no runtime does {function} {kind}" if kind in _NOT_DONE or kind not in kinds else ""


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a dense tensor, in elements (`kmodel-v5.md` 6)."""
    return tuple(accumulate(reversed(shape[1:]), mul, initial=1))[::-1] if shape else ()


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that tensors of these shapes, aligned at the right, have together."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes), strict=True)
    return tuple(0 if 0 in sizes else max(sizes) for sizes in columns)
