"""The tensor functions of the stackvm, and their numbers in each release of the runtime (`kmodel-v5.md` 8 and 13).

A function has fields, which follow its number in the code, and what it takes from the stack. In the file shapes and
strides are numbers of registers; here they are the values the registers have at that place.
"""

from collections.abc import Callable, Mapping, Sequence
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
BINARY = ("add", "sub", "mul", "div", "min", "max", "pow")
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


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a dense tensor, in elements (`kmodel-v5.md` 6)."""
    return tuple(accumulate(reversed(shape[1:]), mul, initial=1))[::-1]


@dataclass(frozen=True)
class Tensor:
    """What a function takes or gives, with its strides in elements."""

    datatype: DataType
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def extent(self) -> int:
        """Elements from the first to the last one, those of other tensors in between included."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * abs(step) for size, step in zip(self.shape, self.strides, strict=True))


def tensors(function: str, fields: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a call of a function, by what the stack calls them.

    Raises ValueError for functions that are not looked into (no compiler of ours makes them) and fields that do not
    fit one another.
    """
    if function not in _TENSORS:
        raise ValueError(f"the tensors of {function} are not known")
    try:
        found = _TENSORS[function](fields, numbers)
    except (ArithmeticError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"the fields of {function} do not fit: {error!r}") from error
    for name, one in found.items():
        if len(one.shape) != len(one.strides) or min((*one.shape, *one.strides), default=0) < 0:
            raise ValueError(f"{name} has shape {list(one.shape)}, strides {list(one.strides)}")
    return found


def window_size(size: Sequence[int], filters: Sequence[int], f: Mapping[str, Any], n: Mapping[str, Any]) -> list[int]:
    """Rows and columns that a window of `filters` gives of an image of `size`. Raises ValueError for steps of 0."""
    found: list[int] = []
    for axis, length, kernel in zip("hw", size, filters, strict=True):
        before, after = n[f"pad_{axis}"][:2]
        for name in (f"stride_{axis}", f"dil_{axis}"):
            if not f[name]:
                raise ValueError(f"{name} is 0")
        reach = f[f"dil_{axis}"] * (kernel - 1) + 1
        found.append((length + before + after - reach) // f[f"stride_{axis}"] + 1)
    return found


_TensorsOf = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Tensor]]
_F32 = DataType.FLOAT32


def _same(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    source, result = f["dt"], f.get("dt_d", f["dt"])
    return {"in": Tensor(source, f["sh"], f["st"]), "out": Tensor(result, f["sh"], f["std"])}


def _along_an_axis(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    if not -len(f["sh"]) <= f["axis"] < len(f["sh"]):
        raise ValueError(f"there is no axis {f['axis']} of {len(f['sh'])}")
    return _same(f, n)


def _looked_up(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    if f["table_len"] != 256:
        raise ValueError(f"the table has {f['table_len']} entries instead of 256")
    return {**_same(f, n), "table": Tensor(f["dt"], (f["table_len"],), (1,))}


def _two(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    kind = f.get("dt", _F32)
    return {
        "a": Tensor(kind, f["sh1"], f["st1"]),
        "b": Tensor(kind, f["sh2"], f["st2"]),
        "out": Tensor(kind, f["shd"], f["std"]),
    }


def _product(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    if f["sh1"][-1] != f["sh2"][-2] or f["shd"][-2:] != (f["sh1"][-2], f["sh2"][-1]):
        raise ValueError(f"{list(f['sh1'])} times {list(f['sh2'])} does not give {list(f['shd'])}")
    return {**_two(f, n), "bias": Tensor(_F32, f["sh2"][-1:], (1,))}


def _convolution(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    batch, taken, *size = f["sh"]
    channels, per_group, *filters = f["sh_w"]
    groups = f["groups"]
    if not groups or taken != groups * per_group or channels % groups:
        raise ValueError(f"{taken} channels in {groups} groups, weights for {per_group}, {channels} results")
    return {
        "in": Tensor(_F32, f["sh"], f["st"]),
        "weights": Tensor(_F32, f["sh_w"], f["st_w"]),
        "bias": Tensor(_F32, (channels,), f["st_bias"]),
        "out": Tensor(_F32, (batch, channels, *window_size(size, filters, f, n)), f["std"]),
    }


def _of_shape(shape: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[int]]) -> _TensorsOf:
    """A function of one tensor whose result has another shape."""

    def found(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
        source = Tensor(f["dt"], f["sh"], f["st"])
        return {"in": source, "out": Tensor(f["dt"], tuple(shape(f, n)), f["std"])}

    return found


def _reduced(f: Mapping[str, Any], n: Mapping[str, Any]) -> list[int]:
    axes = [axis % len(f["sh"]) for axis in f["sh_axes"]]
    kept = [1 if axis in axes else size for axis, size in enumerate(f["sh"])]
    return kept if f["keep_dims"] else [size for axis, size in enumerate(kept) if axis not in axes]


def _pooled(f: Mapping[str, Any], n: Mapping[str, Any]) -> list[int]:
    return [*f["sh"][:2], *window_size(f["sh"][2:], (f["fh"], f["fw"]), f, n)]


def _resized(f: Mapping[str, Any], n: Mapping[str, Any]) -> list[int]:
    batch, channels, _, _ = f["sh"]
    return [batch, channels, int(n["out_h"]), int(n["out_w"])]


def _sliced(f: Mapping[str, Any], n: Mapping[str, Any]) -> list[int]:
    axes = zip(f["sh_begin"], f["sh_end"], f["sh_step"], strict=True)
    return [len(range(begin, end, step)) for begin, end, step in axes]


_TENSORS: dict[str, _TensorsOf] = {
    "binary": _two,
    "broadcast": _of_shape(lambda f, n: f["shd"]),
    "conv2d": _convolution,
    "copy": _same,
    "dequantize": _same,
    "lut1d": _looked_up,
    "matmul": _product,
    "pad": _of_shape(
        lambda f, n: [low + size + high for size, (low, high, *_) in zip(f["sh"], f["pads"], strict=True)]
    ),
    "quantize": _same,
    "reduce": _of_shape(_reduced),
    "reduce_window2d": _of_shape(_pooled),
    "resize_image": _of_shape(_resized),
    "sigmoid": _same,
    "slice": _of_shape(_sliced),
    "softmax": _along_an_axis,
    "transpose": _of_shape(lambda f, n: [f["sh"][axis] for axis in f["sh_perm"]]),
    "unary": _same,
}
UNDERSTOOD = frozenset(_TENSORS)
"""The functions whose tensors `tensors` knows: those that compilers of models for the K210 commonly write."""
