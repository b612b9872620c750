"""The compiled loops under `kpu_layer`; import it only when a layer runs, since it brings in numba.

No function here is compiled with fast-math: every result is exact. "Strides" are `Layout.strides`: a row of
channel c begins at (c // group)·group_stride + (c % group)·pitch + y·row_stride.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Strides = tuple[int, int, int, int]


@njit(cache=True, error_model="numpy", inline="always")
def _row(strides: Strides, channel: int, y: int) -> int:
    group, group_stride, pitch, row_stride = strides
    return (channel // group) * group_stride + (channel % group) * pitch + y * row_stride


@njit(cache=True, error_model="numpy")
def _copy_bytes(source: Bytes, target: Bytes) -> None:
    # a loop, since numba takes seconds to compile the assignment of a slice to a slice
    for i in range(target.shape[0]):
        target[i] = source[i]


@njit(cache=True, error_model="numpy")
def copy_rows(
    source: Bytes,
    source_image: int,
    source_strides: Strides,
    target: Bytes,
    target_image: int,
    target_strides: Strides,
    shape: tuple[int, int, int, int],
) -> None:
    """Copy a map of `shape` (N, C, H, W) between two layouts."""
    batch, channels, height, width = shape
    for n in range(batch):
        for c in range(channels):
            for y in range(height):
                a = n * source_image + _row(source_strides, c, y)
                b = n * target_image + _row(target_strides, c, y)
                _copy_bytes(source[a : a + width], target[b : b + width])


@njit(cache=True, error_model="numpy")
def gather_1x1(
    source: Bytes, strides: Strides, top: int, left: int, step: int, rows: int, columns: int, out: NDArray[np.float32]
) -> None:
    """The pixels a 1x1 convolution needs: out[c, y·columns + x] = image[c, top + y·step, left + x·step]."""
    for c in range(out.shape[0]):
        for y in range(rows):
            at = _row(strides, c, top + y * step) + left
            line = out[c, y * columns : (y + 1) * columns]
            if step == 1:
                pixels = source[at : at + columns]
                for x in range(columns):
                    line[x] = pixels[x]
            else:
                pixels = source[at : at + (columns - 1) * step + 1]
                for x in range(columns):
                    line[x] = pixels[x * step]


@njit(cache=True, error_model="numpy")
def gather_3x3(
    source: Bytes,
    strides: Strides,
    height: int,
    width: int,
    pad_value: int,
    top: int,
    left: int,
    step: int,
    rows: int,
    columns: int,
    out: NDArray[np.float32],
) -> None:
    """The pixels a 3x3 convolution needs: row 9·c + 3·ky + kx of `out` is what tap (ky, kx) of channel c sees.

    The centre tap of result (y, x) is pixel (top + y·step, left + x·step); outside the image is `pad_value`.
    """
    for c in range(out.shape[0] // 9):
        for ky in range(3):
            for kx in range(3):
                row = out[c * 9 + ky * 3 + kx]
                for y in range(rows):
                    line = row[y * columns : (y + 1) * columns]
                    iy = top + y * step + ky - 1
                    if iy < 0 or iy >= height:
                        line[:] = pad_value
                        continue
                    first = left + kx - 1  # source column of x = 0
                    begin = 1 if first < 0 else 0
                    end = min(columns, (width - 1 - first) // step + 1)
                    at = _row(strides, c, iy) + first + begin * step
                    count = end - begin
                    if begin:
                        line[0] = pad_value
                    inner = line[begin:end]
                    if step == 1:
                        pixels = source[at : at + count]
                        for x in range(count):
                            inner[x] = pixels[x]
                    else:
                        pixels = source[at : at + (count - 1) * step + 1]
                        for x in range(count):
                            inner[x] = pixels[x * step]
                    line[end:] = pad_value


@njit(cache=True, error_model="numpy")
def _finish_exact(
    sums: NDArray[np.int64],
    mul: int,
    shift: int,
    add: int,
    segments: Ints,
    out: Bytes,
) -> None:
    # Batch-norm, table, rounding and clamp in 64-bit integers: kmodel-v4.md 9.5, word for word.
    last = segments.shape[1] - 1
    for i in range(sums.shape[0]):
        v = ((np.int64(sums[i]) * mul) >> shift) + add
        s = last
        while s > 0 and v <= segments[0, s]:
            s -= 1
        t = (v - segments[0, s]) * segments[1, s]
        down = segments[2, s]
        if down:
            q = t >> down
            fraction = t - (q << down)
            half = np.int64(1) << (down - 1)
            if fraction > half or (fraction == half and q & 1):
                q += 1 if t >= 0 else -1
        else:
            q = t
        y = q + segments[3, s]
        out[i] = min(max(y, 0), 255)


@njit(cache=True, error_model="numpy")
def _finish_double(
    sums: NDArray[np.float32],
    constant: float,
    factor: float,
    add: float,
    segments: Doubles,
    work: Doubles,
    out: Bytes,
) -> None:
    # The same in float64 where every product is below 2^53 (so nothing is ever rounded but where the KPU rounds):
    # `factor` is mul / 2^shift; segments hold start, mul / 2^shift, add; `work` is [2, block].
    start0, slope0, add0 = segments[0, 0], segments[1, 0], segments[2, 0]
    if segments.shape[1] == 2 and slope0 == 0.0:  # a constant, then a line: ReLU and its like
        start, slope, plus = segments[0, 1], segments[1, 1], segments[2, 1]
        for i in range(sums.shape[0]):
            v = np.floor((np.float64(sums[i]) + constant) * factor) + add
            y = np.rint((v - start) * slope) + plus
            y = y if v > start else add0
            out[i] = np.uint8(np.int32(min(max(y, 0.0), 255.0)))
        return
    block = work.shape[1]
    values, results = work[0], work[1]
    for base in range(0, sums.shape[0], block):
        count = min(block, sums.shape[0] - base)
        part = sums[base : base + count]
        for i in range(count):
            v = np.floor((np.float64(part[i]) + constant) * factor) + add
            values[i] = v
            results[i] = np.rint((v - start0) * slope0) + add0
        for s in range(1, segments.shape[1]):
            start, slope, plus = segments[0, s], segments[1, s], segments[2, s]
            for i in range(count):
                v = values[i]
                y = np.rint((v - start) * slope) + plus
                results[i] = y if v > start else results[i]
        bytes_ = out[base : base + count]
        for i in range(count):
            bytes_[i] = np.uint8(np.int32(min(max(results[i], 0.0), 255.0)))


@njit(cache=True, error_model="numpy")
def _scatter(line: Bytes, pitch: int, target: Bytes, strides: Strides, channel: int, first: int, columns: int) -> None:
    # rows of `columns` bytes, `pitch` apart in `line`, to rows `first`.. of a channel of the target
    rows = (line.shape[0] + pitch - columns) // pitch
    for y in range(rows):
        at = _row(strides, channel, first + y)
        _copy_bytes(line[y * pitch : y * pitch + columns], target[at : at + columns])


@njit(cache=True, error_model="numpy")
def finish_double(
    sums: NDArray[np.float32],
    constant: Doubles,
    factor: Doubles,
    add: Doubles,
    segments: Doubles,
    target: Bytes,
    strides: Strides,
    first_row: int,
    columns: int,
) -> None:
    """Sums [OC, pixels] to bytes in rows `first_row`.. of the target map, in float64 (see `kpu_layer`)."""
    line = np.empty(sums.shape[1], np.uint8)
    work = np.empty((2, 256), np.float64)
    for c in range(sums.shape[0]):
        _finish_double(sums[c], constant[c], factor[c], add[c], segments, work, line)
        _scatter(line, columns, target, strides, c, first_row, columns)


@njit(cache=True, error_model="numpy")
def finish_exact(
    sums: NDArray[np.int64],
    extra: Ints,
    constant: Ints,
    mul: Ints,
    shift: Ints,
    add: Ints,
    segments: Ints,
    target: Bytes,
    strides: Strides,
    first_row: int,
    columns: int,
) -> None:
    """Sums [OC, pixels] (+ `extra`[pixels] or [OC, pixels]) to bytes in rows `first_row`.., in 64-bit integers."""
    pixels = sums.shape[1]
    line = np.empty(pixels, np.uint8)
    total = np.empty(pixels, np.int64)
    for c in range(sums.shape[0]):
        shared = extra[min(c, extra.shape[0] - 1)]
        for i in range(pixels):
            total[i] = np.int64(sums[c, i]) + constant[c] + shared[i]
        _finish_exact(total, mul[c], shift[c], add[c], segments, line)
        _scatter(line, columns, target, strides, c, first_row, columns)


@njit(cache=True, error_model="numpy")
def _pad_channel(
    source: Bytes, strides: Strides, channel: int, height: int, width: int, pad_value: int, out: NDArray[np.float32]
) -> None:
    # out is flat, height + 2 rows of width + 2 pixels
    pitch = width + 2
    out[:pitch] = pad_value
    out[(height + 1) * pitch :] = pad_value
    for y in range(height):
        at = _row(strides, channel, y)
        pixels = source[at : at + width]
        line = out[(y + 1) * pitch : (y + 2) * pitch]
        line[0] = pad_value
        line[width + 1] = pad_value
        inner = line[1 : width + 1]
        for x in range(width):
            inner[x] = pixels[x]


@njit(cache=True, error_model="numpy")
def _correlate_3x3(image: NDArray[np.float32], pitch: int, taps: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    # One run over the padded image as if it were one long row: narrow maps would otherwise be all loop ends. The two
    # sums between one row's end and the next row's start are of no use. Whole numbers below 2^24: exact in any order.
    count = out.shape[0]
    w00, w01, w02 = taps[0], taps[1], taps[2]
    w10, w11, w12 = taps[3], taps[4], taps[5]
    w20, w21, w22 = taps[6], taps[7], taps[8]
    a0, a1, a2 = image[:count], image[1 : count + 1], image[2 : count + 2]
    b0, b1, b2 = (
        image[pitch : pitch + count],
        image[pitch + 1 : pitch + 1 + count],
        image[pitch + 2 : pitch + 2 + count],
    )
    below = image[2 * pitch :]
    c0, c1, c2 = below[:count], below[1 : count + 1], below[2 : count + 2]
    for i in range(count):
        top = a0[i] * w00 + a1[i] * w01 + a2[i] * w02
        middle = b0[i] * w10 + b1[i] * w11 + b2[i] * w12
        out[i] = top + middle + (c0[i] * w20 + c1[i] * w21 + c2[i] * w22)


@njit(cache=True, error_model="numpy")
def depthwise_double(
    source: Bytes,
    source_strides: Strides,
    height: int,
    width: int,
    pad_value: int,
    taps: NDArray[np.float32],
    constant: Doubles,
    factor: Doubles,
    add: Doubles,
    segments: Doubles,
    target: Bytes,
    target_strides: Strides,
) -> None:
    """A whole depthwise image at stride 1; taps [C, 1 or 9] with arg_x folded in."""
    padded = taps.shape[1] == 9
    pitch = width + 2 if padded else width
    image = np.empty((height + 2) * (width + 2), np.float32)
    sums = np.empty(height * pitch - (pitch - width), np.float32)
    line = np.empty(sums.shape[0], np.uint8)
    work = np.empty((2, 256), np.float64)
    for c in range(taps.shape[0]):
        if padded:
            _pad_channel(source, source_strides, c, height, width, pad_value, image)
            _correlate_3x3(image, pitch, taps[c], sums)
        else:
            weight = taps[c, 0]
            for y in range(height):
                at = _row(source_strides, c, y)
                for x in range(width):
                    sums[y * width + x] = np.float32(source[at + x]) * weight
        _finish_double(sums, constant[c], factor[c], add[c], segments, work, line)
        _scatter(line, pitch, target, target_strides, c, 0, width)


@njit(cache=True, error_model="numpy")
def depthwise_sums(
    source: Bytes,
    strides: Strides,
    height: int,
    width: int,
    pad_value: int,
    weights: Ints,
    arg_x: int,
    shr_x: int,
    out: Ints,
) -> None:
    """The depthwise sums Σ x·w + ((arg_x·Σx) >> shr_x) of a whole image in 64-bit integers, out [C, H·W]."""
    side = 3 if weights.shape[1] == 9 else 1
    reach = side // 2
    for c in range(weights.shape[0]):
        for y in range(height):
            for x in range(width):
                products, plain = np.int64(0), np.int64(0)
                for ky in range(side):
                    for kx in range(side):
                        iy, ix = y + ky - reach, x + kx - reach
                        inside = 0 <= iy < height and 0 <= ix < width
                        value = np.int64(source[_row(strides, c, iy) + ix]) if inside else np.int64(pad_value)
                        products += value * weights[c, ky * side + kx]
                        plain += value
                out[c, y * width + x] = products + ((arg_x * plain) >> shr_x)


@njit(cache=True, error_model="numpy")
def pool_windows(
    maps: NDArray[np.uint8], side: int, step: int, top: int, left: int, mean: bool, target: Bytes, strides: Strides
) -> None:
    """Pool [C, H, W] bytes into the target map: windows of side·side pixels every `step`, maxima or truncated means.

    A window that reaches over the right or bottom edge sees the edge pixel again (`kpu-hardware.md` 7). A pick is a
    window of one pixel, offset by (top, left).
    """
    channels, height, width = maps.shape
    rows, columns = height // step, width // step
    for c in range(channels):
        for y in range(rows):
            at = _row(strides, c, y)
            line = target[at : at + columns]
            for x in range(columns):
                total, largest = 0, 0
                for dy in range(side):
                    for dx in range(side):
                        value = maps[c, min(y * step + top + dy, height - 1), min(x * step + left + dx, width - 1)]
                        total += value
                        largest = max(largest, value)
                line[x] = total // (side * side) if mean else largest
