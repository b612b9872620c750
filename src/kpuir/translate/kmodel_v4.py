"""kmodel v4 objects to kbuf IR and back: a walk in both directions, nothing is decided here.

A field of an instruction and the operand or property of the op that stands for it have one name, so one loop
translates all instructions; only kpu_conv2d, whose maps hide in its registers, needs words of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import func
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, f32, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.rewriter import InsertPoint
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import ENTRY, entry_function
from kpuir.ir.locations import layer_name, named
from kpuir.kmodel import v4
from kpuir.kmodel.codec import Array, Enumeration, codecs
from kpuir.target.k210 import K210, feature_map_bytes
from kpuir.translate.loadable import check_loadable
from kpuir.translate.modules import VERSION, check_version, in_order, module_int, number

if TYPE_CHECKING:
    from kpuir.kmodel.layer import LayerRegisters

__all__ = ["CONSTANT_BYTES", "MAIN_BYTES", "VERSION", "check_loadable", "from_v4", "to_v4"]

MAIN_BYTES = "kbuf.main_bytes"
CONSTANT_BYTES = "kbuf.constant_bytes"
_FILE_DEFAULTS = {"flags": 0, "target": 1, "reserved": 0, "missing_padding": 0}
"""Figures of a file that no runtime reads: module attributes where they are others."""

_SPACES = {
    v4.MemoryType.CONST: kbuf.Space.CONST,
    v4.MemoryType.MAIN: kbuf.Space.MAIN,
    v4.MemoryType.KPU: kbuf.Space.KPU,
}
_MEMORIES = {space: memory for memory, space in _SPACES.items()}
_ELEMENTS: dict[v4.DataType, Attribute] = {v4.DataType.FLOAT32: f32, v4.DataType.UINT8: kbuf.UI8}
_DATATYPES = {element: datatype for datatype, element in _ELEMENTS.items()}
_INPUT_RANK = 4
_OPS = {op.name.removeprefix("kbuf."): op for op in kbuf.INSTRUCTIONS}
_NODES = {node.mnemonic: node for node in v4.INSTRUCTIONS.values()}


# --- Import ---------------------------------------------------------------------------------------------------------


def from_v4(model: v4.Model) -> ModuleOp:
    """The kbuf module of a kmodel; each op is located at `node <index>`.

    The constant pool becomes one kbuf.constant that subviews look into; every other range becomes a kbuf.alloc at
    its offset, shaped as the instruction that uses it says, or flat where none does.
    Raises InvalidInputError naming the node whose ranges leave their pool or contradict its fields.
    """
    module = ModuleOp([])
    module.attributes[VERSION] = StringAttr("v4")
    module.attributes[MAIN_BYTES] = IntegerAttr(model.main_bytes, i64)
    module.attributes[CONSTANT_BYTES] = IntegerAttr(len(model.constants), i64)
    for name, default in _FILE_DEFAULTS.items():
        if getattr(model, name) != default:
            module.attributes[f"kbuf.{name}"] = IntegerAttr(getattr(model, name), i64)
    function = func.FuncOp(ENTRY, ((), ()))
    module.body.block.add_op(function)
    importer = _Importer(model, Builder(InsertPoint.at_end(function.body.block)))
    for index, (memory, shape) in enumerate(model.inputs):
        importer.step(f"input {index}", lambda m=memory, i=index, s=shape: importer.add_input(m, i, s))
    for index, node in enumerate(model.nodes):
        importer.step(f"node {index}", lambda n=node: importer.add_node(n))
    for index, memory in enumerate(model.outputs):
        importer.step(f"output {index}", lambda m=memory, i=index: importer.add_output(m, i))
    importer.builder.insert(func.ReturnOp())
    return module


class _Importer:
    def __init__(self, model: v4.Model, builder: Builder) -> None:
        self.model = model
        self.builder = builder
        self.pool: SSAValue | None = None
        self.exact: dict[tuple[v4.MemoryRange, kbuf.BufferType], SSAValue] = {}
        self.latest: dict[v4.MemoryRange, SSAValue] = {}
        self.location = ""
        if model.constants:
            self._make_pool()

    def step(self, location: str, action: Any) -> None:
        """Run `action`; its complaints are about `location`."""
        self.location = location
        try:
            action()
        except (VerifyException, ValueError) as error:
            raise InvalidInputError(str(error), location=location) from error

    def add(self, op: Operation) -> None:
        """Append an op where we are, verified."""
        op.verify()  # before it is inserted: the last op of a block must be a terminator
        op.location = named(self.location)
        self.builder.insert(op)

    def add_input(self, memory: v4.MemoryRange, index: int, shape: Sequence[int]) -> None:
        """A buffer the caller fills."""
        self.add(kbuf.InputOp(self.buffer(memory, shape), index, shape))

    def add_output(self, memory: v4.MemoryRange, index: int) -> None:
        """A buffer the caller reads."""
        self.add(kbuf.OutputOp(self.buffer(memory, None), index))

    def add_node(self, node: v4.Instruction) -> None:
        """An instruction and the buffers it is the first to use."""
        op = _OPS[node.mnemonic]
        ranges = _kpu_ranges(node) if isinstance(node, v4.KpuConv2d) else vars(node)
        shapes = op.shapes(node)
        if isinstance(node, v4.KpuConv2d):
            shapes["main_output"] = shapes["output"]
        buffers: list[Any] = []
        hint: Sequence[int] | None = None
        for name, _ in op.get_irdl_definition().operands:
            found = ranges[name]
            if isinstance(found, tuple):
                buffers.append([self.buffer(memory, None) for memory in cast("tuple[v4.MemoryRange, ...]", found)])
                continue
            if found is None:
                buffers.append(None)
                continue
            value = self.buffer(found, shapes.get(name, hint))
            hint = hint or kbuf.shape_of(value)
            buffers.append(value)
        properties = {name: _plain(getattr(node, name, None)) for name in kbuf.property_kinds(op)}
        if isinstance(node, v4.KpuConv2d):
            properties["registers"] = replace(node.registers, image_src_addr=0, image_dst_addr=0)
        self.add(op(*buffers, **properties))

    def buffer(self, memory: v4.MemoryRange, shape: Sequence[int] | None) -> SSAValue:
        """The buffer of a range: of `shape` if that takes its bytes, as last used otherwise, or else flat."""
        self._check_range(memory)
        kind = self._fitting(memory, shape)
        if kind is None and memory in self.latest:
            return self.latest[memory]
        if kind is None:
            count, rest = divmod(memory.size, memory.datatype.itemsize)
            if rest:
                raise ValueError(f"a range of {memory.size} bytes holds no whole number of {memory.datatype.name}")
            kind = kbuf.buffer_type([count], _ELEMENTS[memory.datatype], _SPACES[memory.memory])
        value = self.exact.get((memory, kind))
        if value is None:
            value = self._make_buffer(memory, kind)
        self.exact[memory, kind] = self.latest[memory] = value
        return value

    def _fitting(self, memory: v4.MemoryRange, shape: Sequence[int] | None) -> kbuf.BufferType | None:
        if shape is None or min(shape, default=0) < 0:
            return None
        kind = kbuf.buffer_type(shape, _ELEMENTS[memory.datatype], _SPACES[memory.memory])
        return kind if kbuf.byte_size(kind) == memory.size else None

    def _make_buffer(self, memory: v4.MemoryRange, kind: kbuf.BufferType) -> SSAValue:
        if memory.memory is v4.MemoryType.CONST:
            view = kbuf.SubviewOp(self.pool or self._make_pool(), kind, memory.start)
            self.add(view)
            return view.result
        alloc = kbuf.AllocOp(kind, memory.start)
        self.add(alloc)
        return alloc.result

    def _make_pool(self) -> SSAValue:
        pool = kbuf.ConstantOp(np.frombuffer(self.model.constants, np.uint8), 0)
        self.builder.insert(pool)
        self.pool = pool.result
        return pool.result

    def _check_range(self, memory: v4.MemoryRange) -> None:
        sizes = {
            v4.MemoryType.CONST: len(self.model.constants),
            v4.MemoryType.MAIN: self.model.main_bytes,
            v4.MemoryType.KPU: K210.KPU_RAM_BYTES,
        }
        _check_inside(_SPACES[memory.memory], memory.start, memory.size, sizes[memory.memory])


def _kpu_ranges(node: v4.KpuConv2d) -> Mapping[str, v4.MemoryRange | None]:
    registers = node.registers

    def fmap(line: int, shape: tuple[int, int, int]) -> v4.MemoryRange:
        size = feature_map_bytes(node.batches, *shape)
        return v4.MemoryRange(v4.MemoryType.KPU, v4.DataType.UINT8, line * K210.LINE_BYTES, size)

    return {
        "input": fmap(registers.image_src_addr, registers.input_shape),
        "output": fmap(registers.image_dst_addr, registers.output_shape),
        "main_output": node.main_output,
    }


def _plain(value: Any) -> Any:
    return value.name.lower() if isinstance(value, IntEnum) else value


def _check_inside(space: kbuf.Space, start: int, size: int, whole: int) -> None:
    if start < 0 or size < 0 or start + size > whole:
        raise ValueError(f"bytes {start}..{start + size} lie outside of the {whole} bytes of {space.value}")


# --- Export ---------------------------------------------------------------------------------------------------------


def to_v4(module: ModuleOp) -> v4.Model:
    """The kmodel of an allocated kbuf module.

    Raises InvalidInputError naming the layer: a buffer without an offset, outside of its pool or in a space v4 lacks,
    a value its field cannot hold, inputs or outputs that are not numbered from 0, an op that is no instruction.
    What loads but misbehaves on a chip is told by `check_loadable`.
    """
    check_version(module, "v4")
    exporter = _Exporter(module)
    for op in entry_function(module).body.block.ops:
        try:
            exporter.take(op)
        except (VerifyException, ValueError) as error:
            raise InvalidInputError(f"{op.name}: {error}", location=layer_name(op)) from error
    return exporter.model()


class _Exporter:
    def __init__(self, module: ModuleOp) -> None:
        self.sizes = {
            kbuf.Space.MAIN: module_int(module, MAIN_BYTES),
            kbuf.Space.CONST: module_int(module, CONSTANT_BYTES),
            kbuf.Space.KPU: K210.KPU_RAM_BYTES,
        }
        self.header = {name: module_int(module, f"kbuf.{name}", old) for name, old in _FILE_DEFAULTS.items()}
        self.pool = bytearray(self.sizes[kbuf.Space.CONST])
        self.inputs: dict[int, v4.ModelInput] = {}
        self.outputs: dict[int, v4.MemoryRange] = {}
        self.nodes: list[v4.Instruction] = []

    def take(self, op: Operation) -> None:
        """Add what an op stands for."""
        match op:
            case kbuf.AllocOp() | kbuf.SubviewOp() | func.ReturnOp():
                pass
            case kbuf.ConstantOp():
                memory = self.range_of(op.result)
                self.pool[memory.start : memory.start + memory.size] = op.array.tobytes()
            case kbuf.InputOp():
                shape = tuple(int(size) for size in op.shape.get_values())
                if len(shape) != _INPUT_RANK:
                    raise ValueError(f"inputs of v4 have {_INPUT_RANK} dimensions, not {list(shape)}")
                number(self.inputs, op.index.value.data, (self.range_of(op.buffer), shape))
            case kbuf.OutputOp():
                number(self.outputs, op.index.value.data, self.range_of(op.buffer))
            case kbuf.InstructionOp():
                node = self.node_of(op)
                node.write(0)  # tells now, with the layer's name, what the format cannot hold
                self.nodes.append(node)
            case _:
                raise ValueError("is no runtime instruction")

    def model(self) -> v4.Model:
        """The model of everything taken. Raises InvalidInputError where numbers of inputs or outputs are missing."""
        return v4.Model(
            in_order("input", self.inputs),
            in_order("output", self.outputs),
            bytes(self.pool),
            self.sizes[kbuf.Space.MAIN],
            tuple(self.nodes),
            **self.header,
        )

    def range_of(self, value: SSAValue) -> v4.MemoryRange:
        """The memory range of a buffer. Raises ValueError unless it lies in a pool."""
        space = kbuf.space_of(value)
        if space not in _MEMORIES:
            raise ValueError(f"v4 has no #kbuf.space<{space.value}>")
        start = kbuf.offset_of(value)
        if start is None:
            raise ValueError(f"a buffer in {space.value} has no offset: run kbuf-allocate first")
        size = kbuf.byte_size(value)
        _check_inside(space, start, size, self.sizes[space])
        element = cast("kbuf.BufferType", value.type).element_type
        if element not in _DATATYPES:
            raise ValueError(f"v4 has no elements of type {element}")
        return v4.MemoryRange(_MEMORIES[space], _DATATYPES[element], start, size)

    def node_of(self, op: kbuf.InstructionOp) -> v4.Instruction:
        """The kmodel instruction of an op."""
        kind = _NODES[op.name.removeprefix("kbuf.")]
        known: dict[str, Any] = op.values()
        if isinstance(op, kbuf.KpuConv2dOp):
            if known["weights"].itemsize > 1:
                raise InvalidInputError(
                    "the layer has 16-bit weights, runtimes of kmodel v4 take 8 bits",
                    location=layer_name(op),
                    hint="use kpu-select-registers{weight_bits=8}",
                )
            known["registers"] = self._addressed(op)
        for name, _ in type(op).get_irdl_definition().operands:
            known[name] = self._ranges_of(getattr(op, name))
        if isinstance(op, kbuf.ConcatOp):
            known["count"] = len(op.inputs)
        fields = {name: _stored(known[name], codec) for name, codec in codecs(kind).items()}
        if isinstance(op, kbuf.KpuConv2dOp):
            fields["fills"] = known["fills"]
        return kind(**fields)

    def _ranges_of(self, operand: Any) -> v4.MemoryRange | tuple[v4.MemoryRange, ...] | None:
        if operand is None:
            return None
        if isinstance(operand, SSAValue):
            return self.range_of(operand)
        return tuple(self.range_of(item) for item in operand)

    def _addressed(self, op: kbuf.KpuConv2dOp) -> "LayerRegisters":
        lines: list[int] = []
        for name, value in (("input", op.input), ("output", op.output)):
            line, rest = divmod(self.range_of(value).start, K210.LINE_BYTES)
            if rest:
                start = self.range_of(value).start
                raise ValueError(f"{name} starts at byte {start}, which is no multiple of {K210.LINE_BYTES}")
            lines.append(line)
        return replace(op.registers.data, image_src_addr=lines[0], image_dst_addr=lines[1])


def _stored(value: Any, codec: Any) -> Any:
    if isinstance(codec, Enumeration):
        return codec.kind[value.value.upper()]
    if isinstance(codec, Array):
        return np.ascontiguousarray(value).reshape(-1).view(codec.dtype)
    return value
