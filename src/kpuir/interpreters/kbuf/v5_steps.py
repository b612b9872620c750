"""How the instructions of kmodel v5 run: tensor functions on strided views, and downloads (`kmodel-v5.md` 8 and 10)."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf.machine import Step, executes
from kpuir.interpreters.kbuf.memory import Access
from kpuir.interpreters.kernels import neutral, tensor_functions
from kpuir.interpreters.kernels.kpu_layout import Layout, copy_map
from kpuir.target.k210 import K210
from kpuir.target.stackvm import BINARY, REDUCE, UNARY, DataType, tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


_TYPES = {4: DataType.FLOAT32, 1: DataType.UINT8}
"""The element types of buffers, by their bytes."""


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

    @property
    def out(self) -> "Array":
        """The tensor `out` to write."""
        return self._view(self.access.write, "out")

    @property
    def act(self) -> tuple[float, float]:
        """The bounds of the result."""
        return self.fields["lo"], self.fields["hi"]

    def window(self, size: tuple[int, int]) -> neutral.Window:
        """The window of a convolution or pooling."""
        strides, dilations = (self["stride_h"], self["stride_w"]), (self["dil_h"], self["dil_w"])
        return neutral.Window(size, strides, dilations, self.numbers["pad_h"][:2], self.numbers["pad_w"][:2])

    def _view(self, ask: Callable[..., "Array"], name: str) -> "Array":
        tensor, buffer = self.tensors[name], self.buffers[name]
        if tensor.datatype is not _TYPES[kbuf.element_size(buffer)]:
            raise InvalidInputError(f"the interpreter has no tensors of {tensor.datatype.name.lower()}")
        size = prod(tensor.shape) * tensor.datatype.itemsize
        if size > K210.MAIN_RAM_BYTES:  # where strides are 0, more than the buffer
            raise InvalidInputError(f"{name} has {size} bytes, the chip has {K210.MAIN_RAM_BYTES}")
        flat = ask(buffer, (tensor.extent,))
        steps = tuple(step * flat.itemsize for step in tensor.strides)
        return np.lib.stride_tricks.as_strided(flat, tensor.shape, steps)


@executes(kbuf.V5TensorOp)
def _tensor_function(op: kbuf.V5TensorOp, access: Access) -> Step:
    prepare = _FUNCTIONS.get(op.function.data)
    if prepare is None:
        raise InvalidInputError(f"the interpreter does not execute the tensor function {op.function.data}")
    try:
        return prepare(_Call(op, access))
    except (ArithmeticError, IndexError, ValueError) as error:
        raise InvalidInputError(f"{op.function.data}: {error}") from error


def _binary(call: _Call) -> Step:
    out, kind, act = call.out, BINARY[call["op"]], call.act
    a, b = (np.broadcast_to(call.read(name), out.shape) for name in ("a", "b"))
    return lambda: tensor_functions.binary(kind, a, b, out, act)


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
    if a.ndim != 2 or b.ndim != 2:
        raise InvalidInputError("the interpreter multiplies no batches of matrices")
    bias, out, act = call.read("bias"), call.out, call.act
    return lambda: neutral.matmul(a, b, bias, out, act)


def _pad(call: _Call) -> Step:
    x, pads = call.source, call["pads"]
    out = call.out
    if call["mode"] or any(interior for _, _, interior in pads):
        raise InvalidInputError("the interpreter pads with one value only, at the ends")
    value, before = x.dtype.type(call.numbers["value"]), [low for low, _, _ in pads]
    return lambda: neutral.pad(x, out, before, value)


def _reduce(call: _Call) -> Step:
    x, axes = call.source, [axis % len(call["sh"]) for axis in call["sh_axes"]]
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    out = call.out
    kind, init = REDUCE[call["op"]], float(call.numbers["init"])
    return lambda: tensor_functions.reduce(kind, x, out.reshape(kept), init)


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
    "binary": _binary,
    "conv2d": _conv2d,
    "copy": _copy,
    "dequantize": _dequantize,
    "lut1d": _lut1d,
    "matmul": _matmul,
    "pad": _pad,
    "quantize": _quantize,
    "reduce": _reduce,
    "reduce_window2d": _reduce_window,
    "resize_image": _resize,
    "sigmoid": _sigmoid,
    "slice": _slice,
    "softmax": _softmax,
    "transpose": _transpose,
    "unary": _unary,
}
"""How each tensor function is made ready."""
