"""What of kmodel v5 stands for each instruction of v4 (`kmodel-v5.md` 8)."""

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects.builtin import f32
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint

from kpuir.dialects import kbuf, kpu
from kpuir.target.stackvm import (
    BINARY,
    REDUCE,
    UNARY,
    DataType,
    dense_strides,
    padding_length,
    signatures,
    unary_number,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]


def _type(value: SSAValue) -> DataType:
    return DataType.FLOAT32 if kbuf.element_size(value) == 4 else DataType.UINT8


def _bounds(clamp: tuple[float, float]) -> dict[str, float]:
    """Of an arithmetic function; the greatest float of v4 stands for none."""
    low, high = clamp
    return {
        "lo": low if low > -kbuf.FLOAT_MAX else float("-inf"),
        "hi": high if high < kbuf.FLOAT_MAX else float("inf"),
    }


_FREE = {"lo": float("-inf"), "hi": float("inf")}
_ANY = (-kbuf.FLOAT_MAX, kbuf.FLOAT_MAX)


class Emitter:
    """Puts what stands for an instruction in its place."""

    def __init__(self, op: kbuf.InstructionOp, release: str) -> None:
        self.op = op
        self.release = release
        self.functions = signatures(release)
        self.calls: list[kbuf.V5TensorOp] = []
        self.builder = Builder(InsertPoint.before(op))

    def emit(self, op: Operation) -> None:
        """Insert an operation that belongs to the instruction's layer."""
        op.location = self.op.location
        self.builder.insert(op)

    def call(
        self, function: str, buffers: Sequence[SSAValue], numbers: dict[str, Any] | None = None, /, **fields: Any
    ) -> None:
        """A tensor function with the instruction's attributes. Raises ValueError where the release has no such."""
        if function not in self.functions:
            raise ValueError(f"the runtime of release {self.release} has no {function}, the newest has")
        if function == "unary":
            unary_number(UNARY[fields["op"]], self.release)
        op = kbuf.V5TensorOp(list(buffers), function=function, fields=fields, numbers=numbers or {})
        op.attributes.update(self.op.attributes)
        self.calls.append(op)
        self.emit(op)

    def finish(self) -> None:
        """Take the instruction away; of several functions none stands for it when layers are compared."""
        for call in self.calls if len(self.calls) > 1 else ():
            call.attributes.pop(kpu.NUMBER, None)
        self.op.detach()
        self.op.erase()

    def constant(self, array: "NDArray[Any]") -> SSAValue:
        """A buffer in the constant pool."""
        op = kbuf.ConstantOp(array)
        self.emit(op)
        return op.result

    def temporary(self, shape: Shape) -> SSAValue:
        """A float buffer in main RAM."""
        op = kbuf.AllocOp(kbuf.buffer_type(shape, f32, kbuf.Space.MAIN))
        self.emit(op)
        return op.result

    def part(self, buffer: SSAValue, count: int, offset: int) -> SSAValue:
        """`count` elements of a buffer from byte `offset` on."""
        element = f32 if kbuf.element_size(buffer) == 4 else kbuf.UI8
        kind = kbuf.buffer_type((count,), element, kbuf.space_of(buffer))
        op = kbuf.SubviewOp(buffer, kind, offset)
        self.emit(op)
        return op.result


# --- Instructions of the CPU ----------------------------------------------------------------------------------------


def _copied(emitter: Emitter, source: SSAValue, target: SSAValue, shape: Shape, st: Shape, std: Shape) -> None:
    emitter.call("copy", (source, target), dt=_type(source), sh=shape, st=st, std=std)


def _binary(emitter: Emitter, op: kbuf.BinaryOp, f: Any) -> None:
    fields = _broadcast(f)
    emitter.call(
        "binary", (op.a, op.b, op.output), dt=DataType.FLOAT32, **fields, op=BINARY.index(f.op), **_bounds(f.act)
    )


def _broadcast(f: Any) -> dict[str, Shape]:
    shapes = {"1": f.a_shape, "2": f.b_shape, "d": f.out_shape}
    return {
        name: value
        for which, shape in shapes.items()
        for name, value in ((f"sh{which}", shape), (f"st{which}", dense_strides(shape)))
        if name != "std"
    } | {"std": dense_strides(f.out_shape)}


def _quantized_binary(emitter: Emitter, op: kbuf.QuantizedBinaryOp, f: Any) -> None:
    """In floats: what the fixed point arithmetic computes but for its roundings."""
    shapes = {"a": f.a_shape, "b": f.b_shape, "output": f.out_shape}
    floats = {name: emitter.temporary(shape) for name, shape in shapes.items()}
    for name, source in (("a", op.a), ("b", op.b)):
        scale = getattr(f, f"{name}_mul") / 2 ** getattr(f, f"{name}_shift")
        numbers = {"scale": scale, "bias": scale * getattr(f, f"{name}_offset")}
        _converted(emitter, "dequantize", source, floats[name], shapes[name], numbers)
    emitter.call(
        "binary",
        tuple(floats.values()),
        dt=DataType.FLOAT32,
        **_broadcast(f),
        op=BINARY.index(f.op),
        **_FREE,
    )
    _rescaled(emitter, floats["output"], op.output, f.out_shape, f)


def _converted(
    emitter: Emitter, function: str, source: SSAValue, target: SSAValue, shape: Shape, numbers: dict[str, float]
) -> None:
    strides = dense_strides(shape)
    types = {"dt": _type(source), "dt_d": _type(target)}
    emitter.call(function, (source, target), numbers, **types, sh=shape, st=strides, std=strides)


def _quantize(emitter: Emitter, op: kbuf.QuantizeOp, f: Any) -> None:
    numbers = {"scale": f.scale, "bias": float(f.zero_point)}
    _converted(emitter, "quantize", op.input, op.output, kbuf.shape_of(op.input), numbers)


def _dequantize(emitter: Emitter, op: kbuf.DequantizeOp, f: Any) -> None:
    numbers = {"scale": 1 / f.scale, "bias": -f.zero_point / f.scale}
    _converted(emitter, "dequantize", op.input, op.output, kbuf.shape_of(op.input), numbers)


def _unary(emitter: Emitter, op: kbuf.UnaryOp, f: Any) -> None:
    shape = kbuf.shape_of(op.input)
    strides = dense_strides(shape)
    emitter.call(
        "unary", (op.input, op.output), dt=DataType.FLOAT32, sh=shape, st=strides, std=strides, op=UNARY.index(f.op)
    )


def _softmax(emitter: Emitter, op: kbuf.SoftmaxOp, f: Any) -> None:
    shape = (f.outer_size, f.inner_size)
    strides = dense_strides(shape)
    if "softmax" not in emitter.functions:
        _softmax_by_parts(emitter, op, shape, f.beta)
        return
    emitter.call(
        "softmax", (op.input, op.output), dt=DataType.FLOAT32, sh=shape, st=strides, std=strides, axis=1, beta=f.beta
    )


def _softmax_by_parts(emitter: Emitter, op: kbuf.SoftmaxOp, shape: Shape, beta: float) -> None:
    """As the compilers before 1.6 did it."""
    ends = (shape[0], 1)
    most, total = emitter.temporary(ends), emitter.temporary(ends)
    moved, scaled, powers = (emitter.temporary(shape) for _ in range(3))
    strides, of_ends = dense_strides(shape), dense_strides(ends)

    def binary(kind: str, a: SSAValue, b: SSAValue, b_shape: Shape, out: SSAValue) -> None:
        shapes = {"sh1": shape, "st1": strides, "sh2": b_shape, "st2": dense_strides(b_shape), "shd": shape}
        emitter.call("binary", (a, b, out), dt=DataType.FLOAT32, **shapes, std=strides, op=BINARY.index(kind), **_FREE)

    def reduced(kind: str, source: SSAValue, out: SSAValue, init: float) -> None:
        fields = {"sh": shape, "st": strides, "std": of_ends, "op": REDUCE.index(kind), "sh_axes": (1,), "keep_dims": 1}
        emitter.call("reduce", (source, out), {"init": init}, dt=DataType.FLOAT32, **fields)

    reduced("max", op.input, most, -kbuf.FLOAT_MAX)
    binary("sub", op.input, most, ends, moved)
    binary("mul", moved, emitter.constant(np.full((1, 1), beta, np.float32)), (1, 1), scaled)
    fields = {"sh": shape, "st": strides, "std": strides, "op": UNARY.index("exp")}
    emitter.call("unary", (scaled, powers), dt=DataType.FLOAT32, **fields)
    reduced("sum", powers, total, 0.0)
    binary("div", powers, total, ends, op.output)


def _table_lookup(emitter: Emitter, op: kbuf.TableLookup1dOp, f: Any) -> None:
    shape = kbuf.shape_of(op.input)
    strides = dense_strides(shape)
    emitter.call(
        "lut1d",
        (op.input, op.table, op.output),
        {"min": 0, "max": 255},
        dt=DataType.UINT8,
        sh=shape,
        st=strides,
        std=strides,
        table_len=256,
    )


def _matmul(emitter: Emitter, op: kbuf.MatmulOp, f: Any) -> None:
    _multiplied(emitter, op.a, op.b, op.output, f, f.bias, f.act)


def _multiplied(
    emitter: Emitter,
    a: SSAValue,
    b: SSAValue,
    output: SSAValue,
    f: Any,
    addend: "NDArray[np.float32]",
    act: tuple[float, float],
) -> None:
    """A product of matrices of the sizes that an instruction has, and a bias."""
    left, right, result = (f.a_rows, f.a_cols), (f.a_cols, f.b_cols), (f.a_rows, f.b_cols)
    bias = emitter.constant(addend.reshape(-1))
    if "matmul" not in emitter.functions:  # as the compilers before 1.3 did it: rows are images of one pixel
        weights = _constant(b, right)
        if weights is None:
            raise ValueError(
                f"the runtime of release {emitter.release} has no product of two computed matrices, that of 1.3 has"
            )
        shapes = (*left, 1, 1), (f.b_cols, f.a_cols, 1, 1), (*result, 1, 1)
        kernel = emitter.constant(np.ascontiguousarray(weights.T).reshape(shapes[1]))
        ends = {"pad_h": (0, 0, 0), "pad_w": (0, 0, 0)}
        _convolved(emitter, (a, kernel, bias, output), shapes, ends, act, **_ONCE)
        return
    emitter.call(
        "matmul",
        (a, b, bias, output),
        sh1=left,
        st1=dense_strides(left),
        sh2=right,
        st2=dense_strides(right),
        shd=result,
        std=dense_strides(result),
        **_bounds(act),
    )


def _constant(value: SSAValue, shape: Shape) -> "NDArray[Any] | None":
    """The array of a constant, or of a part of one."""
    owner = kbuf.root_of(value).owner
    if not isinstance(owner, kbuf.ConstantOp):
        return None
    start = kbuf.offset_in_root(value)
    data = owner.array.tobytes()[start : start + kbuf.byte_size(value)]
    return np.frombuffer(data, np.float32 if kbuf.element_size(value) == 4 else np.uint8).reshape(shape)


def _quantized_matmul(emitter: Emitter, op: kbuf.QuantizedMatmulOp, f: Any) -> None:
    """In floats, exactly but for how what is in the middle between two bytes is rounded."""
    left, right = (f.a_rows, f.a_cols), (f.a_cols, f.b_cols)
    a, weights = _codes(emitter, op.a, left, f.a_offset), _constant(op.b, right)
    b = (
        _codes(emitter, op.b, right, f.b_offset)
        if weights is None
        else emitter.constant(weights.astype(np.float32) + np.float32(f.b_offset))
    )
    result = emitter.temporary((f.a_rows, f.b_cols))
    _multiplied(emitter, a, b, result, f, f.bias.astype(np.float32), _ANY)
    _rescaled(emitter, result, op.output, (f.a_rows, f.b_cols), f)


def _quantized_conv2d(emitter: Emitter, op: kbuf.QuantizedConv2dOp, f: Any) -> None:
    """In floats, as the product of matrices; what is outside of the image is 0 there, too."""
    kernels, result = (f.out_channels, f.in_shape[1] // f.groups, f.filter_h, f.filter_w), op.shapes(f)["output"]
    source, floats = _codes(emitter, op.input, f.in_shape, f.input_offset), emitter.temporary(result)
    weights = emitter.constant((f.weights.astype(np.float32) + np.float32(f.filter_offset)).reshape(kernels))
    buffers = source, weights, emitter.constant(f.bias.reshape(-1).astype(np.float32)), floats
    _convolved(emitter, buffers, (f.in_shape, kernels, result), _padding(f), _ANY, groups=f.groups, **_window(f))
    _rescaled(emitter, floats, op.output, result, f)


def _codes(emitter: Emitter, source: SSAValue, shape: Shape, offset: int) -> SSAValue:
    """Bytes plus an offset, as floats."""
    floats = emitter.temporary(shape)
    _converted(emitter, "dequantize", source, floats, shape, {"scale": 1.0, "bias": float(offset)})
    return floats


def _rescaled(emitter: Emitter, source: SSAValue, target: SSAValue, shape: Shape, f: Any) -> None:
    """Floats as the bytes that an instruction makes of its sums."""
    numbers = {"scale": f.output_mul / 2**f.output_shift, "bias": float(f.output_offset)}
    _converted(emitter, "quantize", source, target, shape, numbers)


_ONCE = dict.fromkeys(("groups", "stride_h", "stride_w", "dil_h", "dil_w"), 1)


def _convolved(
    emitter: Emitter,
    buffers: Sequence[SSAValue],
    shapes: tuple[Shape, Shape, Shape],
    ends: dict[str, Shape],
    act: tuple[float, float],
    **window: int,
) -> None:
    """A convolution of what `buffers` has with weights, a bias, to the result; shapes are without that of the bias."""
    source, weights, result = shapes
    emitter.call(
        "conv2d",
        buffers,
        ends,
        dt=DataType.FLOAT32,
        sh=source,
        st=dense_strides(source),
        sh_w=weights,
        st_w=dense_strides(weights),
        st_bias=(1,),
        std=dense_strides(result),
        **window,
        **_bounds(act),
    )


def _padding(f: Any) -> dict[str, Shape]:
    return {"pad_h": (*f.pad_h, 0), "pad_w": (*f.pad_w, 0)}


def _window(f: Any) -> dict[str, int]:
    return {"stride_h": f.stride_h, "stride_w": f.stride_w, "dil_h": f.dilation_h, "dil_w": f.dilation_w}


def _conv2d(emitter: Emitter, op: kbuf.Conv2dOp, f: Any) -> None:
    weights_shape = (f.out_channels, f.in_shape[1] // f.groups, f.filter_h, f.filter_w)
    weights = emitter.constant(f.weights.reshape(weights_shape))
    buffers = op.input, weights, emitter.constant(f.bias.reshape(-1)), op.output
    shapes = f.in_shape, weights_shape, op.shapes(f)["output"]
    _convolved(emitter, buffers, shapes, _padding(f), f.act, groups=f.groups, **_window(f))


def _conv2d_transpose(emitter: Emitter, op: kbuf.Conv2dTransposeOp, f: Any) -> None:
    """A convolution with the kernels turned around, of the input with zeros between its pixels; no bias is added."""
    source, shape = op.input, f.in_shape
    steps = 1, 1, f.stride_h, f.stride_w
    if max(steps) > 1:
        shape = tuple((size - 1) * step + 1 for size, step in zip(f.in_shape, steps, strict=True))
        source = emitter.temporary(shape)
        _spread(emitter, op.input, source, f.in_shape, shape, steps)
    ends: dict[str, Shape] = {}
    for axis, length, result in zip("hw", shape[2:], f.out_shape[2:], strict=True):
        reach = getattr(f, f"dilation_{axis}") * (getattr(f, f"filter_{axis}") - 1)
        before = reach - getattr(f, f"pad_{axis}")[0]
        ends[f"pad_{axis}"] = before, result - length - before + reach, 0
    kernels = (f.out_shape[1], f.in_shape[1] // f.groups, f.filter_h, f.filter_w)
    turned = emitter.constant(np.ascontiguousarray(f.weights.reshape(kernels)[:, :, ::-1, ::-1]))
    buffers = source, turned, emitter.constant(np.zeros(f.out_shape[1], np.float32)), op.output
    window = {**_ONCE, "groups": f.groups, "dil_h": f.dilation_h, "dil_w": f.dilation_w}
    _convolved(emitter, buffers, (shape, kernels, f.out_shape), ends, f.act, **window)


def _spread(
    emitter: Emitter, source: SSAValue, target: SSAValue, shape: Shape, result: Shape, steps: Sequence[int]
) -> None:
    """The elements of a tensor, each so many steps behind the one before, with zeros in between."""
    if padding_length(emitter.release) > 2:
        _padded(emitter, source, target, shape, result, [(0, 0, step - 1) for step in steps], 0.0)
        return
    zero, strides = emitter.constant(np.zeros((1, 1, 1, 1), np.float32)), dense_strides(result)
    one = {"sh": (1, 1, 1, 1), "st": (1, 1, 1, 1), "shd": result, "std": strides}
    emitter.call("broadcast", (zero, target), dt=DataType.FLOAT32, **one)
    apart = tuple(stride * step for stride, step in zip(strides, steps, strict=True))
    _copied(emitter, source, target, shape, dense_strides(shape), apart)


def _reduce(emitter: Emitter, op: kbuf.ReduceOp, f: Any) -> None:
    changed = tuple(axis for axis in range(4) if f.in_shape[axis] != f.out_shape[axis])
    axes = changed or (f.in_shape.index(1),) if 1 in f.in_shape else changed
    emitter.call(
        "reduce",
        (op.input, op.output),
        {"init": f.init},
        dt=DataType.FLOAT32,
        sh=f.in_shape,
        st=dense_strides(f.in_shape),
        std=dense_strides(f.out_shape),
        op=REDUCE.index(f.op),
        sh_axes=axes,
        keep_dims=True,
    )


def _reduce_window(emitter: Emitter, op: kbuf.ReduceWindow2dOp, f: Any) -> None:
    emitter.call(
        "reduce_window2d",
        (op.input, op.output),
        {"init": f.init, **_padding(f)},
        dt=DataType.FLOAT32,
        op=REDUCE.index(f.op),
        sh=f.in_shape,
        st=dense_strides(f.in_shape),
        std=dense_strides(op.shapes(f)["output"]),
        fh=f.filter_h,
        fw=f.filter_w,
        **_window(f),
        **_bounds(f.act),
    )


def _concat(emitter: Emitter, op: kbuf.ConcatOp, f: Any) -> None:
    size = kbuf.element_size(op.output)
    row = f.inner_size * sum(f.dims) // size
    begin = 0
    for source, dim in zip(op.inputs, f.dims, strict=True):
        width = f.inner_size * dim // size
        if not width:
            continue
        target = emitter.part(op.output, (f.outer_size - 1) * row + width, begin)
        _copied(emitter, source, target, (f.outer_size, width), (width, 1), (row, 1))
        begin += width * size


def _memory_copy(emitter: Emitter, op: kbuf.MemoryCopyOp, f: Any) -> None:
    shape = kbuf.shape_of(op.input)
    _copied(emitter, op.input, op.output, shape, dense_strides(shape), dense_strides(shape))


def _transpose(emitter: Emitter, op: kbuf.TransposeOp, f: Any) -> None:
    result = tuple(f.in_shape[axis] for axis in f.perm)
    strides = {"st": dense_strides(f.in_shape), "std": dense_strides(result)}
    emitter.call("transpose", (op.input, op.output), dt=_type(op.input), sh=f.in_shape, **strides, sh_perm=f.perm)


def _pad(emitter: Emitter, op: kbuf.PadOp, f: Any) -> None:
    pads = [(before, after, 0) for before, after in zip(f.paddings[0::2], f.paddings[1::2], strict=True)]
    data = f.value.tobytes()
    number = struct.unpack("<f", data)[0] if _type(op.input) is DataType.FLOAT32 else data[0]
    _padded(emitter, op.input, op.output, f.in_shape, op.shapes(f)["output"], pads, number)


def _padded(
    emitter: Emitter,
    source: SSAValue,
    target: SSAValue,
    shape: Shape,
    result: Shape,
    pads: Sequence[tuple[int, int, int]],
    value: float,
) -> None:
    """Numbers before and after an axis and, where the release has that, between its elements."""
    emitter.call(
        "pad",
        (source, target),
        {"value": value},
        dt=_type(source),
        sh=shape,
        st=dense_strides(shape),
        std=dense_strides(result),
        pads=tuple(pads),
        mode=0,
    )


def _slice(emitter: Emitter, op: kbuf.StridedSliceOp, f: Any) -> None:
    result = op.shapes(f).get("output") or kbuf.shape_of(op.output)
    emitter.call(
        "slice",
        (op.input, op.output),
        dt=_type(op.input),
        sh=f.in_shape,
        st=dense_strides(f.in_shape),
        std=dense_strides(result),
        sh_begin=f.begin,
        sh_end=f.end,
        sh_step=f.strides,
    )


def _resize(emitter: Emitter, op: kbuf.ResizeImageOp, f: Any) -> None:
    nearest = f.mode == "nearest"
    emitter.call(
        "resize_image",
        (op.input, op.output),
        {"out_h": f.out_h, "out_w": f.out_w},
        dt=_type(op.input),
        sh=f.in_shape,
        st=dense_strides(f.in_shape),
        std=dense_strides((*f.in_shape[:2], f.out_h, f.out_w)),
        align_corners=0 if nearest else f.align_corners,  # runtimes of v4 ignore it there
        half_pixel=0,
        mode=int(nearest),
    )


FORMS: dict[type[kbuf.InstructionOp], Callable[[Emitter, Any, Any], None]] = {
    kbuf.BinaryOp: _binary,
    kbuf.ConcatOp: _concat,
    kbuf.Conv2dOp: _conv2d,
    kbuf.Conv2dTransposeOp: _conv2d_transpose,
    kbuf.DequantizeOp: _dequantize,
    kbuf.MatmulOp: _matmul,
    kbuf.MemoryCopyOp: _memory_copy,
    kbuf.PadOp: _pad,
    kbuf.QuantizeOp: _quantize,
    kbuf.QuantizedBinaryOp: _quantized_binary,
    kbuf.QuantizedConv2dOp: _quantized_conv2d,
    kbuf.QuantizedMatmulOp: _quantized_matmul,
    kbuf.ReduceOp: _reduce,
    kbuf.ReduceWindow2dOp: _reduce_window,
    kbuf.ResizeImageOp: _resize,
    kbuf.SoftmaxOp: _softmax,
    kbuf.StridedSliceOp: _slice,
    kbuf.TableLookup1dOp: _table_lookup,
    kbuf.TransposeOp: _transpose,
    kbuf.UnaryOp: _unary,
}
"""What stands for each instruction."""
