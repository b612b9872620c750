"""What is inside of a kmodel, for people: inputs, outputs, memory, instructions, and what may go wrong on a board."""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import ceil
from pathlib import PurePath

from kpuir.kmodel import kmodel_version, v3, v4, v5
from kpuir.kmodel.layer import ACTIVATION_SEGMENTS, WORDS, LayerRegisters
from kpuir.kmodel.v4 import Instruction, KpuConv2d, MemoryRange, MemoryType, Model
from kpuir.target.k210 import K210, PoolKind, feature_map_bytes
from kpuir.target.runtimes import oldest_runtime
from kpuir.target.stackvm import RELEASES, releases_of

_NAMES = {MemoryType.CONST: "const", MemoryType.MAIN: "main", MemoryType.KPU: "kpu"}
_ARRAY_ALIGNMENT = 8
"""Of weights and batch-norm entries, which shipped models of each version keep (`kpu-hardware.md` 1)."""
_POOLS = {kind.code: kind.value for kind in PoolKind}
_UNKNOWN = "none that is known"


@dataclass(frozen=True)
class Line:
    """One instruction: its name, where it runs (`KPU` or `CPU`), what it reads and writes, and details in words."""

    mnemonic: str
    where: str
    operands: str
    details: str


@dataclass(frozen=True)
class KmodelInfo:
    """A kmodel in words. Bytes are counted of the file, of each RAM and of the constant pool.

    `runtimes` are those that execute all of it, `main_bytes` what they allocate, inputs and outputs of v5 included.
    `faults` are what `translate.check_loadable` says of the module as well, where a file can become one; with
    instructions that are not `known` it cannot, and there is a warning.
    """

    version: str
    runtimes: str
    file_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    main_bytes: int
    kpu_bytes: int
    constant_bytes: int
    instructions: tuple[Line, ...]
    warnings: tuple[str, ...]
    faults: tuple[str, ...]
    known: bool = True


def describe(data: bytes) -> KmodelInfo:
    """Read a kmodel and describe it. Raises InvalidInputError for a damaged file and versions that cannot be read."""
    return {3: _describe_v3, 4: _describe_v4, 5: _describe_v5}[kmodel_version(data)](data)


def _describe_v4(data: bytes) -> KmodelInfo:
    unknown: dict[int, int] = {}
    model = v4.read(data, unknown)
    names = [node.mnemonic for node in model.nodes]
    batches = any(isinstance(node, KpuConv2d) and node.batches > 1 for node in model.nodes)
    return KmodelInfo(
        version="v4",
        runtimes=_UNKNOWN if unknown else f"nncase {oldest_runtime('v4', names, batches=batches)} to 0.2.0-beta4",
        file_bytes=len(data),
        inputs=tuple(f"{'x'.join(map(str, shape))} {_range_text(memory)}" for memory, shape in model.inputs),
        outputs=tuple(_range_text(memory) for memory in model.outputs),
        main_bytes=model.main_bytes,
        kpu_bytes=_kpu_bytes(model),
        constant_bytes=len(model.constants),
        instructions=_with_unknown(map(_line, model.nodes), unknown),
        warnings=(*_unknown_warnings(unknown), *_v4_warnings(model), *_v4_tables(data, model, unknown)),
        faults=tuple(_v4_faults(model)),
        known=not unknown,
    )


def _describe_v3(data: bytes) -> KmodelInfo:
    unknown: dict[int, int] = {}
    model = v3.read(data, unknown)
    ends = [start + size for layer in model.layers for start, size in _v3_maps(layer)]
    since = oldest_runtime("v3", [layer.mnemonic for layer in model.layers])
    return KmodelInfo(
        version=f"v3, {model.weight_bits}-bit weights",
        runtimes=_UNKNOWN if unknown else f"drivers since {since}",
        file_bytes=len(data),
        inputs=tuple(_v3_input(layer) for layer in model.layers[:1]),
        outputs=tuple(f"main[{start}..{start + size}] {size} bytes" for start, size in model.outputs),
        main_bytes=model.main_bytes,
        kpu_bytes=max(ends, default=0),
        constant_bytes=0,
        instructions=_with_unknown(map(_v3_line, model.layers), unknown),
        warnings=(*_unknown_warnings(unknown), *_v3_tables(model)),
        faults=tuple(_v3_faults(model)),
        known=not unknown,
    )


def _describe_v5(data: bytes) -> KmodelInfo:
    unknown: dict[tuple[int, int], str] = {}
    model = v5.read(data, unknown)
    main = model.modules[model.entry[0]].functions[model.entry[1]]
    sizes = {one.kind: dict(one.pools).get(v5.Location.DATA, 0) for one in model.modules}
    lines = tuple(_v5_lines(model, unknown))
    ends = [end for _, end in lines if end]
    return KmodelInfo(
        version=f"v5, runtime {model.release}",
        runtimes=_UNKNOWN if unknown else _v5_runtimes(model),
        file_bytes=len(data),
        inputs=tuple(map(_v5_port, main.inputs)),
        outputs=tuple(map(_v5_port, main.outputs)),
        main_bytes=sum(sizes.values()) + v5.offsets(main.inputs)[-1] + v5.offsets(main.outputs)[-1],
        kpu_bytes=max(ends, default=0),
        constant_bytes=sum(len(one.constants) for one in model.modules),
        instructions=tuple(line for line, _ in lines),
        warnings=(*unknown.values(), *_v5_warnings(model)),
        faults=tuple(_v5_faults(model)),
        known=not unknown,
    )


def _with_unknown(lines: Iterable[Line], unknown: Mapping[int, int]) -> tuple[Line, ...]:
    """The instructions with those that nobody knows in their places."""
    found = list(lines)
    for index, number in sorted(unknown.items()):
        found.insert(index, Line(f"{number:#x}", "?", "", ""))
    return tuple(found)


def _unknown_warnings(unknown: Mapping[int, int]) -> Iterator[str]:
    for index, number in unknown.items():
        yield f"instruction {index} is of type {number} ({number:#x}), which no runtime executes"


def _table_warnings(index: int, **places: int) -> Iterator[str]:
    """Arrays of a layer that the KPU reads from elsewhere than it should: places in the file, or in constants."""
    for name, place in places.items():
        alignment = K210.TABLE_ALIGNMENT if name == "activation" else _ARRAY_ALIGNMENT
        if place % alignment:
            yield f"instruction {index}: the {name} table is at byte {place}, no multiple of {alignment}"


def _v3_tables(model: v3.Model) -> Iterator[str]:
    for index, layer in enumerate(model.layers):
        if isinstance(layer, v3.K210Conv) and layer.offsets is not None:
            _, weights, batch_norm, activation = layer.offsets
            yield from _table_warnings(index, weights=weights, batch_norm=batch_norm, activation=activation)


def _v4_tables(data: bytes, model: Model, unknown: Mapping[int, int]) -> Iterator[str]:
    """The arrays of layers whose fill bytes are others than those that align them."""
    start = 40 + 32 * len(model.inputs) + 16 * len(model.outputs) + len(model.constants)
    count = len(model.nodes) + len(unknown)
    place, nodes = start + 8 * count, iter(model.nodes)
    for index, (_, size) in enumerate(struct.iter_unpack("<2I", data[start : start + 8 * count])):
        node = None if index in unknown else next(nodes)
        if isinstance(node, KpuConv2d) and node.fills is not None:
            batch_norm = place + 24 + 8 * WORDS + node.fills[0]
            activation = batch_norm + node.batch_norm.nbytes + node.fills[1]
            weights = activation + 9 * ACTIVATION_SEGMENTS + node.fills[2]
            yield from _table_warnings(index, batch_norm=batch_norm, activation=activation, weights=weights)
        place += size


def _v5_runtimes(model: v5.Model) -> str:
    """The releases whose functions have the numbers that the code has."""
    code = [one for module in model.modules for function in module.functions for one in function.code]
    calls = ((one.function, one.fields) for one in code if isinstance(one, v5.Operation))
    found = releases_of(calls, model.release)
    others = "" if RELEASES[0] in found else f" (the K210 SDK comes with {RELEASES[0]})"
    return f"nncase {', '.join(found)}{others}"


def _v5_port(tensor: v5.TensorType) -> str:
    return f"{'x'.join(map(str, tensor.shape))} {tensor.datatype.name.lower()} {tensor.size} bytes"


def _v5_lines(model: v5.Model, unknown: Mapping[tuple[int, int], str]) -> Iterator[tuple[Line, int]]:
    """The operations of the main function, those of the functions it calls in their place; and where maps end."""
    rest = Line("unknown_code", "?", "", ""), 0
    for one in model.modules[model.entry[0]].functions[model.entry[1]].code:
        if not isinstance(one, v5.Call):
            yield _v5_line(one)
            continue
        functions = model.modules[one.module].functions if one.module < len(model.modules) else ()
        called = functions[one.function].code if one.function < len(functions) else ()
        yield from (_v5_line(inner) for inner in called if not isinstance(inner, v5.Call))
        if (one.module, one.function) in unknown:
            yield rest
    if model.entry in unknown:
        yield rest


def _v5_line(one: v5.Operation | v5.KpuInstruction) -> tuple[Line, int]:
    if isinstance(one, v5.KpuInstruction):
        return _v5_kpu_line(one)
    text = ", ".join(_v5_place(value) for value in one.pushed.values() if isinstance(value, v5.Address))
    shape = one.fields.get("sh") or one.fields.get("sh1") or ()
    return Line(one.function, "CPU", text, "x".join(map(str, shape))), 0


def _v5_place(place: v5.Address | v5.MemoryRange) -> str:
    return f"{place.location.name.lower()}+{place.start}"


def _v5_kpu_line(one: v5.KpuInstruction) -> tuple[Line, int]:
    if isinstance(one, v5.KpuConv2d):
        registers, line = one.registers, K210.LINE_BYTES
        source, target = registers.image_src_addr * line, registers.image_dst_addr * line
        end = max(
            source + feature_map_bytes(one.batches, *registers.input_shape),
            target + feature_map_bytes(one.batches, *registers.output_shape),
        )
        sent = "" if one.main_output is None else f", {_v5_place(one.main_output)}"
        return Line(one.mnemonic, "KPU", f"kpu+{source} -> kpu+{target}{sent}", _layer_text(registers)), end
    assert isinstance(one, v5.KpuUpload | v5.KpuDownload | v5.KpuCopy)
    text = f"{_v5_place(one.input)} -> {_v5_place(one.output)}"
    ends = [place.start + place.size for place in (one.input, one.output) if place.location is v5.Location.KPU]
    return Line(one.mnemonic, "CPU", text, "x".join(map(str, one.shape))), max(ends, default=0)


def _v5_warnings(model: v5.Model) -> Iterator[str]:
    """What a runtime refuses, or reads from elsewhere (`kmodel-v5.md` 10 to 14)."""
    main = model.modules[model.entry[0]].functions[model.entry[1]]
    if len(main.inputs) != 1:
        yield f"{len(main.inputs)} inputs: the firmware's C API takes one"
    for index, one in enumerate(_v5_layers(model)):
        if one.activation.start % K210.TABLE_ALIGNMENT:
            yield f"layer {index}: the activation table is at byte {one.activation.start}, no multiple of 256"


def _v5_faults(model: v5.Model) -> Iterator[str]:
    """What the KPU gets wrong."""
    for index, one in enumerate(_v5_layers(model)):
        loads = ceil((one.registers.o_ch_num + 1) / (one.registers.o_ch_num_coef + 1))
        if loads != one.registers.load_time + 1:
            yield f"layer {index} needs {loads} loads of weights, its register says {one.registers.load_time + 1}"


def _v5_layers(model: v5.Model) -> list[v5.KpuConv2d]:
    functions = [function for module in model.modules for function in module.functions]
    return [one for function in functions for one in function.code if isinstance(one, v5.KpuConv2d)]


def _v3_input(layer: v3.Layer) -> str:
    match layer:
        case v3.K210Conv():
            start, size = _v3_maps(layer)[0]
            return f"{'x'.join(map(str, layer.registers.input_shape))} uint8 kpu[{start}..{start + size}] {size} bytes"
        case v3.FullyConnected():
            size = 4 * layer.in_channels
            return f"{layer.in_channels} float32 main[{layer.input}..{layer.input + size}] {size} bytes"
        case _:
            return "none: the driver fills that of a k210_conv or a fully_connected in first place"


def _v3_maps(layer: v3.Layer) -> list[tuple[int, int]]:
    """Byte offset and size of the feature maps in KPU RAM that a layer reads, then writes."""
    line = K210.LINE_BYTES
    match layer:
        case v3.K210Conv(registers=registers):
            return [
                (registers.image_src_addr * line, feature_map_bytes(1, *registers.input_shape)),
                (registers.image_dst_addr * line, feature_map_bytes(1, *registers.output_shape)),
            ]
        case v3.K210Upload():
            return [(layer.line * line, feature_map_bytes(1, layer.channels, layer.height, layer.width))]
        case v3.K210AddPadding():
            return [(layer.line * line, feature_map_bytes(1, layer.channels, 4, 4))]
        case _:
            return []


def _v3_line(layer: v3.Layer) -> Line:
    if isinstance(layer, v3.K210Conv):
        source, target = (f"kpu+{start}" for start, _ in _v3_maps(layer))
        sent = f", main+{layer.main_output}" if layer.flags & v3.SENDS else ""
        return Line(layer.mnemonic, "KPU", f"{source} -> {target}{sent}", _layer_text(layer.registers))
    ranges: tuple[int, ...] = getattr(layer, "ranges", ())
    sources = [*(getattr(layer, name) for name in ("input", "a", "b") if hasattr(layer, name)), *ranges[::2]]
    target = f"main+{layer.output}" if hasattr(layer, "output") else f"kpu+{_v3_maps(layer)[0][0]}"  # pyright: ignore[reportAttributeAccessIssue]  # most layers have an output
    return Line(layer.mnemonic, "CPU", f"{', '.join(f'main+{place}' for place in sources)} -> {target}", "")


def _v3_faults(model: v3.Model) -> Iterator[str]:
    """What the driver gets wrong or crashes on (`kmodel-v3.md` 8)."""
    if not model.layers or not isinstance(model.layers[0], v3.K210Conv | v3.FullyConnected):
        yield "layer 0 is neither k210_conv nor fully_connected: the driver has no input for it"
    if model.layers and isinstance(model.layers[-1], v3.K210Conv) and not model.layers[-1].flags & v3.SENDS:
        yield "the last layer is a k210_conv that does not send its result: the driver reads on behind the layers"
    for index, (start, size) in enumerate(model.outputs):
        if start + size > model.main_bytes:
            yield f"output {index} ends at byte {start + size} of main memory, which has {model.main_bytes}"
    for index, layer in enumerate(model.layers):
        for start, size in _v3_maps(layer):
            if start + size > K210.KPU_RAM_BYTES:
                yield f"instruction {index} ({layer.mnemonic}) reaches byte {start + size} of KPU RAM"


def _kpu_bytes(model: Model) -> int:
    """The end of the highest feature map in KPU RAM."""
    ends = [one.start + one.size for _, one in _all_ranges(model) if one.memory is MemoryType.KPU]
    layers = [node for node in model.nodes if isinstance(node, KpuConv2d)]
    return max([*ends, *(end for layer in layers for end in _layer_ends(layer))], default=0)


def _layer_ends(node: KpuConv2d) -> tuple[int, int]:
    registers, line = node.registers, K210.LINE_BYTES
    return (
        registers.image_src_addr * line + feature_map_bytes(node.batches, *registers.input_shape),
        registers.image_dst_addr * line + feature_map_bytes(node.batches, *registers.output_shape),
    )


def _range_text(memory: MemoryRange) -> str:
    return (
        f"{memory.datatype.name.lower()} {_NAMES[memory.memory]}[{memory.start}..{memory.start + memory.size}]"
        f" {memory.size} bytes"
    )


def _short(memory: MemoryRange) -> str:
    return f"{_NAMES[memory.memory]}+{memory.start}:{memory.size}"


def ranges_of(node: Instruction) -> list[tuple[str, MemoryRange]]:
    """The memory ranges in the body of an instruction, with their fields' names, in file order."""
    found: list[tuple[str, MemoryRange]] = []
    for item in fields(node):  # pyright: ignore[reportArgumentType]  # every instruction is a dataclass
        value = getattr(node, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, MemoryRange):
                found.append((item.name, one))
    return found


def _all_ranges(model: Model) -> Iterator[tuple[str, MemoryRange]]:
    for index, (memory, _) in enumerate(model.inputs):
        yield f"input {index}", memory
    for index, memory in enumerate(model.outputs):
        yield f"output {index}", memory
    for index, node in enumerate(model.nodes):
        for name, memory in ranges_of(node):
            yield f"instruction {index} ({node.mnemonic}): {name}", memory


def _line(node: Instruction) -> Line:
    if isinstance(node, KpuConv2d):
        return _layer_line(node)
    ranges = ranges_of(node)
    sources = ", ".join(_short(one) for name, one in ranges if name != "output")
    targets = ", ".join(_short(one) for name, one in ranges if name == "output")
    return Line(node.mnemonic, "CPU", f"{sources} -> {targets}", _shapes(node))


def _shapes(node: Instruction) -> str:
    shape = getattr(node, "in_shape", None) or getattr(node, "a_shape", None)
    return "x".join(map(str, shape)) if shape else ""


def _layer_line(node: KpuConv2d) -> Line:
    registers = node.registers
    line = K210.LINE_BYTES
    target = f"kpu+{registers.image_dst_addr * line}"
    if node.main_output is not None:
        target += f", {_short(node.main_output)}"
    return Line(node.mnemonic, "KPU", f"kpu+{registers.image_src_addr * line} -> {target}", _layer_text(registers))


def _layer_text(registers: LayerRegisters) -> str:
    kernel = f"{registers.kernel_size}x{registers.kernel_size}{' depthwise' if registers.depthwise else ''}"
    shapes = f"{'x'.join(map(str, registers.input_shape))} -> {'x'.join(map(str, registers.output_shape))}"
    pool = f", {_POOLS.get(registers.pool_type, registers.pool_type)}" if registers.pool_type else ""
    return f"{kernel} {shapes}{pool}"


def _v4_warnings(model: Model) -> Iterator[str]:
    if len(model.inputs) != 1:
        yield f"{len(model.inputs)} inputs: the firmware's C API takes one"
    hanging = sorted({node.mnemonic for node in model.nodes} & {"table_lookup1d", "nnil_unary_method"})
    if hanging:
        yield f"{' and '.join(hanging)}: firmware built before 2020-08 hangs here (MaixPy 2020-03 to 2020-08)"


def _v4_faults(model: Model) -> Iterator[str]:
    limits = {
        MemoryType.CONST: len(model.constants),
        MemoryType.MAIN: model.main_bytes,
        MemoryType.KPU: K210.KPU_RAM_BYTES,
    }
    for where, memory in _all_ranges(model):
        end, limit = memory.start + memory.size, limits[memory.memory]
        if end > limit:
            yield f"{where} ends at byte {end} of {_NAMES[memory.memory]} memory, which has {limit}"
        alignment = K210.KPU_RAM_ALIGNMENT if memory.memory is MemoryType.KPU else memory.datatype.itemsize
        if memory.start % alignment:
            yield f"{where} starts at byte {memory.start}, not a multiple of {alignment}"


def text_of(info: KmodelInfo, name: str, firmware: Sequence[str] = (), problems: Sequence[str] = ()) -> str:
    """The description as text, with lines about firmware, and problems that were found otherwise."""
    kpu = sum(line.where == "KPU" for line in info.instructions)
    head = [
        f"{PurePath(name).name}: kmodel {info.version}, {info.file_bytes} bytes",
        f"runs on:     {info.runtimes}",
        *(f"input {index}: {text}" for index, text in enumerate(info.inputs)),
        *(f"output {index}: {text}" for index, text in enumerate(info.outputs)),
        f"KPU RAM:     {_share(info.kpu_bytes, K210.KPU_RAM_BYTES)}",
        f"main memory: {_share(info.main_bytes, K210.MAIN_RAM_BYTES)}",
        f"constants:   {info.constant_bytes} bytes",
        f"with file:   {_share(info.main_bytes + info.file_bytes, K210.MAIN_RAM_BYTES)}",
        f"{len(info.instructions)} instructions, {kpu} on the KPU, {len(info.instructions) - kpu} on the CPU:",
    ]
    width = max((len(line.mnemonic) for line in info.instructions), default=0)
    operands = max((len(line.operands) for line in info.instructions), default=0)
    table = [
        f"{index:4}  {line.where}  {line.mnemonic:<{width}}  {line.operands:<{operands}}  {line.details}".rstrip()
        for index, line in enumerate(info.instructions)
    ]
    warnings = list(info.warnings)
    if info.main_bytes + info.file_bytes > K210.MAIN_RAM_BYTES:
        warnings.append("the file and its working memory do not fit main RAM")
    return "\n".join([*head, *table, *firmware, *(f"warning: {one}" for one in (*warnings, *problems))]) + "\n"


def _share(size: int, limit: int) -> str:
    return f"{size} of {limit} bytes ({size / limit:.1%})"
