"""One layer of the KPU, exactly: what `kmodel-v4.md` 9.5 and `kpu-hardware.md` 6 and 7 say, as fast as we can.

    acc = Σ x·w + ((arg_x·Σx) >> shr_x) + ((arg_w·Σw) >> shr_w) + arg_add·M        M = IC, or 1 if depthwise
    v   = ((acc·bn_mul) >> bn_shift) + bn_add
    s   = highest segment with v > start_s;   y = clamp(round((v − start_s)·mul_s / 2^shift_s) + add_s, 0, 255)

How it is made fast, without ever giving up a bit:

- with shr_x = 0 the term of arg_x is folded into the weights: Σ x·(w + arg_x); the terms of arg_w and arg_add are
  constants of the channel. A layer is then one matrix product over the pixels that survive a stride pick.
- the product is in float32 when no partial sum can reach 2^24, in float64 below 2^53, else in integers.
- segments that no accumulator can reach are dropped first; batch-norm, table, rounding and clamp are one compiled loop,
  in float64 while every product stays below 2^53 and no segment descends, else in 64-bit integers.
- images are worked on in tiles of rows that stay in the cache; the small products run on one BLAS thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels.blas import one_blas_thread
from kpuir.interpreters.kernels.kpu_layout import Layout
from kpuir.kmodel.layer import LayerRegisters, unpack_activation, unpack_batch_norm
from kpuir.target.k210 import PoolKind, pooled_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    DoubleTables = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    ExactTables = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

_TILE_BYTES = 320 * 1024
_FLOAT_EXACT, _DOUBLE_EXACT = 1 << 24, 1 << 53


@dataclass(frozen=True, eq=False)
class LayerNumbers:
    """A layer in numbers, free of where its maps lie.

    weights: unsigned [OC, IC, k, k], depthwise [C, 1, k, k]; bn_mul, bn_shift, bn_add: [OC]; act_start, act_mul,
    act_shift, act_add: [16]. Ranges are those of the register fields (`kpu-hardware.md` 4 and 6).
    """

    height: int
    width: int
    depthwise: bool
    pool: PoolKind
    pad_value: int
    arg_x: int
    shr_x: int
    arg_w: int
    shr_w: int
    arg_add: int
    weights: "NDArray[np.integer[Any]]"
    bn_mul: "NDArray[np.integer[Any]]"
    bn_shift: "NDArray[np.integer[Any]]"
    bn_add: "NDArray[np.integer[Any]]"
    act_start: "NDArray[np.integer[Any]]"
    act_mul: "NDArray[np.integer[Any]]"
    act_shift: "NDArray[np.integer[Any]]"
    act_add: "NDArray[np.integer[Any]]"

    @classmethod
    def of_registers(
        cls,
        registers: LayerRegisters,
        batch_norm: "NDArray[np.integer[Any]]",
        activation: "NDArray[np.integer[Any]]",
        activation_add: "NDArray[np.integer[Any]]",
        weights: "NDArray[np.integer[Any]]",
    ) -> "LayerNumbers":
        """The numbers out of registers and raw words, as a kmodel has them.

        Raises InvalidInputError where they contradict each other: a kernel or pool code that does not exist, channel
        counts of a depthwise layer that differ, lengths that do not follow from the registers, an output size that
        is not the pooled input size.
        """
        channels, height, width = registers.input_shape
        _check_registers(registers, batch_norm.size, activation.size, activation_add.size, weights.size)
        norm, table = unpack_batch_norm(batch_norm), unpack_activation(activation)
        inputs = 1 if registers.depthwise else channels
        shape = (registers.o_ch_num + 1, inputs, registers.kernel_size, registers.kernel_size)
        return cls(
            height=height,
            width=width,
            depthwise=registers.depthwise,
            pool=PoolKind.of_code(registers.pool_type),
            pad_value=registers.pad_value,
            arg_x=registers.arg_x,
            shr_x=registers.shr_x,
            arg_w=registers.arg_w,
            shr_w=registers.shr_w,
            arg_add=registers.arg_add,
            weights=weights.reshape(shape),
            bn_mul=norm.mul,
            bn_shift=norm.shift,
            bn_add=norm.add,
            act_start=table.start,
            act_mul=table.mul,
            act_shift=table.shift,
            act_add=activation_add.reshape(-1),
        )

    @property
    def input_channels(self) -> int:
        """Channels of the input image."""
        return self.weights.shape[0] if self.depthwise else self.weights.shape[1]

    @property
    def output_channels(self) -> int:
        """Channels of the output image."""
        return self.weights.shape[0]

    @property
    def kernel(self) -> int:
        """1 or 3."""
        return self.weights.shape[2]

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return pooled_size(self.pool, self.height, self.width)


def _check_registers(registers: LayerRegisters, norms: int, words: int, adds: int, weights: int) -> None:
    if registers.kernel_type > 1:
        raise InvalidInputError(f"kernel_type is {registers.kernel_type}, the KPU has 0 (1x1) and 1 (3x3)")
    if registers.pool_type >= len(PoolKind):
        raise InvalidInputError(f"pool_type is {registers.pool_type}, the KPU has 0 to {len(PoolKind) - 1}")
    if registers.depthwise and registers.i_ch_num != registers.o_ch_num:
        channels = f"{registers.i_ch_num + 1} input and {registers.o_ch_num + 1} output channels"
        raise InvalidInputError(f"a depthwise layer has {channels}, they must be as many")
    wanted = {
        "batch-norm entries": (norms, registers.o_ch_num + 1),
        "activation words": (words, 16),
        "activation add bytes": (adds, 16),
        "weights": (weights, registers.weight_count),
    }
    for name, (found, expected) in wanted.items():
        if found != expected:
            raise InvalidInputError(f"the layer has {found} {name}, its registers say {expected}")
    _, height, width = registers.input_shape
    pooled = pooled_size(PoolKind.of_code(registers.pool_type), height, width)
    if pooled != registers.output_shape[1:]:
        found_size = "x".join(map(str, registers.output_shape[1:]))
        raise InvalidInputError(f"the output is {found_size}, pooling {height}x{width} gives {pooled[0]}x{pooled[1]}")


class Scratch:
    """Working memory that layers share, one block per purpose and element type; grows to the largest request.

    Not for use by two threads at a time.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str], Any] = {}

    def take(self, purpose: str, dtype: str, *shape: int) -> "NDArray[Any]":
        """An uninitialized C-contiguous array of `shape`, valid until the next request for the same purpose."""
        import numpy as np

        size = int(np.prod(shape))
        block = self._blocks.get((purpose, dtype))
        if block is None or block.size < size:
            block = self._blocks[purpose, dtype] = np.empty(size, dtype)
        return block[:size].reshape(shape)


Step = Callable[["NDArray[np.uint8]", "NDArray[np.uint8]"], None]
"""Runs one image: (bytes that begin with the input map, bytes that begin with the output map)."""


@dataclass(frozen=True, eq=False)
class PreparedLayer:
    """A layer ready to run: everything that does not depend on the pixels is done."""

    source: Layout
    target: Layout
    image: Step
    arithmetic: str
    """What the sums are in: "float32", "float64" or "int64"; " exact" behind it when the table runs in integers."""


def prepare(
    numbers: LayerNumbers, source: Layout | None = None, target: Layout | None = None, *, scratch: Scratch | None = None
) -> PreparedLayer:
    """Make a layer ready for maps of the given layouts (one image, KPU RAM lines unless given)."""
    height, width = numbers.output_size
    source = source or Layout.lines((1, numbers.input_channels, numbers.height, numbers.width))
    target = target or Layout.lines((1, numbers.output_channels, height, width))
    plan = _Plan(numbers)
    scratch = scratch or Scratch()
    if numbers.pool in (PoolKind.BYPASS, *_PICKS) and not numbers.depthwise:
        step = _dense(plan, source, target, scratch, picked=True)
    elif numbers.pool is PoolKind.BYPASS:
        step = _depthwise(plan, source, target, scratch)
    else:
        step = _pooled(plan, source, target, scratch)
    return PreparedLayer(source, target, step, plan.arithmetic)


def run(
    layer: PreparedLayer, source: "NDArray[np.uint8]", target: "NDArray[np.uint8]", batches: int | None = None
) -> None:
    """Run a prepared layer on `batches` images (those of the source layout unless given), one behind the other.

    `source` and `target` are one-dimensional byte arrays that begin with the first image; they must not overlap.
    """
    for image in range(layer.source.shape[0] if batches is None else batches):
        layer.image(source[image * layer.source.image :], target[image * layer.target.image :])


def run_dense(numbers: LayerNumbers, images: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """One layer on dense [N, IC, H, W] bytes; returns [N, OC, OH, OW]. Runs on one BLAS thread."""
    import numpy as np

    batch, channels, height, width = images.shape
    if (channels, height, width) != (numbers.input_channels, numbers.height, numbers.width):
        wanted = f"{numbers.input_channels}x{numbers.height}x{numbers.width}"
        raise InvalidInputError(f"the image is {channels}x{height}x{width}, the layer takes {wanted}")
    result = np.empty((batch, numbers.output_channels, *numbers.output_size), np.uint8)
    layer = prepare(numbers, Layout.dense((batch, channels, height, width)), Layout.dense((batch, *result.shape[1:])))
    with one_blas_thread():
        run(layer, np.ascontiguousarray(images).reshape(-1), result.reshape(-1))
    return result


_PICKS = (PoolKind.LEFT_TOP_2_S2, PoolKind.RIGHT_TOP_2_S2, PoolKind.LEFT_TOP_4_S4)


class _Plan:
    """What of a layer's arithmetic is known before the pixels are."""

    def __init__(self, numbers: LayerNumbers) -> None:
        import numpy as np

        self.numbers = numbers
        channels = numbers.output_channels
        weights = numbers.weights.reshape(channels, -1).astype(np.int64)
        self.folded = numbers.shr_x == 0 or numbers.arg_x == 0
        terms = numbers.input_channels if not numbers.depthwise else 1
        self.weights = weights + (numbers.arg_x if self.folded else 0)
        self.constant = ((numbers.arg_w * weights.sum(1)) >> numbers.shr_w) + numbers.arg_add * terms
        positive = 255 * np.maximum(self.weights, 0).sum(1)
        negative = 255 * np.minimum(self.weights, 0).sum(1)
        self.sum_limit = max(int(positive.max()), -int(negative.min()))
        low, high = negative + self.constant, positive + self.constant
        if not self.folded:
            term = (numbers.arg_x * 255 * weights.shape[1]) >> numbers.shr_x
            low, high = low + min(term, 0), high + max(term, 0)
        self.mul = numbers.bn_mul.astype(np.int64)
        self.shift = numbers.bn_shift.astype(np.int64)
        self.add = numbers.bn_add.astype(np.int64)
        ends = np.sort(np.stack([((bound * self.mul) >> self.shift) + self.add for bound in (low, high)]), axis=0)
        self.segments = _reachable_segments(numbers, int(ends[0].min()), int(ends[1].max()))
        self.double = self.folded and self._fits_double(low, high, int(ends[0].min()), int(ends[1].max()))

    def _fits_double(self, low: "NDArray[np.int64]", high: "NDArray[np.int64]", v_low: int, v_high: int) -> bool:
        # Whether float64 holds every intermediate exactly, and no segment descends (`kpu-hardware.md` 6.3: R).
        import numpy as np

        if self.sum_limit >= _DOUBLE_EXACT or (self.numbers.depthwise and self.sum_type != "float32"):
            return False
        start, slope = self.segments[0], self.segments[1]
        product = max(int(np.max(np.abs(bound.astype(object) * self.mul.astype(object)))) for bound in (low, high))
        reach = max(abs(v_low - int(start.min())), abs(v_high - int(start.min())), abs(v_low - int(start.max())))
        table = max(reach, abs(v_high - int(start.max()))) * int(slope.max())
        return max(product, table) < _DOUBLE_EXACT and int(slope.min()) >= 0 and v_low > int(start[0])

    @property
    def sum_type(self) -> Literal["float32", "float64", "int64"]:
        """The element type in which the sums of products are exact."""
        if self.sum_limit < _FLOAT_EXACT:
            return "float32"
        return "float64" if self.sum_limit < _DOUBLE_EXACT else "int64"

    @property
    def arithmetic(self) -> str:
        return self.sum_type if self.double else f"{self.sum_type} exact"

    def double_tables(self) -> "DoubleTables":
        """constant[OC], bn factor[OC], bn add[OC] and segments[start, slope, add][n] as float64."""
        import numpy as np

        factor = np.ldexp(self.mul.astype(np.float64), -self.shift.astype(np.int32))
        start, slope, shift, add = self.segments
        scaled = np.ldexp(slope.astype(np.float64), -shift.astype(np.int32))
        segments = np.stack([start.astype(np.float64), scaled, add.astype(np.float64)])
        return self.constant.astype(np.float64), factor, self.add.astype(np.float64), segments

    def exact_tables(self) -> "ExactTables":
        """constant, bn mul, shift and add [OC] and segments[start, mul, shift, add][n] as int64."""
        return self.constant, self.mul, self.shift, self.add, self.segments


def _reachable_segments(numbers: LayerNumbers, low: int, high: int) -> "NDArray[np.int64]":
    """start, mul, shift, add of the segments that some v in low..high takes: the highest one with v > start.

    Shifts above 62 are taken as 62, which gives the same bytes since no product reaches 2^60.
    """
    import numpy as np

    start = numbers.act_start.astype(np.int64)
    later = np.minimum.accumulate(np.append(start[1:], np.iinfo(np.int64).max)[::-1])[::-1]
    keep = np.maximum(start, low - 1) < np.minimum(high, later)
    keep[0] |= low <= int(start.min())  # v below every start: the chip's table ends here, ours holds its first entry
    shift = np.minimum(numbers.act_shift.astype(np.int64), 62)
    rows = (start, numbers.act_mul.astype(np.int64), shift, numbers.act_add.astype(np.int64))
    return np.ascontiguousarray(np.stack(rows)[:, keep])


def _dense(plan: _Plan, source: Layout, target: Layout, scratch: Scratch, *, picked: bool) -> Step:
    """An ordinary convolution, pixel picks included (unless `picked` is false: then every pixel is computed)."""
    import numpy as np

    from kpuir.interpreters.kernels import kpu_loops

    numbers = plan.numbers
    step, (top, left) = (numbers.pool.stride, numbers.pool.pick) if picked else (1, (0, 0))
    rows, columns = (numbers.height // step, numbers.width // step) if picked else (numbers.height, numbers.width)
    dtype, channels, depth = plan.sum_type, numbers.output_channels, plan.weights.shape[1]
    weights = plan.weights.astype(dtype)
    item = np.dtype(dtype).itemsize
    tile = max(1, min(rows, _TILE_BYTES // ((depth + channels) * item * max(columns, 1))))
    finish = _double_finish(plan, target, columns) if plan.double else _exact_finish(plan, target, columns)
    steps = [(first, min(tile, rows - first)) for first in range(0, rows, tile)]
    pixels = scratch.take("pixels", dtype, depth * tile * columns)
    sums = scratch.take("sums", dtype, channels * tile * columns)
    tiles = [
        (
            first,
            count,
            pixels[: depth * count * columns].reshape(depth, -1),
            sums[: channels * count * columns].reshape(channels, -1),
        )
        for first, count in steps
    ]

    def gather(image: "NDArray[np.uint8]", first: int, count: int, out: "NDArray[Any]") -> None:
        at = top + first * step
        if numbers.kernel == 1:
            kpu_loops.gather_1x1(image, source.strides, at, left, step, count, columns, out)
            return
        kpu_loops.gather_3x3(
            image,
            source.strides,
            numbers.height,
            numbers.width,
            numbers.pad_value,
            at,
            left,
            step,
            count,
            columns,
            out,
        )

    def image_step(image: "NDArray[np.uint8]", result: "NDArray[np.uint8]") -> None:
        for first, count, pixel_tile, sum_tile in tiles:
            gather(image, first, count, pixel_tile)
            np.matmul(weights, pixel_tile, out=sum_tile)
            finish(sum_tile, pixel_tile, result, first)

    return image_step


Finish = Callable[["NDArray[Any]", "NDArray[Any]", "NDArray[np.uint8]", int], None]


def _double_finish(plan: _Plan, target: Layout, columns: int) -> Finish:
    from kpuir.interpreters.kernels import kpu_loops

    tables, strides = plan.double_tables(), target.strides

    def finish(sums: "NDArray[Any]", _: "NDArray[Any]", result: "NDArray[np.uint8]", first: int) -> None:
        kpu_loops.finish_double(sums, *tables, result, strides, first, columns)

    return finish


def _exact_finish(plan: _Plan, target: Layout, columns: int) -> Finish:
    import numpy as np

    from kpuir.interpreters.kernels import kpu_loops

    numbers, tables, strides = plan.numbers, plan.exact_tables(), target.strides

    def finish(sums: "NDArray[Any]", pixels: "NDArray[Any]", result: "NDArray[np.uint8]", first: int) -> None:
        extra = np.zeros((1, sums.shape[1]), np.int64)
        if not plan.folded:
            plain = pixels.sum(0, dtype=np.float64).astype(np.int64)  # whole numbers far below 2^53
            extra[0] = (numbers.arg_x * plain) >> numbers.shr_x
        kpu_loops.finish_exact(sums.astype(np.int64), extra, *tables, result, strides, first, columns)

    return finish


def _depthwise(plan: _Plan, source: Layout, target: Layout, scratch: Scratch) -> Step:
    """A depthwise convolution at full size."""
    import numpy as np

    from kpuir.interpreters.kernels import kpu_loops

    numbers = plan.numbers
    size = (numbers.height, numbers.width, numbers.pad_value)
    if plan.double:
        tables, taps = plan.double_tables(), plan.weights.astype(np.float32)

        def fast_step(image: "NDArray[np.uint8]", result: "NDArray[np.uint8]") -> None:
            kpu_loops.depthwise_double(image, source.strides, *size, taps, *tables, result, target.strides)

        return fast_step
    exact, shape = plan.exact_tables(), (numbers.output_channels, numbers.height * numbers.width)
    arg_x = 0 if plan.folded else numbers.arg_x
    nothing = np.zeros((1, shape[1]), np.int64)

    def exact_step(image: "NDArray[np.uint8]", result: "NDArray[np.uint8]") -> None:
        sums = scratch.take("depthwise", "int64", *shape)
        kpu_loops.depthwise_sums(image, source.strides, *size, plan.weights, arg_x, numbers.shr_x, sums)
        kpu_loops.finish_exact(sums, nothing, *exact, result, target.strides, 0, numbers.width)

    return exact_step


def _pooled(plan: _Plan, source: Layout, target: Layout, scratch: Scratch) -> Step:
    """A convolution at full size into working memory, then its pooling windows."""
    from kpuir.interpreters.kernels import kpu_loops

    numbers = plan.numbers
    full = Layout.dense((1, numbers.output_channels, numbers.height, numbers.width))
    make = (
        _depthwise(plan, source, full, scratch)
        if numbers.depthwise
        else _dense(plan, source, full, scratch, picked=False)
    )
    pool = numbers.pool
    window = (pool.window, pool.stride, *pool.pick, pool.is_mean)

    def step(image: "NDArray[np.uint8]", result: "NDArray[np.uint8]") -> None:
        flat = scratch.take("unpooled", "uint8", full.size)
        make(image, flat)
        kpu_loops.pool_windows(flat.reshape(full.shape[1:]), *window, result, target.strides)

    return step
