"""kbuf IR to kmodel v5 objects.

What the CPU does becomes the code of the stackvm's only function. What the KPU does between two instructions of the
CPU becomes a function of the k210 module: it takes what it uploads and gives what it downloads. KPU RAM keeps its bytes
from one function to the next.
"""

from dataclasses import dataclass, field, replace
from typing import Any, cast

from xdsl.dialects import func
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.kmodel import v5
from kpuir.target.k210 import K210
from kpuir.target.stackvm import NEWEST, DataType, Kind, dense_strides

VERSION = StringAttr("v5")
_LOCATIONS = {
    kbuf.Space.INPUT: v5.Location.INPUT,
    kbuf.Space.OUTPUT: v5.Location.OUTPUT,
    kbuf.Space.CONST: v5.Location.RDATA,
    kbuf.Space.MAIN: v5.Location.DATA,
    kbuf.Space.KPU: v5.Location.KPU,
}
_BLOB_ALIGNMENT, _TABLE_ALIGNMENT = 8, K210.TABLE_ALIGNMENT
"""In the constants of the k210 module: of weights and batch-norm entries, and of activation tables."""


def to_v5(module: ModuleOp, release: str = NEWEST) -> v5.Model:
    """The kmodel of an allocated kbuf module, for a release of the runtime.

    Raises InvalidInputError naming the layer: a buffer without an offset, an op that no v5 runtime executes, inputs or
    outputs that are not numbered from 0.
    """
    if module.attributes.get("kbuf.version") != VERSION:
        raise InvalidInputError(f'kbuf.version is {module.attributes.get("kbuf.version")}, but a v5 file needs "v5"')
    exporter = _Exporter()
    for op in entry_function(module).body.block.ops:
        try:
            exporter.take(op)
        except (VerifyException, ValueError) as error:
            raise InvalidInputError(f"{op.name}: {error}", location=layer_name(op)) from error
    return exporter.model(_bytes(module, "kbuf.main_bytes"), _bytes(module, "kbuf.constant_bytes"), release)


@dataclass
class _KpuFunction:
    """What the KPU does until the CPU goes on; buffers are known by location, offset and shape."""

    code: list[v5.KpuInstruction] = field(default_factory=list[v5.KpuInstruction])
    inputs: dict[tuple[v5.Address, tuple[int, ...]], int] = field(
        default_factory=dict[tuple[v5.Address, tuple[int, ...]], int]
    )
    outputs: dict[tuple[v5.Address, tuple[int, ...]], int] = field(
        default_factory=dict[tuple[v5.Address, tuple[int, ...]], int]
    )


def _start(tensors: dict[tuple[v5.Address, tuple[int, ...]], int], address: v5.Address, shape: tuple[int, ...]) -> int:
    """Where a tensor begins among the inputs or outputs of a function; it becomes the last one if it is new."""
    end = v5.offsets([_tensor(one) for _, one in tensors])[-1]
    return tensors.setdefault((address, shape), end)


def _tensor(shape: tuple[int, ...]) -> v5.TensorType:
    return v5.TensorType(DataType.UINT8, shape)


@dataclass
class _Exporter:
    inputs: dict[int, v5.TensorType] = field(default_factory=dict[int, v5.TensorType])
    outputs: dict[int, v5.TensorType] = field(default_factory=dict[int, v5.TensorType])
    constants: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    code: list[v5.Operation | v5.Call] = field(default_factory=list[v5.Operation | v5.Call])
    functions: list[v5.Function] = field(default_factory=list[v5.Function])
    blobs: bytearray = field(default_factory=bytearray)
    current: _KpuFunction = field(default_factory=_KpuFunction)

    def take(self, op: Operation) -> None:
        """Add what an op stands for."""
        match op:
            case kbuf.AllocOp() | kbuf.SubviewOp() | func.ReturnOp():
                pass
            case kbuf.ConstantOp():
                self.constants.append((_address(op.result).start, op.array.tobytes()))
            case kbuf.InputOp():
                _number(self.inputs, op.index.value.data, _port(op.buffer))
            case kbuf.OutputOp():
                _number(self.outputs, op.index.value.data, _port(op.buffer))
            case kbuf.KpuUploadOp():
                self.upload(op)
            case kbuf.KpuDownloadOp():
                self.download(op)
            case kbuf.KpuConv2dOp():
                self.layer(op)
            case kbuf.V5TensorOp():
                self.finish()
                self.code.append(_operation(op))
            case _:
                raise ValueError("is no instruction of kmodel v5: run kbuf-legalize-v5 first")

    def upload(self, op: kbuf.KpuUploadOp) -> None:
        """An input of the function; one that it has given itself is taken by the next one."""
        address, shape = _address(op.input), op.values()["in_shape"]
        begin, end = address.start, address.start + kbuf.byte_size(op.input)
        for given, of in self.current.outputs:
            if given.location is address.location and given.start < end and begin < given.start + _tensor(of).size:
                self.finish()
                break
        start = _start(self.current.inputs, address, shape)
        source = v5.MemoryRange(v5.Location.INPUT, DataType.UINT8, start, kbuf.byte_size(op.input))
        self.current.code.append(v5.KpuUpload(source, _range(op.output), shape))

    def download(self, op: kbuf.KpuDownloadOp) -> None:
        """An output of the function."""
        shape = op.values()["in_shape"]
        start = _start(self.current.outputs, _address(op.output), shape)
        target = v5.MemoryRange(v5.Location.OUTPUT, DataType.UINT8, start, kbuf.byte_size(op.output))
        self.current.code.append(v5.KpuDownload(_range(op.input), target, shape))

    def layer(self, op: kbuf.KpuConv2dOp) -> None:
        """A layer with its arrays."""
        values = op.values()
        if op.main_output is not None and kbuf.byte_size(op.main_output):
            raise ValueError("sends its result to main RAM: run kbuf-legalize-v5 first")
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
                None,
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

    def finish(self) -> None:
        """Call what the KPU does up to here as a function."""
        done, self.current = self.current, _KpuFunction()
        if not done.code:
            return
        arguments = [
            tuple(v5.Argument(address, DataType.UINT8, shape, dense_strides(shape)) for address, shape in tensors)
            for tensors in (done.inputs, done.outputs)
        ]
        types = [tuple(_tensor(shape) for _, shape in tensors) for tensors in (done.inputs, done.outputs)]
        self.code.append(v5.Call(len(self.functions), 1, arguments[0], arguments[1]))
        self.functions.append(v5.Function(types[0], types[1], tuple(done.code)))

    def model(self, main_bytes: int, constant_bytes: int, release: str) -> v5.Model:
        """The model of everything taken. Raises InvalidInputError where numbers of inputs or outputs are missing."""
        self.finish()
        pool = bytearray(constant_bytes)
        for start, data in self.constants:
            pool[start : start + len(data)] = data
        main = v5.Function(_in_order("input", self.inputs), _in_order("output", self.outputs), tuple(self.code))
        memories = ((v5.Location.RDATA, len(pool)), (v5.Location.DATA, main_bytes))
        modules = [v5.Module(v5.STACKVM, (main,), bytes(pool), memories)]
        if self.functions:
            self.blobs += bytes(-len(self.blobs) % _BLOB_ALIGNMENT)
            memories = (
                (v5.Location.RDATA, len(self.blobs)),
                (v5.Location.DATA, 0),
                (v5.Location.KPU, K210.KPU_RAM_BYTES),
            )
            modules.append(v5.Module(v5.K210, tuple(self.functions), bytes(self.blobs), memories))
        return v5.Model(tuple(modules), (0, 0), release)


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


def _port(value: SSAValue) -> v5.TensorType:
    datatype = DataType.FLOAT32 if kbuf.element_size(value) == 4 else DataType.UINT8
    return v5.TensorType(datatype, kbuf.shape_of(value))


def _number(found: dict[int, Any], index: int, value: Any) -> None:
    if index in found:
        raise ValueError(f"number {index} is given twice")
    found[index] = value


def _in_order(what: str, found: dict[int, v5.TensorType]) -> tuple[v5.TensorType, ...]:
    missing = [index for index in range(len(found)) if index not in found]
    if missing:
        raise InvalidInputError(f"there are {len(found)} {what}s, but none has number {missing[0]}")
    return tuple(found[index] for index in range(len(found)))


def _bytes(module: ModuleOp, name: str) -> int:
    attribute = module.attributes.get(name)
    if not isinstance(attribute, IntegerAttr):
        raise InvalidInputError(f"the module has no {name}: run kbuf-allocate first")
    return cast("IntegerAttr[Any]", attribute).value.data
