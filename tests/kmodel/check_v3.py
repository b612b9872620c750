"""A checker of kmodel v3 files, written from `kmodel-v3.md` alone: it shares no code with kpuir.

It follows a file as the SDK's driver does, and keeps for every byte of main memory and every line of KPU RAM what was
written there last: `float`, `byte`, or nothing. Numbers in comments are sections.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

LINES = 32768
NOTHING, BYTE, FLOAT = 0, 1, 2
NAMES = {NOTHING: "nothing", BYTE: "bytes", FLOAT: "floats"}


class WrongError(Exception):
    """A file breaks a rule."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise WrongError(message)


def bits(word: int, low: int, count: int, signed: bool = False) -> int:
    value = word >> low & ((1 << count) - 1)
    return value - (1 << count) if signed and value >> (count - 1) else value


def layout(width: int) -> tuple[int, int]:
    """Channels that share a line, and lines per row (2.2)."""
    return (4, 1) if width <= 16 else (2, 1) if width <= 32 else (1, -(-width // 64))


def lines_of(channels: int, height: int, width: int) -> int:
    groups, row = layout(width)
    return row * height * -(-channels // groups)


@dataclass
class State:
    """The driver's memories while it runs a file."""

    data: bytes
    word_bytes: int
    main: np.ndarray
    lines: np.ndarray = field(default_factory=lambda: np.zeros(LINES, np.uint8))
    """1 + the layout of what was written to a line last, 0 where nothing was."""
    lowest: int = LINES

    def read(self, start: int, size: int, kind: int, what: str) -> None:
        inside = start >= 0 and start + size <= len(self.main)
        require(inside, f"{what}: bytes {start}+{size} are outside of main memory")
        require(start % (4 if kind == FLOAT else 1) == 0, f"{what}: byte {start} is no place for floats")
        found = self.main[start : start + size]
        wrong = np.flatnonzero(found != kind)[:1]
        kinds = [NAMES[int(found[place])] for place in wrong]
        require(not wrong.size, f"{what}: reads {NAMES[kind]}, byte {start + wrong} holds {kinds}")

    def write(self, start: int, size: int, kind: int, what: str, clobbered: int = 0) -> None:
        """`clobbered` more bytes behind are overwritten with nobody knows what."""
        end = start + size + clobbered
        inside = start >= 0 and end <= len(self.main)
        require(inside, f"{what}: bytes {start} to {end} are outside of main memory")
        require(start % 8 == 0 or (not clobbered and start % 4 == 0), f"{what}: byte {start} is not aligned")
        self.main[start : start + size] = kind
        self.main[start + size : end] = NOTHING

    def read_map(self, line: int, shape: tuple[int, int, int], what: str) -> None:
        count, (groups, row) = lines_of(*shape), layout(shape[2])
        require(line + count <= LINES, f"{what}: lines {line}+{count} are outside of KPU RAM")
        found = self.lines[line : line + count]
        require(bool((found > 0).all()), f"{what}: reads lines that nothing was written to")
        same = shape[2] % 64 == 0 or (found == groups * 16 + row).all()  # whole lines may be seen as one
        require(bool(same), f"{what}: reads lines that hold rows of another width")
        self.lowest = min(self.lowest, line)

    def write_map(self, line: int, shape: tuple[int, int, int], what: str) -> None:
        count, (groups, row) = lines_of(*shape), layout(shape[2])
        require(line + count <= LINES, f"{what}: lines {line}+{count} are outside of KPU RAM")
        self.lines[line : line + count] = groups * 16 + row
        self.lowest = min(self.lowest, line)


def rounded(size: int) -> int:
    """What is missing to a multiple of 8."""
    return -size % 8


# --- CPU layers (4) -------------------------------------------------------------------------------------------------


def add(state: State, f: tuple[int, ...], body: bytes) -> None:
    a, b, out, count = f[1:]
    for start in (a, b):
        state.read(start, 4 * count, FLOAT, "add")
    state.write(out, 4 * count, FLOAT, "add")


def quantized_add(state: State, f: tuple[int, ...], body: bytes) -> None:
    a, b, out, count = f[1:5]
    for start in (a, b):
        state.read(start, count, BYTE, "quantized_add")
        require(start + count + rounded(count) <= len(state.main), "quantized_add: reads beyond main memory")
    shifts = struct.unpack("<9i", body[20:56])[2::3]
    require(all(0 <= shift < 64 for shift in shifts), f"quantized_add: shifts {shifts}")
    state.write(out, count, BYTE, "quantized_add", rounded(count))


def global_average(state: State, f: tuple[int, ...], body: bytes) -> None:
    source, out, size, channels = f[1:]
    state.read(source, 4 * size * channels, FLOAT, "global_average_pool2d")
    state.write(out, 4 * channels, FLOAT, "global_average_pool2d")


def window(kind: int, name: str) -> Callable[[State, tuple[int, ...], bytes], None]:
    def check(state: State, f: tuple[int, ...], body: bytes) -> None:
        source, out, in_w, in_h, in_c, out_w, out_h, out_c, kw, kh, sw, sh, pw, ph = f[1:15]
        size = 4 if kind == FLOAT else 1
        require(in_c == out_c, f"{name}: {in_c} channels become {out_c}")
        inside = (out_w - 1) * sw - pw < in_w and (out_h - 1) * sh - ph < in_h and pw < kw and ph < kh
        require(inside, f"{name}: a window is outside of the map")
        require(kind == BYTE or f[15] == 0, f"{name}: has an activation, which no driver applies")
        state.read(source, size * in_w * in_h * in_c, kind, name)
        state.write(out, size * out_w * out_h * out_c, kind, name)

    return check


def elementwise(source_kind: int, kind: int, name: str) -> Callable[[State, tuple[int, ...], bytes], None]:
    """in, out, count (rank 1 where it is called channels)."""

    def check(state: State, f: tuple[int, ...], body: bytes) -> None:
        source, out, count = f[1:4]
        state.read(source, count * (4 if source_kind == FLOAT else 1), source_kind, name)
        state.write(out, count * (4 if kind == FLOAT else 1), kind, name)

    return check


def concat(state: State, f: tuple[int, ...], body: bytes) -> None:
    out, count = f[1:3]
    kinds: set[int] = set()
    total = 0
    for start, size in struct.iter_unpack("<2I", body[12 : 12 + 8 * count]):
        kind = int(state.main[start])
        state.read(start, size, kind, "concat")
        require(start + size <= out + total or start >= out + total + size, "concat: copies onto itself")
        kinds.add(kind)
        total += size
    require(len(kinds) == 1 and kinds != {NOTHING}, "concat: joins floats and bytes")
    state.write(out, total, kinds.pop(), "concat")


def fully_connected(state: State, f: tuple[int, ...], body: bytes) -> None:
    source, out, inputs, outputs, activation = f[1:6]
    require(activation in (0, 1, 2), f"fully_connected: activation {activation}")
    require(len(body) - 24 - 4 * outputs * (inputs + 1) in range(8), "fully_connected: weights do not fill the body")
    require(bool(np.isfinite(np.frombuffer(body, "<f4", outputs * (inputs + 1), 24)).all()), "fully_connected: weights")
    state.read(source, 4 * inputs, FLOAT, "fully_connected")
    state.write(out, 4 * outputs, FLOAT, "fully_connected")


def flatten(state: State, f: tuple[int, ...], body: bytes) -> None:
    source, out, w, h, c = f[1:]
    require(source + 4 * w * h * c <= out or out + 4 * w * h * c <= source, "tensorflow_flatten: onto itself")
    state.read(source, 4 * w * h * c, FLOAT, "tensorflow_flatten")
    state.write(out, 4 * w * h * c, FLOAT, "tensorflow_flatten")


def resize(kind: int, name: str) -> Callable[[State, tuple[int, ...], bytes], None]:
    def check(state: State, f: tuple[int, ...], body: bytes) -> None:
        source, out, in_w, in_h, channels, out_w, out_h, _ = f[1:]
        size = 4 if kind == FLOAT else 1
        state.read(source, size * in_w * in_h * channels, kind, name)
        state.write(out, size * out_w * out_h * channels, kind, name)

    return check


def channelwise_dequantize(state: State, f: tuple[int, ...], body: bytes) -> None:
    source, out, channels, size = f[1:5]
    state.read(source, channels * size, BYTE, "channelwise_dequantize")
    state.write(out, 4 * channels * size, FLOAT, "channelwise_dequantize")


def add_padding(state: State, f: tuple[int, ...], body: bytes) -> None:
    source, line, channels = f[1:]
    state.read(source, channels, BYTE, "k210_add_padding")
    state.write_map(line, (channels, 4, 4), "k210_add_padding")


def remove_padding(state: State, f: tuple[int, ...], body: bytes) -> None:
    source, out, channels = f[1:]
    state.read(source, 16 * channels, BYTE, "k210_remove_padding")
    state.write(out, channels, BYTE, "k210_remove_padding")


def upload(state: State, f: tuple[int, ...], body: bytes) -> None:
    source, line, width, height, channels = f[1:]
    state.read(source, width * height * channels, BYTE, "k210_upload")
    state.write_map(line, (channels, height, width), "k210_upload")


# type: (number of u32 fields, bytes of the body without padding as a function of the fields, check)
LAYERS: dict[int, tuple[int, Callable[[tuple[int, ...]], int], Callable[[State, tuple[int, ...], bytes], None]]] = {
    1: (5, lambda f: 20, add),
    2: (5, lambda f: 56, quantized_add),
    5: (5, lambda f: 20, global_average),
    8: (15, lambda f: 60, window(BYTE, "quantized_max_pool2d")),
    9: (16, lambda f: 64, window(FLOAT, "average_pool2d")),
    11: (4, lambda f: 24, elementwise(FLOAT, BYTE, "quantize")),
    12: (4, lambda f: 24, elementwise(BYTE, FLOAT, "dequantize")),
    13: (4, lambda f: 272, elementwise(BYTE, BYTE, "requantize")),
    14: (4, lambda f: 16, elementwise(FLOAT, FLOAT, "l2_normalization")),
    15: (4, lambda f: 16, elementwise(FLOAT, FLOAT, "softmax")),
    16: (3, lambda f: 12 + 8 * f[2], concat),
    17: (3, lambda f: 12 + 8 * f[2], concat),
    18: (6, lambda f: 24 + 4 * f[4] * (f[3] + 1), fully_connected),
    20: (6, lambda f: 24, flatten),
    22: (9, lambda f: 36, resize(FLOAT, "resize_nearest_neighbor")),
    23: (9, lambda f: 36, resize(BYTE, "quantized_resize_nearest_neighbor")),
    24: (5, lambda f: 20 + 8 * f[3], channelwise_dequantize),
    25: (4, lambda f: 16, elementwise(FLOAT, FLOAT, "logistic")),
    10241: (4, lambda f: 16, add_padding),
    10242: (4, lambda f: 16, remove_padding),
    10243: (6, lambda f: 24, upload),
}
CONV, FULLY_CONNECTED = 10240, 18


# --- Convolutions (5 to 7) ------------------------------------------------------------------------------------------

OUT_SIZE = {0: 1, 1: 2, 2: 2, 3: 4, 4: 4, 5: 2, 6: 2, 7: 4, 8: 1, 9: 1}
"""What a pool divides height and width by (7.3)."""


@dataclass
class Registers:
    """The fields of the 12 words that say something (6)."""

    words: tuple[int, ...]

    def __post_init__(self) -> None:
        w = self.words
        self.depthwise = bits(w[0], 3, 1)
        self.source, self.target = bits(w[1], 0, 15), bits(w[1], 32, 15)
        self.inputs, self.outputs = bits(w[2], 0, 10) + 1, bits(w[2], 32, 10) + 1
        self.in_shape = (self.inputs, bits(w[3], 10, 9) + 1, bits(w[3], 0, 10) + 1)
        self.out_shape = (self.outputs, bits(w[3], 42, 9) + 1, bits(w[3], 32, 10) + 1)
        self.kernel = {0: 1, 1: 3}.get(bits(w[4], 0, 3), 0)
        self.pool = bits(w[4], 4, 4)

    def weights(self) -> int:
        return self.outputs * (1 if self.depthwise else self.inputs) * self.kernel**2

    def expected(self, word_bytes: int) -> list[int]:
        """The words as 6 says, with what it leaves open taken from the file."""
        w = self.words
        (_, in_h, in_w), (_, out_h, out_w) = self.in_shape, self.out_shape
        (in_groups, in_row), (out_groups, out_row) = layout(in_w), layout(out_w)
        one = self.weights() // self.outputs * word_bytes
        count = self.outputs if self.depthwise else min(self.outputs, 30 * 1024 * word_bytes // one)
        loads = -(-self.outputs // count)
        pixels = out_h * out_w
        return [
            self.depthwise << 3,
            self.source | self.target << 32,
            self.inputs - 1 | self.outputs - 1 << 32 | count - 1 << 48,
            in_w - 1 | in_h - 1 << 10 | out_w - 1 << 32 | out_h - 1 << 42,
            self.kernel // 3 | self.pool << 4 | 1 << 10 | 15 << 16 | bits(w[4], 24, 8) << 24,
            1 | loads - 1 << 1 | one * count << 15,
            0,
            in_row * in_h | in_row << 16 | in_groups << 28 | 1 << 31,
            out_row * out_h | out_row << 16 | out_groups << 20,
            w[9] & (1 << 56) - 1,
            w[10] & (1 << 40) - 1,
            (pixels - 1) % 65536 << 16 | pixels * self.outputs - 1 << 32,
        ]


def conv(state: State, body: bytes, start: int, is_last: bool) -> None:
    flags, out, *places = struct.unpack_from("<6I", body)
    r = Registers(struct.unpack_from("<12Q", state.data, places[0]))
    require(flags in (0, 1), f"flags {flags}")
    require(r.kernel in (1, 3), "the kernel is neither 1x1 nor 3x3")
    sizes = (96, r.weights() * state.word_bytes, 8 * r.outputs, 144)
    end = start + 24
    for place, size, alignment in zip(places, sizes, (8, 128, 128, 256), strict=True):
        expected = -(-end // alignment) * alignment
        require(place == expected, f"a blob is at {place}, not at {expected}")
        require(not any(state.data[end:place]), "padding is not zero")
        end = place + size
    require(end + rounded(end) == start + len(body), "the body does not end behind the activation table")
    for index, (found, expected) in enumerate(zip(r.words, r.expected(state.word_bytes), strict=True)):
        require(found == expected, f"register {index} is {found:#x}, not {expected:#x}")
    _, in_h, in_w = r.in_shape
    _, out_h, out_w = r.out_shape
    require(r.pool in OUT_SIZE, f"pool {r.pool}")
    divisor = OUT_SIZE[r.pool]
    require((out_h, out_w) == (in_h // divisor, in_w // divisor), f"{in_h}x{in_w} becomes {out_h}x{out_w}")
    require(min(in_h, in_w, out_h, out_w) >= 4, "a map is smaller than 4x4")
    require(not r.depthwise or (r.inputs == r.outputs and r.pool == 0), "a depthwise layer changes channels or pools")
    require(bits(r.words[5], 1, 6) < 64 and in_w <= 960, "too many loads or too wide")
    for entry in struct.iter_unpack("<Q", state.data[places[2] : places[2] + sizes[2]]):
        require(entry[0] >> 60 == 0, "a batch-norm entry has bits that mean nothing")
    table = struct.unpack_from("<16Q", state.data, places[3])
    starts = [bits(word, 24, 36, signed=True) for word in table]
    require(starts[0] == -(1 << 35) and starts == sorted(starts), "the activation's segments do not ascend")
    require(all(word >> 60 == 0 and bits(word, 0, 8) <= 30 for word in table), "an activation segment")
    count, written = lines_of(*r.in_shape), lines_of(*r.out_shape)
    require(r.source + count <= r.target or r.target + written <= r.source, "input and output share lines")
    state.read_map(r.source, r.in_shape, "input")
    state.write_map(r.target, r.out_shape, "output")
    require(flags == 1 or not is_last, "the last layer is a convolution that does not send")
    require(flags == 1 or out == 0, f"main_mem_out is {out} where nothing is sent")
    if flags:
        total = out_h * out_w * r.outputs
        require(out_h * out_w <= 65536, "too many pixels are sent")
        state.write(out, total, BYTE, "main output", 8 * ((total - 1 + 8) // 8) - total)


def check(data: bytes, outputs: int | None = None, input_bytes: int | None = None) -> list[str]:
    """Every rule that a file breaks (the first of each layer), as `layer 3 (type 12): why`. Empty for a good file.

    `outputs` is how many it should have, `input_bytes` what the caller gives.
    """
    version, flags, arch, count, first_line, main_bytes, output_count = struct.unpack_from("<7I", data)
    problems: list[str] = []
    if (version, arch) != (3, 0) or flags > 1:
        problems.append(f"header: version {version}, arch {arch}, flags {flags}")
    if outputs is not None and output_count != outputs:
        problems.append(f"header: {output_count} outputs instead of {outputs}")
    descriptors = list(struct.iter_unpack("<2I", data[28 : 28 + 8 * output_count]))
    headers = list(struct.iter_unpack("<2I", data[28 + 8 * output_count : 28 + 8 * (output_count + count)]))
    state = State(data, 1 if flags else 2, np.zeros(main_bytes, np.uint8))
    start = 28 + 8 * (output_count + count)
    if main_bytes % 8:
        problems.append(f"header: main_mem_usage is {main_bytes}, no multiple of 8")
    for index, (kind, size) in enumerate(headers):
        body = data[start : start + size]
        try:
            require((start + size) % 8 == 0, "the body does not end at a multiple of 8")
            if index == 0:
                _take_input(state, kind, body, input_bytes)
            _step(state, kind, body, start, index == count - 1)
        except (WrongError, struct.error) as error:
            problems.append(f"layer {index} (type {kind}): {error}")
        start += size
    if start != len(data):
        problems.append(f"file: ends at {len(data)}, the layers at {start}")
    for index, (address, size) in enumerate(descriptors):
        found = set(state.main[address : address + size].tolist())
        if address + size > main_bytes or len(found) != 1 or NOTHING in found:
            problems.append(f"output {index}: bytes {address}+{size} hold {sorted(NAMES[kind] for kind in found)}")
    if first_line != state.lowest:
        problems.append(f"header: max_start_address is {first_line}, the lowest line in use {state.lowest}")
    return problems


def _take_input(state: State, kind: int, body: bytes, expected: int | None) -> None:
    """Put the caller's bytes where layer 0 wants them (8.2)."""
    if kind == CONV:
        r = Registers(struct.unpack_from("<12Q", state.data, struct.unpack_from("<I", body, 8)[0]))
        state.write_map(r.source, r.in_shape, "input")
        given = r.in_shape[0] * r.in_shape[1] * r.in_shape[2]
    else:
        require(kind == FULLY_CONNECTED, "the first layer takes no input")
        _, start, _, inputs = struct.unpack_from("<4I", body)
        given = 4 * inputs
        state.write(start, given, FLOAT, "input")
    require(expected in (None, given), f"the input has {given} bytes, the caller gives {expected}")


def _step(state: State, kind: int, body: bytes, start: int, is_last: bool) -> None:
    if kind == CONV:
        conv(state, body, start, is_last)
        return
    require(kind in LAYERS, "no driver executes it")
    fields, size_of, run = LAYERS[kind]
    values = struct.unpack_from(f"<{fields}I", body)
    size = size_of(values)
    require(len(body) == size + rounded(start + size), f"the body has {len(body)} bytes, its fields take {size}")
    require(not any(body[size:]), "padding is not zero")
    run(state, values, body)
