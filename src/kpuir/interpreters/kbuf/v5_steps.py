"""How the instructions of kmodel v5 run: tensor functions on strided views, and downloads (`kmodel-v5.md` 8 and 10)."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf.machine import Step, executes
from kpuir.interpreters.kbuf.memory import Access
from kpuir.interpreters.kernels import detection, neutral, tensor_functions
from kpuir.interpreters.kernels.kpu_layout import Layout, copy_map
from kpuir.ir.locations import layer_name
from kpuir.target.k210 import K210
from kpuir.target.stackvm import BINARY, COMPARE, PAD, REDUCE, UNARY, DataType, refusal
from kpuir.target.stackvm_tensors import tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@executes(kbuf.KpuDownloadOp)
def _download(op: kbuf.KpuDownloadOp, access: Access) -> Step:
    shape = op.values()["in_shape"]
    dense, lines = Layout.dense(shape), Layout.lines(shape)
    source = access.read_map(op.input, lines)
    target = access.write(op.output, (dense.size,))
    return lambda: copy_map(source, lines, target, dense)


class _Call:
    """A tensor function's fields and numbers, and views of its tensors."""

    def __init__(self, op: kbuf.V5TensorOp, access: Access) -> None:
        values = op.values()
        self.fields: dict[str, Any] = values["fields"]
        self.numbers: dict[str, Any] = values["numbers"]
        self.tensors = tensors(op.function.data, self.fields, self.numbers)
        self.buffers = dict(op.buffers())
        self.access = access

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def read(self, name: str) -> "Array":
        """The tensor to read."""
        return self._view(self.access.read, name)

    @property
    def source(self) -> "Array":
        """The tensor `in` to read."""
        return self.read("in")

    def write(self, name: str) -> "Array":
        """The tensor to write."""
        return self._view(self.access.write, name)

    @property
    def out(self) -> "Array":
        """The tensor `out` to write."""
        return self.write("out")

    @property
    def act(self) -> tuple[float, float]:
        """The bounds of the result."""
        return self.fields["lo"], self.fields["hi"]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a reduction."""
        return tuple(axis % len(self["sh"]) for axis in self["sh_axes"])

    def out_of_axes(self) -> "Array":
        """The tensor `out` to write, with the reduced axes kept."""
        out = self.out
        return out if self["keep_dims"] else np.expand_dims(out, self.axes)

    def window(self, size: tuple[int, int]) -> neutral.Window:
        """The window of a convolution or pooling."""
        strides, dilations = (self["stride_h"], self["stride_w"]), (self["dil_h"], self["dil_w"])
        return neutral.Window(size, strides, dilations, self.numbers["pad_h"][:2], self.numbers["pad_w"][:2])

    def _view(self, ask: Callable[..., "Array"], name: str) -> "Array":
        tensor, buffer = self.tensors[name], self.buffers[name]
        if tensor.datatype is DataType.BFLOAT16:
            raise InvalidInputError("the interpreter has no bfloat16")
        size = prod(tensor.shape) * tensor.datatype.itemsize
        if size > K210.MAIN_RAM_BYTES:  # where strides are 0, more than the buffer
            raise InvalidInputError(f"{name} has {size} bytes, the chip has {K210.MAIN_RAM_BYTES}")
        flat = ask(buffer, (tensor.extent,), np.dtype(tensor.datatype.name.lower()))
        steps = tuple(step * flat.itemsize for step in tensor.strides)
        return np.lib.stride_tricks.as_strided(flat, tensor.shape, steps)


@executes(kbuf.V5TensorOp)
def _tensor_function(op: kbuf.V5TensorOp, access: Access) -> Step:
    prepare = _FUNCTIONS.get(op.function.data)
    if prepare is None:
        raise InvalidInputError(f"{op.function.data} is not executed: each run gives other numbers")
    if reason := refusal(op.function.data, op.values()["fields"]):
        raise InvalidInputError(reason)
    try:
        step = prepare(_Call(op, access))
    except (ArithmeticError, IndexError, ValueError) as error:
        raise InvalidInputError(f"{op.function.data}: {error}") from error
    layer = layer_name(op)

    def run() -> None:
        try:
            step()
        except (ArithmeticError, IndexError, ValueError) as error:  # of values or shapes that only damage gives
            raise InvalidInputError(f"{op.function.data}: {error}", location=layer) from error

    return run


def _binary(call: _Call) -> Step:
    out, kind, act = call.out, BINARY[call["op"]], call.act
    a, b = (np.broadcast_to(call.read(name), out.shape) for name in ("a", "b"))
    return lambda: tensor_functions.binary(kind, a, b, out, act)


def _compare(call: _Call) -> Step:
    a, b = call.read("a"), call.read("b")
    out, kind = call.out, COMPARE[call["op"]]
    return lambda: tensor_functions.compare(kind, a, b, out)


def _ternary(call: _Call) -> Step:
    chooses, a, b = call.read("cond"), call.read("a"), call.read("b")
    out = call.out
    return lambda: np.copyto(out, np.where(chooses != 0, a, b))


def _convert(call: _Call) -> Step:
    x, out = call.source, call.out
    return lambda: tensor_functions.convert(x, out)


def _broadcast(call: _Call) -> Step:
    x, out = call.source, call.out
    return lambda: np.copyto(out, np.broadcast_to(x, out.shape))


def _cumsum(call: _Call) -> Step:
    x, out, axis = call.source, call.out, call["axis"]
    exclusive, reverse = bool(call["exclusive"]), bool(call["reverse"])
    return lambda: tensor_functions.cumsum(x, out, axis, exclusive=exclusive, reverse=reverse)


def _gather(call: _Call) -> Step:
    x, indices, axis = call.source, call.read("indices"), call["axis"]
    out = call.out
    return lambda: tensor_functions.gather(x, indices, out, axis)


def _gather_nd(call: _Call) -> Step:
    x, indices, batch = call.source, call.read("indices"), call["batch_dims"]
    out = call.out
    return lambda: tensor_functions.gather_nd(x, indices, out, batch)


def _gather_elements(call: _Call) -> Step:
    x, indices, axis = call.source, call.read("indices"), call["axis"]
    out = call.out
    return lambda: np.copyto(out, np.take_along_axis(x, indices, axis))


def _one_hot(call: _Call) -> Step:
    indices, depth, on, off = (call.read(name) for name in ("indices", "depth", "on_value", "off_value"))
    out, axis, from_end = call.out, call["axis"], bool(call["mode"])
    return lambda: tensor_functions.one_hot(indices, depth[0], on[0], off[0], out, axis, from_end=from_end)


def _hardmax(call: _Call) -> Step:
    x, out, axis = call.source, call.out, call["axis"]
    return lambda: tensor_functions.hardmax(x, out, axis)


def _trilu(call: _Call) -> Step:
    x, out, k, cut = call.source, call.out, call["k"], np.triu if call["upper"] else np.tril
    return lambda: np.copyto(out, cut(x, k))


def _topk(call: _Call) -> Step:
    x, axis, count, largest = call.source, call["axis"], call["k"], bool(call["largest"])
    values, indices = call.write("values_out"), call.write("indices_out")
    if not call["sorted"]:
        raise InvalidInputError("the interpreter does not know in which order runtimes leave what they do not sort")
    return lambda: tensor_functions.topk(x, values, indices, count, axis, largest=largest)


def _roi_align(call: _Call) -> Step:
    x, rois, batches, out = call.source, call.read("rois"), call.read("batch_indices"), call.out
    scale, ratio, greatest = call["spatial_scale"], call["sampling_ratio"], bool(call["mode"])
    return lambda: tensor_functions.roi_align(x, rois, batches, out, scale, ratio, greatest=greatest)


def _detections(call: _Call) -> Step:
    boxes, scores, anchors = (call.read(name) for name in ("boxes", "scores", "anchors"))
    found = detection.Found(
        call.write("locations_out")[0],
        call.write("classes_out")[0],
        call.write("scores_out")[0],
        call.write("count_out"),
    )
    options = detection.Options(
        call["max_detections"],
        call["max_classes_per_detection"],
        call["detections_per_class"],
        call["classes"],
        call["score_threshold"],
        call["iou_threshold"],
    )
    scales = call["y_scale"], call["x_scale"], call["h_scale"], call["w_scale"]
    if not (boxes.shape[2] == anchors.shape[1] == 4 and 0 < options.classes <= scores.shape[2]):
        raise InvalidInputError(f"{options.classes} classes of scores {list(scores.shape)}, boxes {list(boxes.shape)}")
    choose = detection.by_class if call["regular_nms"] else detection.by_box
    return lambda: choose(detection.decoded(boxes[0], anchors, scales), scores[0], found, options)


def _layer_normalization(call: _Call) -> Step:
    x, scale, bias = call.source, call.read("scale"), call.read("bias")
    out, axis, epsilon = call.out, call["axis"], call["eps"]
    return lambda: tensor_functions.layer_normalization(x, scale, bias, out, axis, epsilon)


def _compress(call: _Call) -> Step:
    x, condition, axis = call.source, call.read("condition"), int(call["axis"])
    buffer = call.buffers["out"]
    out = call.access.write(buffer, kbuf.shape_of(buffer))
    flat = axis >= x.ndim
    return lambda: np.copyto(out, np.compress(condition, x, None if flat else axis).reshape(-1))


def _batch_to_space(call: _Call) -> Step:
    x, blocks, crops = call.source, call["sh_block"], call["pads_crop"]
    out = call.out
    return lambda: tensor_functions.batch_to_space(x, out, blocks, crops)


def _space_to_batch(call: _Call) -> Step:
    x, blocks, pads = call.source, call["sh_block"], call["pads"]
    out = call.out
    return lambda: tensor_functions.space_to_batch(x, out, blocks, pads)


def _gru(call: _Call) -> Step:
    x, w, r, bias = (call.read(name) for name in ("in", "w", "r", "b"))
    state = call.read("initial_h")
    state = call.write("initial_h")  # it is both
    out, last = call.out, call.write("out_h")
    kind, before_reset = call["direction"], bool(call["linear_before_reset"])
    return lambda: tensor_functions.gru(x, w, r, bias, state, out, last, kind, before_reset=before_reset)


def _unary(call: _Call) -> Step:
    x, out, kind = call.source, call.out, UNARY[call["op"]]
    return lambda: tensor_functions.unary(kind, x, out)


def _copy(call: _Call) -> Step:
    x, out = call.source, call.out
    return lambda: np.copyto(out, x)


def _quantize(call: _Call) -> Step:
    x, out, scale, bias = call.source, call.out, call.numbers["scale"], call.numbers["bias"]
    return lambda: tensor_functions.quantize(x, out, scale, bias)


def _dequantize(call: _Call) -> Step:
    x, out, scale, bias = call.source, call.out, call.numbers["scale"], call.numbers["bias"]
    return lambda: tensor_functions.dequantize(x, out, scale, bias)


def _conv2d(call: _Call) -> Step:
    x, shape = call.source, call["sh_w"]
    window = call.window(shape[2:])
    weights = call.read("weights")
    bias = call.read("bias")
    out = call.out
    taps, groups, act = neutral.Taps.nchw(np.ascontiguousarray(weights), window), call["groups"], call.act
    return lambda: neutral.conv2d(x, taps, bias, out, groups=groups, window=window, act=act)


def _reduce_window(call: _Call) -> Step:
    x, window = call.source, call.window((call["fh"], call["fw"]))
    out = call.out
    kind, init, act = REDUCE[call["op"]], float(call.numbers["init"]), call.act
    return lambda: neutral.reduce_window(kind, x, out, init, window=window, act=act)


def _lut1d(call: _Call) -> Step:
    x, out, table = call.source, call.out, call.read("table")
    return lambda: np.copyto(out, table[x])


def _matmul(call: _Call) -> Step:
    a, b = call.read("a"), call.read("b")
    bias, out, act = call.read("bias"), call.out, call.act
    return lambda: tensor_functions.matmul(a, b, bias, out, act)


def _pad(call: _Call) -> Step:
    x, pads = call.source, call["pads"]
    out = call.out
    value, mode = x.dtype.type(call.numbers["value"]), PAD[call["mode"]]
    return lambda: tensor_functions.pad(x, out, pads, value, mode)


def _reduce(call: _Call) -> Step:
    x, out = call.source, call.out_of_axes()
    kind, init = REDUCE[call["op"]], float(call.numbers["init"])
    return lambda: tensor_functions.reduce(kind, x, out, init)


def _reduce_prod(call: _Call) -> Step:
    x, out = call.source, call.out_of_axes()
    axes = call.axes
    return lambda: np.copyto(out, x.prod(axes, keepdims=True, dtype=x.dtype))


def _reduce_arg(call: _Call) -> Step:
    x, out = call.source, call.out_of_axes()
    [axis] = call.axes
    greatest, last = bool(call["op"]), bool(call["last"])
    return lambda: tensor_functions.reduce_arg(x, out, axis, greatest=greatest, last=last)


def _resize(call: _Call) -> Step:
    x = call.source
    out = call.out
    options = {
        "nearest": bool(call["mode"]),
        "corners": bool(call["align_corners"]),
        "centres": bool(call["half_pixel"]),
    }
    return lambda: tensor_functions.resize(x, out, **options)


def _sigmoid(call: _Call) -> Step:
    x, out = call.source, call.out
    return lambda: tensor_functions.sigmoid(x, out)


def _slice(call: _Call) -> Step:
    source = neutral.strided_slice(call.source, call["sh_begin"], call["sh_end"], call["sh_step"])
    out = call.out
    return lambda: np.copyto(out, source)


def _softmax(call: _Call) -> Step:
    x, out, axis, beta = call.source, call.out, call["axis"], call["beta"]
    return lambda: tensor_functions.softmax(x, out, axis, beta)


def _transpose(call: _Call) -> Step:
    x = call.source.transpose(call["sh_perm"])
    out = call.out
    return lambda: np.copyto(out, x)


_FUNCTIONS: dict[str, Callable[[_Call], Step]] = {
    "batch_to_space": _batch_to_space,
    "binary": _binary,
    "broadcast": _broadcast,
    "compare": _compare,
    "compress": _compress,
    "conv2d": _conv2d,
    "convert": _convert,
    "copy": _copy,
    "cumsum": _cumsum,
    "dequantize": _dequantize,
    "gather": _gather,
    "gather_elements": _gather_elements,
    "gather_nd": _gather_nd,
    "gru": _gru,
    "hardmax": _hardmax,
    "layer_normalization": _layer_normalization,
    "lut1d": _lut1d,
    "matmul": _matmul,
    "onehot": _one_hot,
    "pad": _pad,
    "quantize": _quantize,
    "reduce": _reduce,
    "reduce_arg": _reduce_arg,
    "reduce_prod": _reduce_prod,
    "reduce_window2d": _reduce_window,
    "resize_image": _resize,
    "roi_align": _roi_align,
    "sigmoid": _sigmoid,
    "slice": _slice,
    "softmax": _softmax,
    "space_to_batch": _space_to_batch,
    "ternary": _ternary,
    "tflite_detection_postprocess": _detections,
    "topk": _topk,
    "transpose": _transpose,
    "trilu": _trilu,
    "unary": _unary,
}
"""How each tensor function is made ready."""
