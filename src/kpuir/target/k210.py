"""The K210 and its KPU: memory sizes, limits, layouts, weight loads, rules and times, as plain functions.

The one place of every hardware number. A hardware rule is one function that returns a `Verdict`; its docstring is the
rule as a user reads it, and verifiers, legalization, coverage reports and the generated docs all call it.
Sections in comments are those of `kpu-hardware.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from math import ceil
from typing import NamedTuple


@dataclass(frozen=True)
class K210:
    """Sizes and limits of the chip; bytes, lines of 64 bytes, pixels or hertz."""

    MAIN_RAM_BYTES: int = 6 * 1024 * 1024
    KPU_RAM_BYTES: int = 2 * 1024 * 1024
    LINE_BYTES: int = 64
    KPU_RAM_ALIGNMENT: int = 64
    MAIN_RAM_ALIGNMENT: int = 8
    TABLE_ALIGNMENT: int = 256
    REGISTER_BYTES: int = 120
    BATCH_NORM_BYTES: int = 8
    ACTIVATION_BYTES: int = 144
    MAX_CHANNELS: int = 1024
    MIN_HEIGHT: int = 4
    MIN_WIDTH: int = 4
    MAX_HEIGHT: int = 256
    MAX_BANDED_HEIGHT: int = 1024  # ours: of maps that layers work on in bands of rows
    MAX_WIDTH: int = 512
    KERNEL_SIZES: tuple[int, ...] = (1, 3)
    MAX_WEIGHT_LOADS: int = 64
    WEIGHT_BUFFER_BYTES: int = 30 * 1024  # of 8-bit weights; twice as much for 16-bit ones (section 5)
    MAX_DMA_PIXELS: int = 65536
    ACTIVATION_SEGMENTS: int = 16
    ACCUMULATOR_BITS: int = 36  # signed width of the sum before and after batch-norm (section 6.2)
    CLOCK_HZ: float = 400e6
    WEIGHT_BYTES_PER_SECOND: float = 1.4e9
    LAYER_SOFTWARE_MS: float = 0.010  # per layer in the v4 runtime


class PoolKind(StrEnum):
    """What follows the activation inside a KPU layer, in the order of the register codes (section 7)."""

    BYPASS = "bypass"
    MAX_2_S2 = "max_2_s2"
    MEAN_2_S2 = "mean_2_s2"
    MAX_4_S4 = "max_4_s4"
    MEAN_4_S4 = "mean_4_s4"
    LEFT_TOP_2_S2 = "left_top_2_s2"
    RIGHT_TOP_2_S2 = "right_top_2_s2"
    LEFT_TOP_4_S4 = "left_top_4_s4"
    MEAN_2_S1 = "mean_2_s1"
    MAX_2_S1 = "max_2_s1"

    @property
    def code(self) -> int:
        """The value of the `pool_type` register field, 0 to 9."""
        return list(PoolKind).index(self)

    @classmethod
    def of_code(cls, code: int) -> "PoolKind":
        """The kind of a `pool_type` code. Raises ValueError outside 0 to 9."""
        kinds = list(cls)
        if not 0 <= code < len(kinds):
            raise ValueError(f"pool code {code} is not between 0 and {len(kinds) - 1}")
        return kinds[code]

    @property
    def stride(self) -> int:
        """By how much height and width shrink: 1, 2 or 4."""
        return _POOL_SHAPES[self][1]

    @property
    def window(self) -> int:
        """Side of the square of pixels one result depends on: 1 where a pixel is picked."""
        return _POOL_SHAPES[self][0]

    @property
    def is_mean(self) -> bool:
        """Whether results are truncated means rather than values that exist before pooling."""
        return self in (PoolKind.MEAN_2_S2, PoolKind.MEAN_4_S4, PoolKind.MEAN_2_S1)

    @property
    def is_max(self) -> bool:
        """Whether results are maxima of a window."""
        return self in (PoolKind.MAX_2_S2, PoolKind.MAX_4_S4, PoolKind.MAX_2_S1)

    @property
    def pick(self) -> tuple[int, int]:
        """(row, column) of the pixel that a picking kind keeps of each window; (0, 0) for all others."""
        return (0, 1) if self is PoolKind.RIGHT_TOP_2_S2 else (0, 0)


_POOL_SHAPES: dict[PoolKind, tuple[int, int]] = {  # (window, stride)
    PoolKind.BYPASS: (1, 1),
    PoolKind.MAX_2_S2: (2, 2),
    PoolKind.MEAN_2_S2: (2, 2),
    PoolKind.MAX_4_S4: (4, 4),
    PoolKind.MEAN_4_S4: (4, 4),
    PoolKind.LEFT_TOP_2_S2: (1, 2),
    PoolKind.RIGHT_TOP_2_S2: (1, 2),
    PoolKind.LEFT_TOP_4_S4: (1, 4),
    PoolKind.MEAN_2_S1: (2, 1),
    PoolKind.MAX_2_S1: (2, 1),
}


def pooled_size(pool: PoolKind, height: int, width: int) -> tuple[int, int]:
    """(height, width) after pooling: sizes divided by the stride, remainders dropped (section 7)."""
    return height // pool.stride, width // pool.stride


# --- Layout of feature maps in KPU RAM (section 2) ----------------------------------------------------------------


class RowLayout(NamedTuple):
    """How rows of one width lie in 64-byte lines.

    `channels_per_line` (g) channels share a line, `pitch` bytes apart; a row of one channel takes `lines_per_row` (r).
    """

    channels_per_line: int
    pitch: int
    lines_per_row: int


@cache
def row_layout(width: int) -> RowLayout:
    """The layout of a map `width` pixels wide. Raises ValueError below 1."""
    if width < 1:
        raise ValueError(f"a feature map is at least 1 pixel wide, not {width}")
    if width <= 16:
        return RowLayout(4, 16, 1)
    if width <= 32:
        return RowLayout(2, 32, 1)
    return RowLayout(1, K210.LINE_BYTES, ceil(width / K210.LINE_BYTES))


def feature_map_lines(channels: int, height: int, width: int) -> int:
    """Lines of KPU RAM that one image of channels × height × width takes: r · H · ceil(C / g)."""
    layout = row_layout(width)
    return layout.lines_per_row * height * ceil(channels / layout.channels_per_line)


def feature_map_bytes(batch: int, channels: int, height: int, width: int) -> int:
    """Bytes of KPU RAM that a batch × channels × height × width map takes."""
    return batch * feature_map_lines(channels, height, width) * K210.LINE_BYTES


def same_lines(width: int, other: int) -> bool:
    """Whether rows of both widths take the same lines, so that one can be read as the other."""
    return row_layout(width) == row_layout(other)


def is_view(channels: int, width: int, top: int, bottom: int) -> bool:
    """Whether a map without some of its rows is a part of its lines: no rows are gone, or all channels share lines."""
    return top == bottom == 0 or channels <= row_layout(width).channels_per_line


# --- Weight loading (section 5) -----------------------------------------------------------------------------------


def layer_bytes(
    input_channels: int, output_channels: int, kernel: int, depthwise: bool = False, bytes_per_weight: int = 1
) -> int:
    """What a layer takes of a kmodel, about: registers, batch-norm, activation and weights, each at multiples of 256.

    kmodel-v4.md 9.3.
    """
    weights = output_channels * (1 if depthwise else input_channels) * kernel * kernel * bytes_per_weight
    tables = (K210.REGISTER_BYTES, K210.BATCH_NORM_BYTES * output_channels, K210.ACTIVATION_BYTES, weights)
    return sum(-(-size // K210.TABLE_ALIGNMENT) * K210.TABLE_ALIGNMENT for size in tables)


class WeightLoads(NamedTuple):
    """How weights are fetched: `loads` blocks of `channels_per_load` output channels, `bytes_per_load` bytes each."""

    channels_per_load: int
    bytes_per_load: int
    loads: int


def weight_loads(
    input_channels: int, output_channels: int, kernel: int, depthwise: bool, bytes_per_weight: int = 1
) -> WeightLoads:
    """The blocks in which weights are loaded; depthwise weights come in one block.

    Raises ValueError when the weights of a single output channel exceed the buffer.
    """
    if depthwise:
        return WeightLoads(output_channels, output_channels * kernel * kernel * bytes_per_weight, 1)
    one = kernel * kernel * input_channels * bytes_per_weight
    room = K210.WEIGHT_BUFFER_BYTES * bytes_per_weight
    if one > room:
        raise ValueError(f"one output channel has {one} bytes of weights, the KPU's buffer {room}")
    channels = min(output_channels, room // one)
    return WeightLoads(channels, one * channels, ceil(output_channels / channels))


# --- What is legal (section 8) ------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """Whether a rule holds, and if not, why: a sentence with the value found and the limit."""

    ok: bool
    reason: str


_HOLDS = Verdict(True, "")


def _verdict(ok: bool, reason: str) -> Verdict:
    return _HOLDS if ok else Verdict(False, reason)


def kernel_rule(height: int, width: int) -> Verdict:
    """The kernel is 1x1 or 3x3."""
    ok = height == width and height in K210.KERNEL_SIZES
    return _verdict(ok, f"the kernel is {height}x{width}, the KPU has 1x1 and 3x3")


def stride_rule(vertical: int, horizontal: int) -> Verdict:
    """Strides are equal in both directions, and 1, 2 or 4: larger steps pick pixels after a stride-1 convolution."""
    ok = vertical == horizontal and vertical in (1, 2, 4)
    return _verdict(
        ok, f"the strides are {vertical}x{horizontal}, the KPU can pick every pixel, every 2nd or every 4th"
    )


def dilation_rule(vertical: int, horizontal: int) -> Verdict:
    """The kernel is not dilated."""
    return _verdict(vertical == horizontal == 1, f"the dilations are {vertical}x{horizontal}, the KPU has 1x1")


def groups_rule(groups: int, input_channels: int, output_channels: int) -> Verdict:
    """A convolution has one group, or is depthwise: as many groups as input channels and as output channels."""
    ok = groups == 1 or groups == input_channels == output_channels
    return _verdict(
        ok,
        f"{groups} groups of {input_channels} input and {output_channels} output channels, "
        "the KPU has 1 group or one per channel",
    )


def input_size_rule(height: int, width: int) -> Verdict:
    """The input map is 4 to 1024 pixels high, above 256 in bands of rows, and 4 to 512 wide."""
    if not K210.MIN_HEIGHT <= height <= K210.MAX_BANDED_HEIGHT:
        return Verdict(
            False, f"the input is {height} high, the KPU takes {K210.MIN_HEIGHT} to {K210.MAX_BANDED_HEIGHT}"
        )
    ok = K210.MIN_WIDTH <= width <= K210.MAX_WIDTH
    return _verdict(ok, f"the input is {width} wide, the KPU takes {K210.MIN_WIDTH} to {K210.MAX_WIDTH}")


def height_rule(height: int) -> Verdict:
    """The engine takes maps of at most 256 rows, more in bands."""
    return _verdict(height <= K210.MAX_HEIGHT, f"the map is {height} high, a layer takes {K210.MAX_HEIGHT} rows")


def output_size_rule(height: int, width: int) -> Verdict:
    """The output map, after pooling, is at least 4x4 pixels."""
    ok = height >= K210.MIN_HEIGHT and width >= K210.MIN_WIDTH
    return _verdict(ok, f"the output is {height}x{width}, the KPU gives at least {K210.MIN_HEIGHT}x{K210.MIN_WIDTH}")


def channel_rule(input_channels: int, output_channels: int) -> Verdict:
    """Input and output have 1 to 1024 channels each."""
    for side, count in (("input", input_channels), ("output", output_channels)):
        if not 1 <= count <= K210.MAX_CHANNELS:
            return Verdict(False, f"the {side} has {count} channels, the KPU takes 1 to {K210.MAX_CHANNELS}")
    return _HOLDS


def depthwise_rule(input_channels: int, output_channels: int) -> Verdict:
    """A depthwise layer has as many output channels as input channels."""
    ok = input_channels == output_channels
    return _verdict(
        ok, f"a depthwise layer gives one output channel per input channel, not {output_channels} for {input_channels}"
    )


def depthwise_pool_rule(pool: PoolKind) -> Verdict:
    """A depthwise layer does not pool."""
    return _verdict(pool is PoolKind.BYPASS, f"a depthwise layer cannot pool, this one has {pool.value}")


def weight_loads_rule(input_channels: int, output_channels: int, kernel: int, bytes_per_weight: int = 1) -> Verdict:
    """The weights of a convolution are fetched in at most 64 loads of 30 KiB."""
    loads = weight_loads(input_channels, output_channels, kernel, False, bytes_per_weight).loads
    return _verdict(
        loads <= K210.MAX_WEIGHT_LOADS,
        f"the weights of {input_channels} -> {output_channels} channels, {kernel}x{kernel}, take {loads} loads, "
        f"the KPU does {K210.MAX_WEIGHT_LOADS}",
    )


_BAND_ROWS = 16
"""A band of a few layers has at least about so many rows, of which 4 are the engine's least."""


def ram_rule(input_bytes: int, output_bytes: int, ram_bytes: int = K210.KPU_RAM_BYTES) -> Verdict:
    """Input and output map of a layer fit the 2 MiB of KPU RAM together."""
    total = input_bytes + output_bytes
    return _verdict(
        total <= ram_bytes,
        f"input ({input_bytes} bytes) and output ({output_bytes}) take {total} bytes together, "
        f"the KPU RAM has {ram_bytes}",
    )


def band_rule(source: Sequence[int], result: Sequence[int]) -> Verdict:
    """16 rows of a layer's input and output fit the 2 MiB of KPU RAM together: larger maps are done in bands of rows.

    `source` and `result` are the maps' sizes: batch, channels, height, width.
    """
    some = [(size[0], size[1], min(size[2], _BAND_ROWS), size[3]) for size in (source, result)]
    before, after = (feature_map_bytes(*size) for size in some)
    verdict = ram_rule(before, after)
    return verdict if verdict.ok else Verdict(False, f"{_BAND_ROWS} rows of {verdict.reason}")


def line_start_rule(channel: int, width: int) -> Verdict:
    """A part of a map that is read as a map of its own begins at the first channel of a line.

    4 channels share a line of maps up to 16 pixels wide, 2 up to 32, above that each has its own.
    """
    group = row_layout(width).channels_per_line
    return _verdict(
        channel % group == 0,
        f"channel {channel} is not the first of a line, where maps {width} wide have {group} channels each",
    )


def border_rule(source: Sequence[int], result: Sequence[int]) -> Verdict:
    """Rows and columns at the borders of a map come and go in KPU RAM if both maps keep their rows in as many lines.

    Both are 4x4 or more and fit together, and a map that gains rows is at least as many lines long as one channel of
    the result, if it has more channels than one line. `source` and `result` are the maps' sizes: batch, channels,
    height, width.
    """
    for _, _, height, width in (source, result):
        size = input_size_rule(height, width)
        if not size.ok:
            return size
        if not height_rule(height).ok:
            return height_rule(height)
    if not same_lines(source[3], result[3]):
        return Verdict(False, f"rows of {source[3]} and {result[3]} pixels lie differently in KPU RAM")
    if source[0] != 1:
        return Verdict(False, f"{source[0]} images, layers pad and crop 1")
    sizes = [feature_map_bytes(1, *size[1:]) for size in (source, result)]
    alone = source[1] <= row_layout(source[3]).channels_per_line
    if not alone and sizes[0] < feature_map_bytes(1, 1, result[2], result[3]):
        return Verdict(False, f"the map has {sizes[0]} bytes, fewer than one channel of the result")
    return ram_rule(*sizes)


def dma_rule(height: int, width: int) -> Verdict:
    """A layer whose result is also streamed out has at most 65536 pixels per channel."""
    pixels = height * width
    return _verdict(
        pixels <= K210.MAX_DMA_PIXELS,
        f"the output has {pixels} pixels per channel, the KPU streams at most {K210.MAX_DMA_PIXELS}",
    )


def layer_rules(
    input_channels: int,
    height: int,
    width: int,
    output_channels: int,
    kernel: int,
    depthwise: bool = False,
    pool: PoolKind = PoolKind.BYPASS,
) -> Verdict:
    """The first rule a layer of these shapes breaks, or that it is legal. Height and width are the input's.

    Whether its maps fit KPU RAM is `ram_rule`'s: that depends on what is pooled or tiled, and is decided last.
    """
    checks: tuple[Callable[[], Verdict], ...] = (
        lambda: kernel_rule(kernel, kernel),
        lambda: channel_rule(input_channels, output_channels),
        lambda: input_size_rule(height, width),
        lambda: output_size_rule(*pooled_size(pool, height, width)),
        lambda: depthwise_rule(input_channels, output_channels) if depthwise else _HOLDS,
        lambda: depthwise_pool_rule(pool) if depthwise else _HOLDS,
        lambda: _HOLDS if depthwise else weight_loads_rule(input_channels, output_channels, kernel),
    )
    return next((verdict for verdict in (check() for check in checks) if not verdict.ok), _HOLDS)


class FieldRange(NamedTuple):
    """Smallest and largest value of an integer a layer carries."""

    low: int
    high: int


def _signed(bits: int) -> FieldRange:
    return FieldRange(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _unsigned(bits: int) -> FieldRange:
    return FieldRange(0, (1 << bits) - 1)


FIELD_RANGES: dict[str, FieldRange] = {  # sections 4, 6.2 and 6.3
    "pad_value": _unsigned(8),
    "arg_x": _signed(24),
    "shr_x": _unsigned(4),
    "arg_w": _signed(24),
    "shr_w": _unsigned(4),
    "arg_add": _signed(40),
    "bn_mul": _signed(24),
    "bn_shift": _unsigned(4),
    "bn_add": _signed(32),
    "act_start": _signed(36),
    "act_mul": _signed(16),
    "act_shift": _unsigned(8),
    "act_add": _unsigned(8),
}


def field_rule(name: str, low: int, high: int) -> Verdict:
    """Every number of a layer fits its register field: arg_x, arg_w and bn_mul signed 24 bits, arg_add signed 40, ...

    `low` and `high` are the smallest and largest value stored under `name`, a key of FIELD_RANGES.
    """
    limit = FIELD_RANGES[name]
    worst = low if low < limit.low else high
    return _verdict(
        limit.low <= low and high <= limit.high,
        f"{name} is {worst}, its field holds {limit.low} to {limit.high}",
    )


def activation_order_rule(starts: tuple[int, ...]) -> Verdict:
    """The starts of the activation segments do not decrease."""
    for index, (left, right) in enumerate(pairwise(starts)):
        if right < left:
            return Verdict(False, f"activation segment {index + 1} starts at {right}, before segment {index} at {left}")
    return _HOLDS


# --- Time (section 10) --------------------------------------------------------------------------------------------


def layer_cycles(input_channels: int, output_channels: int, height: int, width: int, depthwise: bool = False) -> float:
    """Cycles of the KPU clock one image's layer computes for; height and width are the input's (section 10.2).

    Kernel size, stride picks and pooling do not matter. Fits published logs within 0.5 %, depthwise within 3.6 %.
    """
    g, _, r = row_layout(width)
    groups_in, groups_out = ceil(input_channels / g), ceil(output_channels / g)
    if depthwise:
        return 1.92 * groups_in * r * height + 31.5 * groups_in * r + 2470
    passes = groups_in * output_channels * r
    return passes * (height + 3.11) + 1.13 * groups_out * r * height + 43.5 * output_channels + 1700


def layer_milliseconds(
    input_channels: int,
    output_channels: int,
    height: int,
    width: int,
    kernel: int,
    depthwise: bool = False,
    *,
    bytes_per_weight: int = 1,
    clock_hz: float = K210.CLOCK_HZ,
) -> float:
    """Milliseconds of one image's layer on the KPU: computing or fetching weights, whichever is longer.

    The software that starts a layer is not in it: K210.LAYER_SOFTWARE_MS.
    """
    compute = layer_cycles(input_channels, output_channels, height, width, depthwise) / clock_hz
    weights = output_channels * (1 if depthwise else input_channels) * kernel * kernel * bytes_per_weight
    return 1e3 * max(compute, weights / K210.WEIGHT_BYTES_PER_SECOND)


@dataclass(frozen=True)
class CpuCosts:
    """What the CPU at 400 MHz needs, in nanoseconds per byte or element (section 10.5).

    Entries without a published figure are our estimates by comparison with those that have one, and say so.
    """

    DOWNLOAD: float = 86.0  # per byte KPU RAM -> main RAM by the CPU
    UPLOAD: float = 66.0  # per byte main RAM -> KPU RAM by the CPU
    UPLOAD_DMA: float = 1.4  # per byte where the width is a multiple of 64
    DMA_OUTPUT: float = 16.0  # per byte streamed by the KPU itself (v3)
    QUANTIZED_ADD: float = 200.0  # per element, 191 to 208 published
    DEQUANTIZE: float = 30.0  # per element, v4 runtime
    QUANTIZE: float = 45.0  # per element; estimated: a dequantize and a rounding
    PAD: float = 20.0  # per byte; 5 to 6 ms for a map of QVGA size
    COPY: float = 10.0  # per byte; estimated
    ELEMENT: float = 60.0  # per element of a float operation; estimated
    TRANSCENDENTAL: float = 400.0  # per exp, log, sin ...; estimated
    MULTIPLY_ADD: float = 15.0  # per float multiply-add of a CPU convolution or product; estimated
    WINDOW: float = 20.0  # per element read by a window; estimated
