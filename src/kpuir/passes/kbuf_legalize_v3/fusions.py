"""Instructions that become layers of v3 together; each is found at the last of them.

A fusion takes the legalizer and that last instruction, and says whether it has replaced it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kbuf
from kpuir.passes.kbuf_legalize_v3.legalizer import MOST_RANGES, MOST_ROWS, Legalizer, Span, erase
from kpuir.passes.kbuf_legalize_v3.moving import emit_flattened, flatten_steps
from kpuir.target.k210 import PoolKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Doubles: TypeAlias = NDArray[np.float64]

_NO_CLAMP = (-kbuf.FLOAT_MAX, kbuf.FLOAT_MAX)


def padded_vector(legalizer: Legalizer, op: Operation) -> bool:
    """A vector padded to 4x4 maps and uploaded, where only 1x1 kernels read them: k210_add_padding."""
    if not isinstance(op, kbuf.KpuUploadOp):
        return False
    pad = legalizer.writer(op.input)
    if not isinstance(pad, kbuf.PadOp) or not legalizer.only_reader(op.input, op):
        return False
    fields = pad.values()
    _, channels, height, width = fields["in_shape"]
    if (height, width) != (1, 1) or fields["paddings"] != (0, 0, 0, 0, 0, 3, 0, 3):
        return False
    if not _only_first_pixel(legalizer, op.output):
        return False
    source = pad.input
    legalizer.replace(kbuf.v3.K210AddPaddingOp(source, op.output, channels=channels))
    erase(pad)
    return True


def _only_first_pixel(legalizer: Legalizer, value: SSAValue) -> bool:
    """Whether of 4x4 maps only the first pixel of each channel reaches anything."""
    for reader in legalizer.readers(value):
        if isinstance(reader, kbuf.KpuConv2dOp):
            registers = reader.values()["registers"]
            plain = registers.kernel_size == 1 and PoolKind.of_code(registers.pool_type) is PoolKind.BYPASS
            shapes = kbuf.shape_of(reader.input)[2:], kbuf.shape_of(reader.output)[2:]
            if not plain or shapes != ((4, 4), (4, 4)) or not _only_first_pixel(legalizer, reader.output):
                return False
            if reader.main_output is not None and not _only_first_pixel(legalizer, reader.main_output):
                return False
        elif not isinstance(reader, kbuf.PadOp) or not takes_first_pixel(reader):
            return False
    return True


def takes_first_pixel(op: kbuf.PadOp) -> bool:
    """Whether a crop takes the first pixel of 4x4 maps."""
    fields = op.values()
    return fields["in_shape"][2:] == (4, 4) and fields["paddings"] == (0, 0, 0, 0, 0, -3, 0, -3)


def moved_bytes(legalizer: Legalizer, op: Operation) -> bool:
    """A transpose of bytes that are dequantized: the floats are moved, for v3 has a layer for these."""
    if not isinstance(op, kbuf.DequantizeOp):
        return False
    transpose = legalizer.writer(op.input)
    if not isinstance(transpose, kbuf.TransposeOp) or not legalizer.only_reader(op.input, op):
        return False
    fields = transpose.values()
    steps = flatten_steps(fields["in_shape"], fields["perm"])
    if not steps:
        return False
    numbers, source = op.values(), transpose.input
    floats = legalizer.alloc(kbuf.shape_of(source))
    legalizer.emit(kbuf.DequantizeOp(source, floats, **numbers))
    emit_flattened(legalizer, floats, op.output, steps)
    legalizer.drop()
    erase(transpose)
    return True


def logistic(legalizer: Legalizer, op: Operation) -> bool:
    """1 / (1 + exp(-x)) as the CPU of v4 computes it."""
    if not isinstance(op, kbuf.BinaryOp) or not _is(op, "div") or not _is_one(legalizer, op.a):
        return False
    add = _sole(legalizer, op.b, op)
    if not isinstance(add, kbuf.BinaryOp) or not _is(add, "add") or not _is_one(legalizer, add.b):
        return False
    exp = _sole(legalizer, add.a, add)
    if not isinstance(exp, kbuf.UnaryOp) or str(exp.op.data) != "exp":
        return False
    neg = _sole(legalizer, exp.input, exp)
    if not isinstance(neg, kbuf.UnaryOp) or str(neg.op.data) != "neg":
        return False
    legalizer.replace(kbuf.v3.LogisticOp(neg.input, op.output, channels=prod(kbuf.shape_of(op.output))))
    for part in (add, exp, neg):
        erase(part)
    return True


def _sole(legalizer: Legalizer, value: SSAValue, reader: Operation) -> Operation | None:
    """The writer of a value that nobody else reads."""
    return legalizer.writer(value) if legalizer.only_reader(value, reader) else None


def _is(op: kbuf.BinaryOp, kind: str) -> bool:
    return str(op.op.data) == kind and op.values()["act"] == _NO_CLAMP


def _is_one(legalizer: Legalizer, value: SSAValue) -> bool:
    array = legalizer.constant(value)
    return array is not None and array.size == 1 and float(array.ravel()[0]) == 1.0


def rectified_bytes(legalizer: Legalizer, op: Operation) -> bool:
    """The maximum (or minimum) of dequantized bytes and 0: the codes are cut at that of 0, and dequantized then."""
    import numpy as np

    if not isinstance(op, kbuf.BinaryOp):
        return False
    at_least = str(op.op.data) == "max" and op.values()["act"] in (_NO_CLAMP, (0.0, kbuf.FLOAT_MAX))
    if not at_least and not _is(op, "min"):
        return False
    cut = np.maximum if at_least else np.minimum
    for value, bound in ((op.a, op.b), (op.b, op.a)):
        constant, dequantize = legalizer.constant(bound), legalizer.writer(value)
        if constant is None or constant.any() or not isinstance(dequantize, kbuf.DequantizeOp):
            continue
        numbers, size = dequantize.values(), prod(kbuf.shape_of(value))
        if size != prod(kbuf.shape_of(op.output)) or not 0 <= numbers["zero_point"] <= 255 or numbers["scale"] <= 0:
            continue
        alone, source = legalizer.only_reader(value, op), dequantize.input
        codes = legalizer.alloc((size,), kbuf.UI8)
        table = cut(np.arange(256), numbers["zero_point"]).astype(np.uint8)
        legalizer.emit(kbuf.v3.RequantizeOp(source, codes, count=size, table=table))
        legalizer.replace(kbuf.DequantizeOp(codes, op.output, **numbers))
        if alone:
            erase(dequantize)
        return True
    return False


_SUMS = (1e-2, 1.0, 1e2, 1e4)
"""Sums of squares for which a divisor is looked at: it must be the root, up to what keeps it from being 0."""


def l2_normalization(legalizer: Legalizer, op: Operation) -> bool:
    """Rows by the roots of their sums of squares. Sums below 1e-10 count as that in v3, whatever the model says."""
    import numpy as np

    if not isinstance(op, kbuf.BinaryOp) or not _is(op, "div"):
        return False
    concat = _sole(legalizer, op.b, op)
    repeated = concat if isinstance(concat, kbuf.ConcatOp) and len(set(concat.inputs)) == 1 else None
    steps: dict[Operation, NDArray[np.float32]] = {}
    divisor = _scalar(legalizer, op.b if repeated is None else repeated.inputs[0], steps)
    sums = next((step for step in steps if isinstance(step, kbuf.ReduceOp)), None)
    if divisor is None or sums is None or not np.allclose(divisor, np.sqrt(_SUMS), rtol=1e-4):
        return False
    fields, of_sums, rows = op.values(), sums.values(), prod(kbuf.shape_of(sums.output))
    whole, given = fields["a_shape"], fields["b_shape"]
    if repeated is None:
        fits = prod(given) == rows and _is_of_rows(whole, given)
    else:
        fits = given == whole and repeated.values()["outer_size"] == rows
    fits = fits and whole == fields["out_shape"] and _is_of_rows(of_sums["in_shape"], of_sums["out_shape"])
    squares = legalizer.writer(sums.input)
    if not fits or rows > MOST_ROWS or squares is None or not _squares(squares, op.a):
        return False
    own = {*steps, squares, *([] if repeated is None else [repeated])}
    if not {op, *own}.issuperset(reader for step in own for reader in legalizer.readers(step.operands[-1])):
        return False
    legalizer.replace_by_rows(kbuf.v3.L2NormalizationOp, op.a, op.output, (rows, prod(whole) // rows))
    for step in own:
        erase(step)
    return True


def _scalar(
    legalizer: Legalizer, value: SSAValue, steps: "dict[Operation, NDArray[np.float32]]"
) -> "NDArray[np.float32] | None":
    """A value computed of sums and constants alone, for sums of `_SUMS`; `steps` gets the operations and theirs."""
    import numpy as np

    from kpuir.interpreters.kernels import neutral

    constant = legalizer.constant(value)
    if constant is not None:
        return np.full(len(_SUMS), constant.ravel()[0], np.float32) if constant.size == 1 else None
    writer = legalizer.writer(value)
    if writer is None or writer in steps:
        return None if writer is None else steps[writer]
    result = np.asarray(_SUMS, np.float32)
    match writer:
        case kbuf.ReduceOp() if str(writer.op.data) == "sum" and not writer.values()["init"]:
            pass
        case kbuf.UnaryOp() if (x := _scalar(legalizer, writer.input, steps)) is not None:
            neutral.unary(str(writer.op.data), x, result)
        case kbuf.BinaryOp():
            a, b = (_scalar(legalizer, side, steps) for side in (writer.a, writer.b))
            if a is None or b is None:
                return None
            neutral.binary(str(writer.op.data), a, b, result, writer.values()["act"])
        case _:
            return None
    steps[writer] = result
    return result


def _squares(op: Operation, x: SSAValue) -> bool:
    if isinstance(op, kbuf.UnaryOp):
        return str(op.op.data) == "square" and Span.of(op.input) == Span.of(x)
    return isinstance(op, kbuf.BinaryOp) and _is(op, "mul") and {Span.of(op.a), Span.of(op.b)} == {Span.of(x)}


def _is_of_rows(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the first dimensions are the same, and all others 1 afterwards."""
    first = next((axis for axis in range(4) if before[axis] != after[axis]), 4)
    return all(size == 1 for size in after[first:])


def pooled_bytes(legalizer: Legalizer, op: Operation) -> bool:
    """Maxima of floats that were bytes: the bytes are pooled, and dequantized then; each part of a concat by itself."""
    if not isinstance(op, kbuf.ReduceWindow2dOp) or str(op.op.data) != "max":
        return False
    fields = op.values()
    if fields["act"] != _NO_CLAMP or (fields["dilation_h"], fields["dilation_w"]) != (1, 1):
        return False
    pixels, results = prod(fields["in_shape"][2:]), prod(kbuf.shape_of(op.output)[-2:])
    writers, channel = legalizer.writers(op.input), 0
    sizes = [prod(kbuf.shape_of(writer.output)) for writer in writers if isinstance(writer, kbuf.DequantizeOp)]
    if not writers or len(sizes) < len(writers) or any(size % pixels for size in sizes):
        return False
    alone = legalizer.readers(op.input) == [op]
    for writer, size in zip(writers, sizes, strict=True):
        assert isinstance(writer, kbuf.DequantizeOp)
        count = size // pixels
        pooled = legalizer.alloc((count, results), kbuf.UI8)
        numbers = window({**fields, "in_shape": (1, count, *fields["in_shape"][2:])}, kbuf.shape_of(op.output))
        legalizer.emit(kbuf.v3.QuantizedMaxPool2dOp(writer.input, pooled, **numbers))
        part = legalizer.view(op.output, (count, results), 4 * channel * results)
        legalizer.emit(kbuf.DequantizeOp(pooled, part, **writer.values()))
        channel += count
    legalizer.drop()
    for writer in writers if alone else []:
        erase(writer)
    return True


def window(fields: dict[str, Any], shape: tuple[int, ...]) -> dict[str, int]:
    """The fields of a pool; images of a batch are channels too. `shape` is the result's."""
    batch, channels, height, width = fields["in_shape"]
    return {
        "in_width": width,
        "in_height": height,
        "in_channels": batch * channels,
        "out_width": shape[-1],
        "out_height": shape[-2],
        "out_channels": batch * channels,
        "kernel_width": fields["filter_w"],
        "kernel_height": fields["filter_h"],
        "stride_width": fields["stride_w"],
        "stride_height": fields["stride_h"],
        "pad_width": fields["pad_w"][0],
        "pad_height": fields["pad_h"][0],
    }


def shifted_softmax(legalizer: Legalizer, op: Operation) -> bool:
    """A softmax of bytes: they count from 0, which changes nothing but that the runtime finds their maximum.

    It looks for that from the smallest positive number on (`kmodel-v3.md` 4).
    """
    if not isinstance(op, kbuf.SoftmaxOp):
        return False
    dequantize = _sole(legalizer, op.input, op)
    if not isinstance(dequantize, kbuf.DequantizeOp) or not dequantize.values()["zero_point"]:
        return False
    numbers = {**dequantize.values(), "zero_point": 0}
    new = kbuf.DequantizeOp(dequantize.input, dequantize.output, **numbers)
    new.location = dequantize.location
    new.attributes.update(dequantize.attributes)
    block = dequantize.parent
    assert block is not None
    block.insert_op_before(new, dequantize)
    erase(dequantize)
    return True


def softmax_of_pairs(legalizer: Legalizer, op: Operation) -> bool:
    """Softmaxes of two dequantized bytes each: the logistic function of a - b and b - a.

    Floats are not subtracted, but bytes are dequantized with a negative scale, and neighbours swapped by a copy.
    """
    if not isinstance(op, kbuf.SoftmaxOp):
        return False
    fields = op.values()
    if fields["inner_size"] != 2 or fields["outer_size"] == 1 or fields["beta"] != 1.0:
        return False
    parts = [_Pairs.of(legalizer, writer, op) for writer in legalizer.writers(op.input)]
    if not parts or None in parts:
        return False
    for part in parts:
        assert part is not None
        part.subtract(legalizer)
    legalizer.op = op
    legalizer.replace(kbuf.v3.LogisticOp(op.input, op.output, channels=prod(kbuf.shape_of(op.output))))
    return True


@dataclass(frozen=True)
class _Pairs:
    """A part of what a softmax of pairs reads: dequantized, and perhaps moved from CHW to HWC then.

    Neighbours are `unit` floats apart in what is dequantized.
    """

    dequantize: kbuf.DequantizeOp
    flatten: kbuf.v3.TensorflowFlattenOp | None
    unit: int

    @staticmethod
    def of(legalizer: Legalizer, writer: Operation, reader: Operation) -> "_Pairs | None":
        """The part that an operation writes, None for any other and where somebody else reads it."""
        flatten, unit = None, 1
        if isinstance(writer, kbuf.v3.TensorflowFlattenOp) and legalizer.only_reader(writer.output, reader):
            fields = writer.values()
            flatten, unit = writer, fields["width"] * fields["height"]
            reader, writer = writer, legalizer.writer(writer.input) or writer
            if fields["channels"] % 2:
                return None
        if not isinstance(writer, kbuf.DequantizeOp) or not legalizer.only_reader(writer.output, reader):
            return None
        count = prod(kbuf.shape_of(writer.output))
        fits = count % (2 * unit) == 0 and count // unit <= MOST_RANGES
        return _Pairs(writer, flatten, unit) if fits else None

    def subtract(self, legalizer: Legalizer) -> None:
        """Let what is dequantized become differences."""
        numbers, source, output = self.dequantize.values(), self.dequantize.input, self.dequantize.output
        legalizer.op = self.dequantize
        shape = kbuf.shape_of(output)
        plus, minus, swapped = (legalizer.alloc(shape) for _ in range(3))
        legalizer.emit(kbuf.DequantizeOp(source, plus, **numbers))
        legalizer.emit(kbuf.DequantizeOp(source, minus, **{**numbers, "scale": -numbers["scale"]}))
        size = 4 * self.unit
        places = [pair + side for pair in range(0, prod(shape) // self.unit, 2) for side in (1, 0)]
        legalizer.emit(
            kbuf.v3.ConcatOp([legalizer.view(minus, (self.unit,), size * place) for place in places], swapped)
        )
        legalizer.replace(kbuf.v3.AddOp(plus, swapped, output, count=prod(shape)))


def scaled_bytes(legalizer: Legalizer, op: Operation) -> bool:
    """A sum or product of dequantized bytes and constants: another scale and bias, or one for each channel."""
    import numpy as np

    if not isinstance(op, kbuf.BinaryOp) or op.values()["act"] != _NO_CLAMP:
        return False
    fields, shape = op.values(), kbuf.shape_of(op.output)
    found = [
        (side, constant)
        for side, other in ((0, op.b), (1, op.a))
        if (constant := legalizer.constant(other)) is not None
    ]
    if len(found) != 1:
        return False
    side, constant = found[0]
    inner = (op.a, op.b)[side]
    dequantize = _sole(legalizer, inner, op)
    numbers = None if dequantize is None else _scale_and_bias(dequantize)
    if dequantize is None or numbers is None or prod(kbuf.shape_of(inner)) != prod(shape):
        return False
    number = constant.astype(np.float64).reshape(fields["b_shape" if side == 0 else "a_shape"])
    number = np.broadcast_to(number, fields["out_shape"]).reshape(-1)
    scaled = _combined(str(fields["op"]), side, *numbers, number)
    if scaled is None:
        return False
    channels = next(count for count in _divisors(shape) if _is_per_channel(scaled, count))
    size = prod(shape) // channels
    pairs = np.stack([np.broadcast_to(part, (prod(shape),)).reshape(channels, size)[:, 0] for part in scaled], axis=1)
    source = dequantize.operands[0]
    legalizer.replace(
        kbuf.v3.ChannelwiseDequantizeOp(source, op.output, channels=channels, channel_size=size, scales=pairs.ravel())
        if channels > 1
        else kbuf.v3.DequantizeOp(source, op.output, count=size, scale=pairs[0, 0], bias=pairs[0, 1])
    )
    erase(dequantize)
    return True


def quantized_floats(legalizer: Legalizer, op: Operation) -> bool:
    """Floats that a number is added to, or that are multiplied by one, and quantized: by another scale and bias."""
    import numpy as np

    if not isinstance(op, kbuf.QuantizeOp):
        return False
    inner = _sole(legalizer, op.input, op)
    if not isinstance(inner, kbuf.BinaryOp) or inner.values()["act"] != _NO_CLAMP:
        return False
    fields, count = op.values(), prod(kbuf.shape_of(op.output))
    for side, source, other in ((0, inner.a, inner.b), (1, inner.b, inner.a)):
        constant = legalizer.constant(other)
        if constant is None or constant.size > 1 or prod(kbuf.shape_of(source)) != count:
            continue
        number = constant.astype(np.float64).reshape(())
        found = _combined(str(inner.values()["op"]), side, np.ones(()), np.zeros(()), number)
        if found is None or not found[0]:
            continue
        factor, addend = (float(part) for part in found)
        numbers = {
            "scale": 1 / (fields["scale"] * factor),
            "bias": -(fields["zero_point"] / fields["scale"] + addend) / factor,
        }
        legalizer.replace(kbuf.v3.QuantizeOp(source, op.output, count=count, **numbers))
        erase(inner)
        return True
    return False


def _scale_and_bias(op: Operation) -> "tuple[Doubles, Doubles] | None":
    """Of what dequantizes, for each element or for all."""
    import numpy as np

    if isinstance(op, kbuf.DequantizeOp):
        fields = op.values()
        scale = np.asarray(1 / fields["scale"])
        return scale, -fields["zero_point"] * scale
    if isinstance(op, kbuf.v3.DequantizeOp):
        fields = op.values()
        return np.asarray(fields["scale"], np.float64), np.asarray(fields["bias"], np.float64)
    if isinstance(op, kbuf.v3.ChannelwiseDequantizeOp):
        fields = op.values()
        pairs = fields["scales"].astype(np.float64).reshape(-1, 2).repeat(fields["channel_size"], axis=0)
        return pairs[:, 0], pairs[:, 1]
    return None


def _combined(
    kind: str, side: int, scale: "Doubles", bias: "Doubles", number: "Doubles"
) -> "tuple[Doubles, Doubles] | None":
    """Scale and bias behind an operation with a number, where what has them is the left (0) or right (1) side."""
    match kind, side:
        case ("add", _):
            return scale, bias + number
        case ("mul", _):
            return scale * number, bias * number
        case ("sub", 0):
            return scale, bias - number
        case ("sub", _):
            return -scale, number - bias
        case ("div", 0) if number.all():
            return scale / number, bias / number
        case _:
            return None


def _divisors(shape: tuple[int, ...]) -> list[int]:
    """Into how many channels of equal elements a tensor may be seen to fall: the products of its first dimensions."""
    return [prod(shape[:axis]) for axis in range(len(shape) + 1)]


def _is_per_channel(numbers: "tuple[Doubles, Doubles]", channels: int) -> bool:
    rows = [part.reshape(channels, -1) for part in numbers if part.size > 1]
    return all(bool((row == row[:, :1]).all()) for row in rows)


FUSIONS: tuple[Callable[[Legalizer, Operation], bool], ...] = (
    padded_vector,
    moved_bytes,
    logistic,
    l2_normalization,
    rectified_bytes,
    pooled_bytes,
    scaled_bytes,
    quantized_floats,
    softmax_of_pairs,
    shifted_softmax,
)
"""What is tried at each instruction, in order."""
