"""kmodel v5 objects to kbuf IR and back.

What the CPU does becomes the code of the stackvm's only function. What the KPU does between two instructions of the
CPU becomes a function of the k210 module: it takes what it uploads and gives what it downloads. KPU RAM keeps its bytes
from one function to the next. Read back, the instructions of a function stand where it is called, with its number
(`kbuf.function`), so that two calls in a row stay two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.rewriter import InsertPoint
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import ENTRY, entry_function
from kpuir.ir.locations import layer_name, named
from kpuir.kmodel import v5
from kpuir.kmodel.layer import ACTIVATION_SEGMENTS
from kpuir.target.k210 import K210
from kpuir.target.stackvm import NEWEST, DataType, Kind, dense_strides
from kpuir.target.stackvm_tensors import Tensor, tensors
from kpuir.translate.modules import VERSION, check_version, in_order, module_int, number

FUNCTION = "kbuf.function"
"""On KPU instructions: the number of the k210 function they are in, where that is known."""
SHAPES = {v5.Location.INPUT: "kbuf.input_shape", v5.Location.OUTPUT: "kbuf.output_shape"}
STRIDES = {v5.Location.INPUT: "kbuf.input_strides", v5.Location.OUTPUT: "kbuf.output_strides"}
"""On instructions of a k210 function: the shape of the input or output they name, where theirs is another, and the
strides it is called with, where they are not those of its shape (where it has one place only, they do not matter)."""
KPU_DATA = "kbuf.kpu_data_bytes"
"""On the module: how many of the last bytes of main RAM are the k210 module's own memory; 0 where it is not there."""
RELEASE = "kbuf.release"
"""On the module: the release of the runtime whose function numbers the file has, where it is not the newest."""
_LOCATIONS = {
    kbuf.Space.INPUT: v5.Location.INPUT,
    kbuf.Space.OUTPUT: v5.Location.OUTPUT,
    kbuf.Space.CONST: v5.Location.RDATA,
    kbuf.Space.MAIN: v5.Location.DATA,
    kbuf.Space.KPU: v5.Location.KPU,
}
_SPACES = {location: space for space, location in _LOCATIONS.items()}
_Port: TypeAlias = tuple[v5.TensorType, int]
"""What an input or output is, and where it begins."""
_Outer: TypeAlias = tuple[v5.Address, tuple[int, ...]]
"""A tensor that a k210 function is called with: where it lies, and its shape."""
_PORT_RANK = 4
_MOST_ARGUMENTS = 128  # of a call: each takes two of 256 shape registers
_BLOB_ALIGNMENT, _TABLE_ALIGNMENT = 8, K210.TABLE_ALIGNMENT
"""In the constants of the k210 module: of weights and batch-norm entries, and of activation tables."""


# --- Import ---------------------------------------------------------------------------------------------------------


def from_v5(model: v5.Model) -> ModuleOp:
    """The kbuf module of a kmodel; each op is located at `operation <index>` of the main function.

    Raises InvalidInputError for a model that no compiler makes: several stackvm functions, copies between strided
    places of the KPU.
    """
    module = ModuleOp([])
    module.attributes[VERSION] = StringAttr("v5")
    function = func.FuncOp(ENTRY, ((), ()))
    module.body.block.add_op(function)
    _Importer(model, module, Builder(InsertPoint.at_end(function.body.block))).run()
    return module


class _Importer:
    def __init__(self, model: v5.Model, module: ModuleOp, builder: Builder) -> None:
        kinds = [one.kind for one in model.modules]
        if kinds not in ([v5.STACKVM], [v5.STACKVM, v5.K210]) or model.entry != (0, 0):
            raise InvalidInputError(
                f"the modules are {', '.join(kinds)}, its main function {model.entry}; not understood"
            )
        if len(model.modules[0].functions) != 1:
            raise InvalidInputError("the stackvm module has more than the main function")
        self.main = model.modules[0].functions[0]
        self.module = module
        self.builder = builder
        self.model = model
        self.sizes = {
            v5.Location.INPUT: v5.offsets(self.main.inputs)[-1],
            v5.Location.OUTPUT: v5.offsets(self.main.outputs)[-1],
            v5.Location.RDATA: len(model.modules[0].constants),
            v5.Location.DATA: sum(dict(module.pools).get(v5.Location.DATA, 0) for module in model.modules),
            v5.Location.KPU: K210.KPU_RAM_BYTES,
        }
        self.kpu_data = self.sizes[v5.Location.DATA] - dict(model.modules[0].pools).get(v5.Location.DATA, 0)
        self.buffers: dict[tuple[v5.Address, kbuf.BufferType], SSAValue] = {}
        self.pool: SSAValue | None = None
        self.location = "main"

    def run(self) -> None:
        """Everything, in order."""
        for name, location in (("main_bytes", v5.Location.DATA), ("constant_bytes", v5.Location.RDATA)):
            self.module.attributes[f"kbuf.{name}"] = IntegerAttr(self.sizes[location], i64)
        if self.kpu_data:
            self.module.attributes[KPU_DATA] = IntegerAttr(self.kpu_data, i64)
        if self.model.release != NEWEST:
            self.module.attributes[RELEASE] = StringAttr(self.model.release)
        self.ports(v5.Location.INPUT)
        for index, one in enumerate(self.main.code):
            self.location = f"operation {index}"
            try:
                if isinstance(one, v5.Call):
                    self.call(one)
                elif isinstance(one, v5.Operation):
                    self.operation(one)
            except (VerifyException, ValueError) as error:
                raise InvalidInputError(str(error), location=self.location) from error
        self.ports(v5.Location.OUTPUT)
        self.builder.insert(func.ReturnOp())

    def ports(self, location: v5.Location) -> None:
        """The inputs or the outputs."""
        types = self.main.inputs if location is v5.Location.INPUT else self.main.outputs
        for index, (tensor, start) in enumerate(zip(types, self.main.starts(location), strict=True)):
            self.location = f"{location.name.lower()} {index}"
            buffer = self.buffer(v5.Address(location, start), tensor.datatype, tensor.shape)
            more = len(tensor.shape) - _PORT_RANK  # the first dimensions are one where there are too many
            shape = (
                (prod(tensor.shape[: more + 1]), *tensor.shape[more + 1 :]) if more > 0 else (1,) * -more + tensor.shape
            )
            port = kbuf.InputOp if location is v5.Location.INPUT else kbuf.OutputOp
            self.add(port(buffer, index, shape))

    def operation(self, one: v5.Operation) -> None:
        """A tensor function; the buffer of a tensor reaches from its first to its last element."""
        numbers = {name: value for name, value in one.pushed.items() if not isinstance(value, v5.Address)}
        kinds = tensors(one.function, one.fields, numbers)
        if one.function == "compress":
            kinds["out"] = self.compressed(kinds["in"], one)
        buffers = [
            self.buffer(value, kinds[name].datatype, (kinds[name].extent,))
            for name, value in one.pushed.items()
            if isinstance(value, v5.Address)
        ]
        self.add(kbuf.V5TensorOp(buffers, function=one.function, fields=one.fields, numbers=numbers))

    def compressed(self, source: Tensor, one: v5.Operation) -> Tensor:
        """What is left behind a condition, which compilers take from the constants. Raises ValueError for others."""
        place, [count] = one.pushed["condition"], one.fields["sh_condition"]
        if place.location is not v5.Location.RDATA:
            raise ValueError("compresses by a condition that is no constant")
        kept = np.count_nonzero(np.frombuffer(self.model.modules[0].constants, np.uint8, count, place.start))
        axis = int(one.fields["axis"])
        others = prod(source.shape) // source.shape[axis] if axis < len(source.shape) else 1
        return Tensor(source.datatype, (int(kept) * others,), (1,))

    def call(self, call: v5.Call) -> None:
        """The instructions of a k210 function on the buffers it is called with."""
        if call.module != 1 or call.function >= len(self.model.modules[1].functions):
            raise ValueError(f"function {call.function} of module {call.module} is called, which does not exist")
        function = self.model.modules[1].functions[call.function]
        places: dict[tuple[v5.Location, int], v5.Argument] = {}
        if function.input_starts or function.output_starts:
            raise ValueError(f"the inputs or outputs of function {call.function} are not in order")
        for location, types, arguments in (
            (v5.Location.INPUT, function.inputs, call.inputs),
            (v5.Location.OUTPUT, function.outputs, call.outputs),
        ):
            if [(one.datatype, one.shape) for one in types] != [(one.datatype, one.shape) for one in arguments]:
                raise ValueError(f"function {call.function} is called with other tensors than it has")
            places |= {(location, at): one for at, one in zip(function.starts(location), arguments, strict=True)}
        for one in function.code:
            op = self.instruction(cast("v5.KpuInstruction", one), places)
            op.attributes[FUNCTION] = IntegerAttr(call.function, i64)

    def instruction(self, one: v5.KpuInstruction, places: dict[tuple[v5.Location, int], v5.Argument]) -> Operation:
        """One instruction of the KPU."""
        other: dict[str, Attribute] = {}
        stated: Sequence[int] = ()
        if isinstance(one, v5.KpuConv2d):
            stated = (one.batches, *one.registers.output_shape)
        elif isinstance(one, v5.KpuUpload | v5.KpuDownload | v5.KpuCopy):
            stated = one.shape

        def outside(memory: v5.MemoryRange, shape: tuple[int, ...]) -> SSAValue:
            if memory.location is v5.Location.DATA:
                start = self.sizes[v5.Location.DATA] - self.kpu_data + memory.start
                return self.buffer(v5.Address(v5.Location.DATA, start), DataType.UINT8, shape)
            if (memory.location, memory.start) not in places:
                raise ValueError(f"byte {memory.start} of {memory.location.name} is no input or output of the function")
            argument = places[memory.location, memory.start]
            if argument.shape != stated:
                other[SHAPES[memory.location]] = DenseArrayBase.from_list(i64, argument.shape)
            if argument.strides != dense_strides(argument.shape):
                other[STRIDES[memory.location]] = DenseArrayBase.from_list(i64, argument.strides)
            return self.buffer(argument.address, DataType.UINT8, shape)

        def inside(start: int, shape: tuple[int, ...]) -> SSAValue:
            return self.buffer(v5.Address(v5.Location.KPU, start), DataType.UINT8, shape)

        match one:
            case v5.KpuUpload():
                source, target = outside(one.input, one.shape), inside(one.output.start, one.shape)
                op = self.add(kbuf.KpuUploadOp(source, target, in_shape=one.shape))
            case v5.KpuDownload():
                source, target = inside(one.input.start, one.shape), outside(one.output, one.shape)
                op = self.add(kbuf.KpuDownloadOp(source, target, in_shape=one.shape))
            case v5.KpuConv2d():
                registers = one.registers
                lines = (registers.image_src_addr, registers.image_dst_addr)
                shapes = ((one.batches, *registers.input_shape), (one.batches, *registers.output_shape))
                buffers = [inside(line * K210.LINE_BYTES, shape) for line, shape in zip(lines, shapes, strict=True)]
                if one.main_output is not None:
                    buffers.append(outside(one.main_output, shapes[1]))
                table = self.blob(one.activation)
                words = 8 * ACTIVATION_SEGMENTS
                op = self.add(
                    kbuf.KpuConv2dOp(
                        *buffers,
                        *([None] * (3 - len(buffers))),
                        batches=one.batches,
                        registers=replace(registers, image_src_addr=0, image_dst_addr=0),
                        batch_norm=np.frombuffer(self.blob(one.batch_norm), np.uint64),
                        activation=np.frombuffer(table[:words], np.uint64),
                        activation_add=np.frombuffer(table[words:], np.uint8),
                        weights=np.frombuffer(self.blob(one.weights), np.uint8),
                    )
                )
            case v5.KpuCopy() if v5.Location.KPU not in (one.input.location, one.output.location):
                fields = {"dt": DataType.UINT8, "sh": one.shape, "st": one.input_strides, "std": one.output_strides}
                kinds = tensors("copy", fields, {})
                buffers = [outside(one.input, (kinds["in"].extent,)), outside(one.output, (kinds["out"].extent,))]
                op = self.add(kbuf.V5TensorOp(buffers, function="copy", fields=fields, numbers={}))
            case _:
                raise ValueError(f"{one.mnemonic} is not understood")
        op.attributes.update(other)
        return op

    def blob(self, memory: v5.MemoryRange) -> bytes:
        """Bytes of the k210 module's constants."""
        pool = self.model.modules[1].constants
        if memory.location is not v5.Location.RDATA or memory.start + memory.size > len(pool):
            raise ValueError(f"bytes {memory.start}..{memory.start + memory.size} of {len(pool)} constants are named")
        return pool[memory.start : memory.start + memory.size]

    def buffer(self, address: v5.Address, datatype: DataType, shape: Sequence[int]) -> SSAValue:
        """The buffer at an address."""
        space = _SPACES[address.location]
        kind = kbuf.buffer_type(tuple(shape), kbuf.ELEMENT_TYPES[datatype], space)
        end = address.start + kbuf.byte_size(kind)
        if end > self.sizes[address.location]:
            raise ValueError(
                f"bytes {address.start}..{end} lie outside of {space}, which has {self.sizes[address.location]}"
            )
        if (address, kind) not in self.buffers:
            self.buffers[address, kind] = self.make(address, kind)
        return self.buffers[address, kind]

    def make(self, address: v5.Address, kind: kbuf.BufferType) -> SSAValue:
        """A new buffer, or a view of the constants."""
        if address.location is not v5.Location.RDATA:
            return self.add(kbuf.AllocOp(kind, address.start)).results[0]
        if self.pool is None:
            self.pool = self.add(kbuf.ConstantOp(np.frombuffer(self.model.modules[0].constants, np.uint8), 0)).results[
                0
            ]
        return self.add(kbuf.SubviewOp(self.pool, kind, address.start)).results[0]

    def add(self, op: Operation) -> Operation:
        """Append an op where we are, verified."""
        op.verify()  # before it is inserted: the last op of a block must be a terminator
        op.location = named(self.location)
        self.builder.insert(op)
        return op


# --- Export ---------------------------------------------------------------------------------------------------------


def to_v5(module: ModuleOp) -> v5.Model:
    """The kmodel of an allocated kbuf module, for the release of the runtime that it names, or for the newest.

    Raises InvalidInputError naming the layer: a buffer without an offset, an op that no v5 runtime executes, inputs or
    outputs that are not numbered from 0.
    """
    check_version(module, "v5")
    main_bytes, kpu_data = module_int(module, "kbuf.main_bytes"), module_int(module, KPU_DATA, 0)
    exporter = _Exporter(main_bytes - kpu_data)
    for op in entry_function(module).body.block.ops:
        try:
            exporter.take(op)
        except (VerifyException, ValueError) as error:
            raise InvalidInputError(f"{op.name}: {error}", location=layer_name(op)) from error
    release = module.attributes.get(RELEASE)
    return exporter.model(
        module_int(module, "kbuf.constant_bytes"),
        kpu_data,
        release.data if isinstance(release, StringAttr) else NEWEST,
    )


@dataclass
class _KpuFunction:
    """What the KPU does until the CPU goes on."""

    code: list[v5.KpuInstruction] = field(default_factory=list[v5.KpuInstruction])
    inputs: dict[_Outer, int] = field(default_factory=dict[_Outer, int])
    outputs: dict[_Outer, int] = field(default_factory=dict[_Outer, int])
    strides: dict[_Outer, tuple[int, ...]] = field(default_factory=dict[_Outer, tuple[int, ...]])


def _start(tensors: dict[_Outer, int], address: v5.Address, shape: tuple[int, ...]) -> int:
    """Where a tensor begins among the inputs or outputs of a function; it becomes the last one if it is new."""
    end = v5.offsets([_tensor(one) for _, one in tensors])[-1]
    return tensors.setdefault((address, shape), end)


def _tensor(shape: tuple[int, ...]) -> v5.TensorType:
    return v5.TensorType(DataType.UINT8, shape)


@dataclass
class _Exporter:
    main_bytes: int
    """Of the stackvm; what lies behind is the k210 module's own."""
    inputs: dict[int, _Port] = field(default_factory=dict[int, _Port])
    outputs: dict[int, _Port] = field(default_factory=dict[int, _Port])
    constants: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    code: list[v5.Operation | v5.Call] = field(default_factory=list[v5.Operation | v5.Call])
    functions: list[v5.Function] = field(default_factory=list[v5.Function])
    blobs: bytearray = field(default_factory=bytearray)
    current: _KpuFunction = field(default_factory=_KpuFunction)
    number: Attribute | None = None

    def take(self, op: Operation) -> None:
        """Add what an op stands for."""
        match op:
            case kbuf.AllocOp() | kbuf.SubviewOp() | func.ReturnOp():
                pass
            case kbuf.ConstantOp():
                self.constants.append((_address(op.result).start, op.array.tobytes()))
            case kbuf.InputOp():
                number(self.inputs, op.index.value.data, _port(op.buffer))
            case kbuf.OutputOp():
                number(self.outputs, op.index.value.data, _port(op.buffer))
            case kbuf.KpuUploadOp():
                self.follow(op)
                self.upload(op)
            case kbuf.KpuDownloadOp():
                self.follow(op)
                self.download(op)
            case kbuf.KpuConv2dOp():
                self.follow(op)
                self.layer(op)
            case kbuf.V5TensorOp() if FUNCTION in op.attributes:
                self.follow(op)
                self.copy(op)
            case kbuf.V5TensorOp():
                self.finish()
                self.code.append(_operation(op))
            case _:
                raise ValueError("is no instruction of kmodel v5: run kbuf-legalize-v5 first")

    def upload(self, op: kbuf.KpuUploadOp) -> None:
        """An input of the function; what it has given itself the next one takes, or it does as in the file read."""
        address, shape = _address(op.input), op.values()["in_shape"]
        own = self.own(op.input)
        if own is not None:
            self.current.code.append(v5.KpuUpload(own, _range(op.output), shape))
            return
        location = v5.Location.INPUT
        begin, end = address.start, address.start + kbuf.byte_size(op.input)
        for given, of in self.current.outputs:
            if given.location is address.location and given.start < end and begin < given.start + _tensor(of).size:
                if FUNCTION in op.attributes:
                    location = v5.Location.OUTPUT
                else:
                    self.finish()
                break
        source = self.outer(op, location, op.input, shape)
        self.current.code.append(v5.KpuUpload(source, _range(op.output), shape))

    def download(self, op: kbuf.KpuDownloadOp) -> None:
        """An output of the function."""
        shape = op.values()["in_shape"]
        self.current.code.append(v5.KpuDownload(_range(op.input), self.given(op, op.output, shape), shape))

    def copy(self, op: kbuf.V5TensorOp) -> None:
        """A copy that a k210 function does; the ranges count its elements only."""
        fields = op.values()["fields"]
        shape, size = fields["sh"], prod(fields["sh"])
        source = self.own(op.tensor("in"))
        if source is None:
            source = self.outer(op, v5.Location.INPUT, op.tensor("in"), shape)
        target = self.given(op, op.tensor("out"), shape)
        source, target = replace(source, size=size), replace(target, size=size)
        self.current.code.append(v5.KpuCopy(source, target, shape, fields["st"], fields["std"]))

    def given(self, op: Operation, value: SSAValue, shape: tuple[int, ...]) -> v5.MemoryRange:
        """The range of what an instruction writes: in the module's own memory, or an output of the function."""
        own = self.own(value)
        return self.outer(op, v5.Location.OUTPUT, value, shape) if own is None else own

    def outer(self, op: Operation, location: v5.Location, value: SSAValue, shape: tuple[int, ...]) -> v5.MemoryRange:
        """The range of an input or output of the function."""
        shape = _numbers(op, SHAPES[location], shape)
        found = self.current.inputs if location is v5.Location.INPUT else self.current.outputs
        start = _start(found, _address(value), shape)
        self.current.strides[_address(value), shape] = _numbers(op, STRIDES[location], dense_strides(shape))
        return v5.MemoryRange(location, DataType.UINT8, start, kbuf.byte_size(value))

    def own(self, value: SSAValue) -> v5.MemoryRange | None:
        """The range of a buffer in the k210 module's own memory; None for others."""
        found = _range(value)
        if found.location is not v5.Location.DATA or found.start < self.main_bytes:
            return None
        return replace(found, start=found.start - self.main_bytes)

    def layer(self, op: kbuf.KpuConv2dOp) -> None:
        """A layer with its arrays, and its copy outside of KPU RAM, which compilers leave to a download."""
        values = op.values()
        main, shape = op.main_output, (values["batches"], *values["registers"].output_shape)
        if values["weights"].itemsize > 1:
            raise InvalidInputError(
                "the layer has 16-bit weights, runtimes of kmodel v5 take 8 bits", location=layer_name(op)
            )
        table = values["activation"].tobytes() + values["activation_add"].tobytes()
        lines = [_address(value).start // K210.LINE_BYTES for value in (op.input, op.output)]
        self.current.code.append(
            v5.KpuConv2d(
                self.blob(values["weights"].tobytes(), DataType.UINT8, _BLOB_ALIGNMENT),
                self.blob(values["batch_norm"].tobytes(), DataType.UINT64, _BLOB_ALIGNMENT),
                self.blob(table, DataType.UINT8, _TABLE_ALIGNMENT),
                self.given(op, main, shape) if main is not None and kbuf.byte_size(main) else None,
                values["batches"],
                replace(values["registers"], image_src_addr=lines[0], image_dst_addr=lines[1]),
            )
        )

    def blob(self, data: bytes, datatype: DataType, alignment: int) -> v5.MemoryRange:
        """Bytes appended to the constants of the k210 module."""
        self.blobs += bytes(-len(self.blobs) % alignment)
        start = len(self.blobs)
        self.blobs += data
        return v5.MemoryRange(v5.Location.RDATA, datatype, start, len(data))

    def follow(self, op: Operation) -> None:
        """Begin a new function where the file that the module was read from has one, or where a call is full."""
        number, arguments = op.attributes.get(FUNCTION), len(self.current.inputs) + len(self.current.outputs)
        if (number is not None and number != self.number) or arguments > _MOST_ARGUMENTS - 2:
            self.finish()
        self.number = number

    def finish(self) -> None:
        """Call what the KPU does up to here as a function."""
        done, self.current = self.current, _KpuFunction()
        if not done.code:
            return
        arguments = [
            tuple(v5.Argument(at, DataType.UINT8, shape, done.strides[at, shape]) for at, shape in tensors)
            for tensors in (done.inputs, done.outputs)
        ]
        types = [tuple(_tensor(shape) for _, shape in tensors) for tensors in (done.inputs, done.outputs)]
        self.code.append(v5.Call(len(self.functions), 1, arguments[0], arguments[1]))
        self.functions.append(v5.Function(types[0], types[1], tuple(done.code)))

    def model(self, constant_bytes: int, kpu_data: int, release: str) -> v5.Model:
        """The model of everything taken. Raises InvalidInputError where numbers of inputs or outputs are missing."""
        self.finish()
        pool = bytearray(constant_bytes)
        for start, data in self.constants:
            pool[start : start + len(data)] = data
        inputs, input_starts = _in_order("input", self.inputs)
        outputs, output_starts = _in_order("output", self.outputs)
        main = v5.Function(inputs, outputs, tuple(self.code), input_starts, output_starts)
        memories = ((v5.Location.RDATA, len(pool)), (v5.Location.DATA, self.main_bytes))
        modules = [v5.Module(v5.STACKVM, (main,), bytes(pool), memories)]
        if self.functions:
            self.blobs += bytes(-len(self.blobs) % _BLOB_ALIGNMENT)
            memories = (
                (v5.Location.RDATA, len(self.blobs)),
                (v5.Location.DATA, kpu_data),
                (v5.Location.KPU, K210.KPU_RAM_BYTES),
            )
            modules.append(v5.Module(v5.K210, tuple(self.functions), bytes(self.blobs), memories))
        return v5.Model(tuple(modules), (0, 0), release)


def _numbers(op: Operation, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    found = op.attributes.get(name)
    if not isinstance(found, DenseArrayBase):
        return default
    return tuple(int(one) for one in cast("DenseArrayBase[Any]", found).get_values())


def _operation(op: kbuf.V5TensorOp) -> v5.Operation:
    values, buffers = op.values(), dict(op.buffers())
    pushed = {
        one.name: _address(buffers[one.name]) if one.kind is Kind.BUFFER else values["numbers"][one.name]
        for one in op.signature.pushes
    }
    return v5.Operation(values["function"], values["fields"], pushed)


def _address(value: SSAValue) -> v5.Address:
    start = kbuf.offset_of(value)
    if start is None:
        raise ValueError(f"a buffer in {kbuf.space_of(value)} has no offset: run kbuf-allocate first")
    return v5.Address(_LOCATIONS[kbuf.space_of(value)], start)


def _range(value: SSAValue) -> v5.MemoryRange:
    address = _address(value)
    return v5.MemoryRange(address.location, DataType.UINT8, address.start, kbuf.byte_size(value))


def _port(value: SSAValue) -> _Port:
    element = cast("kbuf.BufferType", value.type).element_type
    datatype = next(one for one, found in kbuf.ELEMENT_TYPES.items() if found == element)
    return v5.TensorType(datatype, kbuf.shape_of(value)), _address(value).start


def _in_order(what: str, found: dict[int, _Port]) -> tuple[tuple[v5.TensorType, ...], tuple[int, ...]]:
    """Inputs or outputs by their numbers, and where they begin unless that follows from their sizes."""
    ports = in_order(what, found)
    types, starts = tuple(tensor for tensor, _ in ports), tuple(start for _, start in ports)
    return types, () if list(starts) == v5.offsets(types)[:-1] else starts
