"""Which tensors a call of a tensor function of the stackvm reads and writes (`kmodel-v5.md` 8)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from kpuir.target.stackvm import DataType, broadcast, dense_strides


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

    Raises ValueError for fields that do not fit one another.
    """
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


def _dense(kind: DataType, shape: Sequence[int]) -> Tensor:
    return Tensor(kind, tuple(shape), dense_strides(shape))


def _in_and_out(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    """Both of one shape, with the strides of the input where there are any."""
    one = Tensor(f["dt"], f["sh"], f.get("st", dense_strides(f["sh"])))
    return {"in": one, "out": one}


def _compared(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    return {**_two(f, n), "out": Tensor(DataType.UINT8, f["shd"], f["std"])}


def _chosen(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        "cond": Tensor(_F32, f["sh1"], f["st1"]),
        "a": Tensor(f["dt"], f["sh2"], f["st2"]),
        "b": Tensor(f["dt"], f["sh3"], f["st3"]),
        "out": Tensor(f["dt"], broadcast(f["sh1"], f["sh2"], f["sh3"]), f["std"]),
    }


def _gathered(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        "in": Tensor(f["dt"], f["sh"], f["st"]),
        "out": Tensor(f["dt"], f["shd"], f["std"]),
        "indices": _dense(DataType.INT32, f["sh_indices"]),
    }


def _gathered_elements(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        "in": _dense(_F32, f["sh"]),
        "indices": _dense(DataType.INT64, f["sh_indices"]),
        "out": _dense(_F32, f["sh_indices"]),
    }


def _one_hot(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        "indices": _dense(DataType.INT32, f["sh_indices"]),
        **dict.fromkeys(("depth", "on_value", "off_value"), Tensor(f["dt"], (1,), (1,))),
        "out": Tensor(f["dt"], f["shd"], f["std"]),
    }


def _found(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"in": Tensor(f["dt"], f["sh"], f["st"]), "out": Tensor(f["dt_d"], tuple(_reduced(f, n)), f["std"])}


def _largest(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        "in": Tensor(f["dt"], f["sh"], f["st"]),
        "values_out": Tensor(f["dt"], f["shd1"], f["std1"]),
        "indices_out": Tensor(DataType.INT64, f["shd2"], f["std2"]),
    }


def _normalized(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    of_axes = _dense(f["dt"], f["sh"][f["axis"] :])
    return {**_in_and_out(f, n), "scale": of_axes, "bias": of_axes}


def _compressed(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    """Without `out`: how much is left is up to the condition's values."""
    return {"in": _dense(_F32, f["sh"]), "condition": _dense(DataType.UINT8, f["sh_condition"])}


def _aligned(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    regions = f["shd"][0]
    return {
        "in": _dense(f["dt"], f["sh"]),
        "rois": _dense(f["dt"], (regions, 4)),
        "batch_indices": _dense(DataType.INT64, (regions,)),
        "out": _dense(f["dt"], f["shd"]),
    }


def _recurrent(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    length, batch, _ = f["sh"]
    directions, gates, _ = f["sh_w"]
    hidden = gates // 3
    shapes = {
        "in": f["sh"],
        "w": f["sh_w"],
        "r": (directions, gates, hidden),
        "b": (directions, 2 * gates),
        "initial_h": (directions, batch, hidden),
        "out": (length, directions, batch, hidden),
        "out_h": (directions, batch, hidden),
    }
    return {name: _dense(_F32, shape) for name, shape in shapes.items()}


def _detections(f: Mapping[str, Any], n: Mapping[str, Any]) -> dict[str, Tensor]:
    count = f["max_detections"] * f["max_classes_per_detection"]
    shapes = {
        **{name: f[f"sh_{name}"] for name in ("boxes", "scores", "anchors")},
        "locations_out": (1, count, 4),
        "classes_out": (1, count),
        "scores_out": (1, count),
        "count_out": (1,),
    }
    return {name: _dense(_F32, shape) for name, shape in shapes.items()}


def _from_batches(f: Mapping[str, Any], n: Mapping[str, Any]) -> list[int]:
    batch, *sizes = f["sh"]
    blocks, crops = f["sh_block"], f["pads_crop"]
    kept = len(sizes) - len(blocks)
    inner = [
        size * block - before - after
        for size, block, (before, after, *_) in zip(sizes[kept:], blocks, crops, strict=True)
    ]
    return [batch // prod(blocks), *sizes[:kept], *inner]


def _to_batches(f: Mapping[str, Any], n: Mapping[str, Any]) -> list[int]:
    batch, *sizes = f["sh"]
    blocks, pads = f["sh_block"], f["pads"]
    kept = len(sizes) - len(blocks)
    inner = [
        (size + before + after) // block
        for size, block, (before, after, *_) in zip(sizes[kept:], blocks, pads, strict=True)
    ]
    return [batch * prod(blocks), *sizes[:kept], *inner]


_TENSORS: dict[str, _TensorsOf] = {
    "batch_to_space": _of_shape(_from_batches),
    "binary": _two,
    "broadcast": _of_shape(lambda f, n: f["shd"]),
    "compare": _compared,
    "compress": _compressed,
    "conv2d": _convolution,
    "convert": _same,
    "copy": _same,
    "cumsum": _in_and_out,
    "dequantize": _same,
    "gather": _gathered,
    "gather_elements": _gathered_elements,
    "gather_nd": _gathered,
    "gru": _recurrent,
    "hardmax": _in_and_out,
    "layer_normalization": _normalized,
    "lut1d": _looked_up,
    "matmul": _product,
    "onehot": _one_hot,
    "pad": _of_shape(
        lambda f, n: [
            low + size + high + max(size - 1, 0) * between
            for size, (low, high, between) in zip(f["sh"], f["pads"], strict=True)
        ]
    ),
    "quantize": _same,
    "random_normal": lambda f, n: {"out": _dense(f["dt"], f["shd"])},
    "random_uniform": lambda f, n: {"out": _dense(f["dt"], f["shd"])},
    "reduce": _of_shape(_reduced),
    "reduce_arg": _found,
    "reduce_prod": _of_shape(_reduced),
    "reduce_window2d": _of_shape(_pooled),
    "resize_image": _of_shape(_resized),
    "roi_align": _aligned,
    "sigmoid": _same,
    "slice": _of_shape(_sliced),
    "softmax": _along_an_axis,
    "space_to_batch": _of_shape(_to_batches),
    "ternary": _chosen,
    "tflite_detection_postprocess": _detections,
    "topk": _largest,
    "transpose": _of_shape(lambda f, n: [f["sh"][axis] for axis in f["sh_perm"]]),
    "trilu": _in_and_out,
    "unary": _same,
}
