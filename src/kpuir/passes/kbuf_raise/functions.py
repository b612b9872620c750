"""Tensor functions of kmodel v5 as instructions of v4 (`kmodel-v5.md` 8)."""

import struct
from collections.abc import Callable, Sequence
from math import isinf, prod
from typing import Any

import numpy as np
from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from kpuir.dialects import kbuf
from kpuir.passes.kbuf_legalize_v3.legalizer import RefusalError
from kpuir.passes.kbuf_raise.raiser import Operand, Raiser, Shape, raises
from kpuir.passes.kbuf_raise.transfers import is_dense, read_strided
from kpuir.target.stackvm import BINARY, REDUCE, UNARY, DataType, dense_strides
from kpuir.target.stackvm_tensors import Tensor, tensors

_RANK = 4
_BINARIES = tuple(kind.value for kind in kbuf.BinaryKind)
_UNARIES = tuple(kind.value for kind in kbuf.UnaryKind)


def _shape4(shape: Sequence[int]) -> Shape:
    """A shape of four dimensions, with ones in front, or without some."""
    spare = [axis for axis, size in enumerate(shape) if size == 1][: max(len(shape) - _RANK, 0)]
    kept = [size for axis, size in enumerate(shape) if axis not in spare]
    if len(kept) > _RANK:
        raise RefusalError(f"a tensor of {len(kept)} dimensions; kmodels v3 and v4 have 4")
    return (1,) * (_RANK - len(kept)) + tuple(kept)


def _padded(values: Sequence[int], fill: int | None = None) -> Shape:
    """Numbers for each of at most four dimensions, of four; permutations where there is no fill."""
    missing = _RANK - len(values)
    if missing < 0:
        raise RefusalError(f"a tensor of {len(values)} dimensions; kmodels v3 and v4 have 4")
    if fill is None:
        return (*range(missing), *(value + missing for value in values))
    return (fill,) * missing + tuple(values)


class _Call:
    """A tensor function's fields and numbers, and its tensors as dense ones of four dimensions."""

    def __init__(self, raiser: Raiser, op: kbuf.V5TensorOp) -> None:
        values = op.values()
        self.raiser = raiser
        self.name: str = values["function"]
        self.fields: dict[str, Any] = values["fields"]
        self.numbers: dict[str, Any] = values["numbers"]
        self.tensors = tensors(self.name, self.fields, self.numbers)
        self.buffers = dict(op.buffers())
        for name, tensor in self.tensors.items():
            if tensor.datatype not in (DataType.FLOAT32, DataType.UINT8):
                raise RefusalError(
                    f"{name} is {tensor.datatype.name.lower()}; kmodels v3 and v4 have float32 and uint8"
                )

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    @property
    def act(self) -> tuple[float, float]:
        """The bounds of the result; the greatest float of v4 stands for none."""
        low, high = self.fields["lo"], self.fields["hi"]
        return (-kbuf.FLOAT_MAX if isinf(low) else low, kbuf.FLOAT_MAX if isinf(high) else high)

    def source(self, name: str = "in", shape: Sequence[int] | None = None) -> Operand:
        """A tensor to read, copied if it lies within another."""
        tensor = self.tensors[name]
        buffer = read_strided(self.raiser, self.buffers[name], tensor)
        return buffer, _shape4(tensor.shape) if shape is None else tuple(shape)

    def constant(self, name: str) -> Any:
        """A tensor that has to be constant."""
        array = self.raiser.constant(self.buffers[name])
        if array is None or not is_dense(self.tensors[name]):
            raise RefusalError(f"{name} that the model computes; v4 has them constant")
        return array.reshape(self.tensors[name].shape)

    def emit(self, write: Callable[[Operand], object]) -> None:
        """Insert what writes the result, and brings it to its places if it lies within another tensor."""
        tensor, buffer, raiser = self.tensors["out"], self.buffers["out"], self.raiser
        shape = _shape4(tensor.shape)
        if is_dense(tensor):
            write((raiser.view(buffer, shape), shape))
        else:
            dense = raiser.alloc(shape, f32 if tensor.datatype is DataType.FLOAT32 else kbuf.UI8)
            write((dense, shape))
            place(raiser, dense, buffer, tensor)
        raiser.drop()


def place(raiser: Raiser, source: SSAValue, target: SSAValue, tensor: Tensor) -> None:
    """Insert a copy of a dense tensor to its places within another; `join_copies` makes a concat of several."""
    fields = {"dt": tensor.datatype, "sh": tensor.shape, "st": dense_strides(tensor.shape), "std": tensor.strides}
    raiser.emit(kbuf.V5TensorOp([source, target], function="copy", fields=fields, numbers={}))


@raises(kbuf.V5TensorOp)
def function(raiser: Raiser, op: kbuf.V5TensorOp) -> None:
    """Any of them."""
    convert = _FUNCTIONS.get(op.function.data)
    if convert is None:
        raise RefusalError(f"{op.function.data}, which only v5 has")
    convert(_Call(raiser, op))


def _binary(call: _Call) -> None:
    kind = BINARY[call["op"]]
    if kind not in _BINARIES:
        raise RefusalError(f"{kind}; v4 has {', '.join(_BINARIES)}")
    a, b = call.source("a"), call.source("b")
    call.emit(lambda out: call.raiser.binary(kind, a, b, out, call.act))


def _unary(call: _Call) -> None:
    kind, raiser, x = UNARY[call["op"]], call.raiser, call.source()

    def root(out: Operand) -> None:
        factor = raiser.floats(x[1])
        raiser.unary("rsqrt", x, factor)
        raiser.binary("div", raiser.number(1.0), factor, out)

    def tanh(out: Operand) -> None:
        doubled, powers, sums, parts = (raiser.floats(x[1]) for _ in range(4))
        raiser.binary("mul", x, raiser.number(2.0), doubled)
        raiser.unary("exp", doubled, powers)
        raiser.binary("add", powers, raiser.number(1.0), sums)
        raiser.binary("div", raiser.number(2.0), sums, parts)
        raiser.binary("sub", raiser.number(1.0), parts, out)

    formulas: dict[str, Callable[[Operand], None]] = {"sqrt": root, "tanh": tanh}
    if kind in _UNARIES:
        call.emit(lambda out: raiser.unary(kind, x, out))
    elif kind in formulas:
        call.emit(formulas[kind])
    else:
        raise RefusalError(f"{kind}; v4 has {', '.join(_UNARIES)}")


def _sigmoid(call: _Call) -> None:
    x = call.source()
    call.emit(lambda out: call.raiser.logistic(x, out))


def _copy(call: _Call) -> None:
    x, out = call.source(), call.buffers["out"]
    if kbuf.byte_size(out) < kbuf.byte_size(kbuf.root_of(out)):
        place(call.raiser, x[0], out, call.tensors["out"])
        call.raiser.drop()
        return
    call.emit(lambda out: call.raiser.copy_bytes([call.raiser.view(x[0], (prod(x[1]),))], out[0]))


def _broadcast(call: _Call) -> None:
    if call["dt"] is not DataType.FLOAT32:
        raise RefusalError("a broadcast of bytes; v4 has those of floats")
    x = call.source()
    call.emit(lambda out: call.raiser.binary("mul", x, call.raiser.number(1.0), out))


def _quantize(call: _Call) -> None:
    scale, bias, x = call.numbers["scale"], call.numbers["bias"], call.source()
    call.emit(lambda out: call.raiser.quantize(x, out[0], 1 / scale, -bias / scale))


def _dequantize(call: _Call) -> None:
    scale, bias, x = call.numbers["scale"], call.numbers["bias"], call.source()
    call.emit(lambda out: call.raiser.dequantize(x[0], out, scale, bias))


def _without_interior(call: _Call) -> dict[str, tuple[int, int]]:
    pads = {name: tuple(call.numbers[name]) for name in ("pad_h", "pad_w")}
    if any(pad[2:] not in ((), (0,)) for pad in pads.values()):
        raise RefusalError("a padding between elements; v4 pads at the ends")
    return {name: (pad[0], pad[1]) for name, pad in pads.items()}


def _window(call: _Call) -> dict[str, Any]:
    steps = {"stride_h": call["stride_h"], "stride_w": call["stride_w"]}
    return {**_without_interior(call), **steps, "dilation_h": call["dil_h"], "dilation_w": call["dil_w"]}


def _conv2d(call: _Call) -> None:
    weights, bias, x = call.constant("weights"), call.constant("bias"), call.source()
    channels, _, height, width = weights.shape
    fields = {"in_shape": x[1], "groups": call["groups"], "out_channels": channels, **_window(call), "act": call.act}
    fields |= {"filter_h": height, "filter_w": width, "weights": weights.ravel(), "bias": bias.ravel()}
    call.emit(lambda out: call.raiser.emit(kbuf.Conv2dOp(x[0], out[0], **fields)))


def _reduce_window(call: _Call) -> None:
    x = call.source()
    fields = {"in_shape": x[1], "filter_h": call["fh"], "filter_w": call["fw"], **_window(call), "act": call.act}
    fields |= {"op": REDUCE[call["op"]], "init": float(call.numbers["init"])}
    call.emit(lambda out: call.raiser.emit(kbuf.ReduceWindow2dOp(x[0], out[0], **fields)))


def _lut1d(call: _Call) -> None:
    x, table = call.source(), call.source("table")
    flat = call.raiser.view(table[0], (256,))
    call.emit(lambda out: call.raiser.emit(kbuf.TableLookup1dOp(x[0], flat, out[0])))


def _matmul(call: _Call) -> None:
    left, right = call.tensors["a"].shape, call.tensors["b"].shape
    if prod(right[:-2]) != 1:
        raise RefusalError(f"products of {prod(right[:-2])} pairs of matrices; v4 has one each")
    a, b, bias = call.source("a"), call.source("b"), call.constant("bias")
    sizes = {"a_rows": prod(left[:-1]), "a_cols": left[-1], "b_cols": right[-1]}
    call.emit(lambda out: call.raiser.emit(kbuf.MatmulOp(a[0], b[0], out[0], **sizes, act=call.act, bias=bias.ravel())))


def _pad(call: _Call) -> None:
    pads = call["pads"]
    if call["mode"] or any(interior for _, _, *rest in pads for interior in rest):
        raise RefusalError("a padding that is not of one value, at the ends; v4 has these")
    x = call.source(shape=_padded(call["sh"], 1))
    missing = _RANK - len(pads)
    number = call.numbers["value"]
    data = struct.pack("<f", number) if call["dt"] is DataType.FLOAT32 else bytes((int(number), 0, 0, 0))
    paddings = (0,) * 2 * missing + tuple(amount for low, high, *_ in pads for amount in (low, high))
    fields = {"in_shape": x[1], "paddings": paddings, "value": np.frombuffer(data, np.uint8)}
    call.emit(lambda out: call.raiser.emit(kbuf.PadOp(x[0], out[0], **fields)))


def _reduce(call: _Call) -> None:
    x = call.source(shape=_padded(call["sh"], 1))
    missing = _RANK - len(call["sh"])
    axes = {axis % len(call["sh"]) + missing for axis in call["sh_axes"]}
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x[1]))
    fields = {"op": REDUCE[call["op"]], "in_shape": x[1], "out_shape": kept, "init": float(call.numbers["init"])}
    call.emit(lambda out: call.raiser.emit(kbuf.ReduceOp(x[0], out[0], **fields)))


def _resize(call: _Call) -> None:
    sizes = {"out_h": int(call.numbers["out_h"]), "out_w": int(call.numbers["out_w"])}
    nearest, corners, centres = bool(call["mode"]), bool(call["align_corners"]), bool(call["half_pixel"])
    x = call.source(shape=_padded(call["sh"], 1))
    pairs = list(zip(x[1][2:], sizes.values(), strict=True))
    if nearest and (corners or not all(_same_pixels(*pair) for pair in pairs if centres)):
        raise RefusalError("nearest pixels of centres or corners; v4 takes those of the upper left corners")
    if not nearest and centres:
        raise RefusalError("a bilinear resize of centres; v4 has that of corners")
    fields = {"in_shape": x[1], **sizes, "mode": "nearest" if nearest else "bilinear", "align_corners": int(corners)}
    call.emit(lambda out: call.raiser.emit(kbuf.ResizeImageOp(x[0], out[0], **fields)))


def _same_pixels(size: int, results: int) -> bool:
    """Whether nearest pixels of centres are those of upper left corners."""
    return all((2 * i + 1) * size // (2 * results) == i * size // results for i in range(results))


def _slice(call: _Call) -> None:
    x = call.source(shape=_padded(call["sh"], 1))
    fields = {"begin": _padded(call["sh_begin"], 0), "end": _padded(call["sh_end"], 1)}
    fields |= {"in_shape": x[1], "strides": _padded(call["sh_step"], 1)}
    call.emit(lambda out: call.raiser.emit(kbuf.StridedSliceOp(x[0], out[0], **fields)))


def _softmax(call: _Call) -> None:
    shape, beta, raiser, x = call["sh"], call["beta"], call.raiser, call.source(shape=_padded(call["sh"], 1))
    axis = call["axis"] % len(shape)
    if prod(shape[axis + 1 :]) == 1:
        sizes = {"inner_size": shape[axis], "outer_size": prod(shape[:axis]), "beta": beta}
        call.emit(lambda out: raiser.emit(kbuf.SoftmaxOp(x[0], out[0], **sizes)))
        return

    def parts(out: Operand) -> None:
        most, total = (raiser.floats(_padded((*shape[:axis], 1, *shape[axis + 1 :]), 1)) for _ in range(2))
        moved, scaled, powers = (raiser.floats(x[1]) for _ in range(3))
        ends = {"in_shape": x[1], "out_shape": most[1]}
        raiser.emit(kbuf.ReduceOp(x[0], most[0], op="max", init=-kbuf.FLOAT_MAX, **ends))
        raiser.binary("sub", x, most, moved)
        raiser.binary("mul", moved, raiser.number(beta), scaled)
        raiser.unary("exp", scaled, powers)
        raiser.emit(kbuf.ReduceOp(powers[0], total[0], op="sum", init=0.0, **ends))
        raiser.binary("div", powers, total, (out[0], x[1]))

    call.emit(parts)


def _transpose(call: _Call) -> None:
    x = call.source(shape=_padded(call["sh"], 1))
    perm = _padded(call["sh_perm"])
    call.emit(lambda out: call.raiser.emit(kbuf.TransposeOp(x[0], out[0], in_shape=x[1], perm=perm)))


_FUNCTIONS: dict[str, Callable[[_Call], None]] = {
    "binary": _binary,
    "broadcast": _broadcast,
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
"""What stands for each function."""
