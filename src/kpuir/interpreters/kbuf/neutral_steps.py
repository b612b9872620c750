"""How the CPU instructions that work on elements, matrices and places run (`kmodel-v4.md` 7 and 8)."""

from types import SimpleNamespace

import numpy as np

from kpuir.dialects import kbuf
from kpuir.interpreters.kbuf.machine import Step, executes
from kpuir.interpreters.kbuf.memory import Access, element_dtype
from kpuir.interpreters.kernels import neutral


def _fields(op: kbuf.InstructionOp) -> SimpleNamespace:
    return SimpleNamespace(**op.values())


@executes(kbuf.BinaryOp)
def _binary(op: kbuf.BinaryOp, access: Access) -> Step:
    f = _fields(op)
    # equal shapes: the runtime walks them linearly and ignores out_shape
    shape = f.a_shape if f.a_shape == f.b_shape else f.out_shape
    a = neutral.broadcast_view(access.read(op.a, f.a_shape), shape)
    b = neutral.broadcast_view(access.read(op.b, f.b_shape), shape)
    out = access.write(op.output, shape)
    kind = str(f.op)
    return lambda: neutral.binary(kind, a(), b(), out, f.act)


@executes(kbuf.QuantizedBinaryOp)
def _quantized_binary(op: kbuf.QuantizedBinaryOp, access: Access) -> Step:
    f = _fields(op)
    shape = f.a_shape if f.a_shape == f.b_shape else f.out_shape
    a = neutral.broadcast_view(access.read(op.a, f.a_shape), shape)
    b = neutral.broadcast_view(access.read(op.b, f.b_shape), shape)
    out = access.write(op.output, shape)
    kind = str(f.op)
    scalings = tuple(
        (getattr(f, f"{side}_offset"), getattr(f, f"{side}_mul"), getattr(f, f"{side}_shift"))
        for side in ("a", "b", "output")
    )
    return lambda: neutral.quantized_binary(kind, a(), b(), out, *scalings)


@executes(kbuf.UnaryOp)
def _unary(op: kbuf.UnaryOp, access: Access) -> Step:
    count = kbuf.byte_size(op.input) // 4
    x, out = access.read(op.input, (count,)), access.write(op.output, (count,))
    kind = str(_fields(op).op)
    return lambda: neutral.unary(kind, x, out)


@executes(kbuf.NnilUnaryMethodOp)
def _nnil(op: kbuf.NnilUnaryMethodOp, access: Access) -> Step:
    count = kbuf.byte_size(op.input) // 4
    x, out = access.read(op.input, (count,)), access.write(op.output, (count,))
    code = _fields(op).code.tobytes()
    return lambda: neutral.nnil(code, x, out)


@executes(kbuf.QuantizeOp)
def _quantize(op: kbuf.QuantizeOp, access: Access) -> Step:
    f = _fields(op)
    count = kbuf.byte_size(op.input) // 4
    x, out = access.read(op.input, (count,)), access.write(op.output, (count,))
    return lambda: neutral.quantize(x, out, f.zero_point, f.scale)


@executes(kbuf.DequantizeOp)
def _dequantize(op: kbuf.DequantizeOp, access: Access) -> Step:
    f = _fields(op)
    count = kbuf.byte_size(op.input)
    x, out = access.read(op.input, (count,)), access.write(op.output, (count,))
    return lambda: neutral.dequantize(x, out, f.zero_point, f.scale)


@executes(kbuf.SoftmaxOp)
def _softmax(op: kbuf.SoftmaxOp, access: Access) -> Step:
    f = _fields(op)
    shape = (f.outer_size, f.inner_size)
    x, out = access.read(op.input, shape), access.write(op.output, shape)
    return lambda: neutral.softmax(x, out, f.beta)


@executes(kbuf.TableLookup1dOp)
def _table_lookup(op: kbuf.TableLookup1dOp, access: Access) -> Step:
    count = kbuf.byte_size(op.input)
    x, table = access.read(op.input, (count,)), access.read(op.table, (256,))
    out = access.write(op.output, (count,))
    return lambda: neutral.table_lookup(x, table, out)


@executes(kbuf.MatmulOp)
def _matmul(op: kbuf.MatmulOp, access: Access) -> Step:
    f = _fields(op)
    a, b = access.read(op.a, (f.a_rows, f.a_cols)), access.read(op.b, (f.a_cols, f.b_cols))
    out = access.write(op.output, (f.a_rows, f.b_cols))
    bias = np.array(f.bias).reshape(-1)
    return lambda: neutral.matmul(a, b, bias, out, f.act)


@executes(kbuf.QuantizedMatmulOp)
def _quantized_matmul(op: kbuf.QuantizedMatmulOp, access: Access) -> Step:
    f = _fields(op)
    a, b = access.read(op.a, (f.a_rows, f.a_cols)), access.read(op.b, (f.a_cols, f.b_cols))
    out = access.write(op.output, (f.a_rows, f.b_cols))
    bias = np.array(f.bias).reshape(-1)
    scaling = neutral.Requantization(f.output_mul, f.output_shift, f.output_offset)
    return lambda: neutral.quantized_matmul(
        a, b, bias, out, a_offset=f.a_offset, b_offset=f.b_offset, requantization=scaling
    )


@executes(kbuf.ReduceOp)
def _reduce(op: kbuf.ReduceOp, access: Access) -> Step:
    f = _fields(op)
    x, out = access.read(op.input, f.in_shape), access.write(op.output, f.out_shape)
    # the runtime's divisor comes from the sizes of the ranges, not from the shapes
    scale = np.float32(kbuf.byte_size(op.output) // 4) / np.float32(kbuf.byte_size(op.input) // 4)
    kind = str(f.op)
    return lambda: neutral.reduce(kind, x, out, f.init, float(scale))


@executes(kbuf.ConcatOp)
def _concat(op: kbuf.ConcatOp, access: Access) -> Step:
    f = _fields(op)
    widths = [f.inner_size * dim for dim in f.dims]
    sources = [
        access.read(buffer, (f.outer_size, width), np.uint8) for buffer, width in zip(op.inputs, widths, strict=True)
    ]
    out = access.write(op.output, (f.outer_size, sum(widths)), np.uint8)
    return lambda: neutral.concat(sources, out)


@executes(kbuf.MemoryCopyOp)
def _memory_copy(op: kbuf.MemoryCopyOp, access: Access) -> Step:
    size = kbuf.byte_size(op.input) // 4 * 4
    source, out = access.read(op.input, (size,), np.uint8), access.write(op.output, (size,), np.uint8)
    return lambda: neutral.memory_copy(source, out)


@executes(kbuf.TransposeOp)
def _transpose(op: kbuf.TransposeOp, access: Access) -> Step:
    f = _fields(op)
    x = access.read(op.input, f.in_shape)
    out = access.write(op.output, [f.in_shape[axis] for axis in f.perm], element_dtype(op.input))
    return lambda: neutral.transpose(x, out, f.perm)


@executes(kbuf.PadOp)
def _pad(op: kbuf.PadOp, access: Access) -> Step:
    f = _fields(op)
    before, after = f.paddings[0::2], f.paddings[1::2]
    x = access.read(op.input, f.in_shape)
    shape = [low + size + high for low, size, high in zip(before, f.in_shape, after, strict=True)]
    out = access.write(op.output, shape, x.dtype)
    value = np.frombuffer(np.asarray(f.value).tobytes()[: x.dtype.itemsize], x.dtype)[0]
    return lambda: neutral.pad(x, out, before, value)


@executes(kbuf.StridedSliceOp)
def _strided_slice(op: kbuf.StridedSliceOp, access: Access) -> Step:
    f = _fields(op)
    source = neutral.strided_slice(access.read(op.input, f.in_shape), f.begin, f.end, f.strides)
    out = access.write(op.output, source.shape, source.dtype)
    return lambda: np.copyto(out, source)


@executes(kbuf.ResizeImageOp)
def _resize(op: kbuf.ResizeImageOp, access: Access) -> Step:
    f = _fields(op)
    x = access.read(op.input, f.in_shape)
    out = access.write(op.output, (*f.in_shape[:2], f.out_h, f.out_w), x.dtype)
    nearest, align_corners = str(f.mode) == "nearest", bool(f.align_corners)
    return lambda: neutral.resize(x, out, nearest=nearest, align_corners=align_corners)
