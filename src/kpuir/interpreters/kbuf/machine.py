"""The machine: prepares a module once, then a run is a list of closures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf.memory import Access, Memory, element_dtype
from kpuir.interpreters.kernels.blas import one_blas_thread
from kpuir.interpreters.kernels.kpu_layout import Layout, copy_map
from kpuir.ir.locations import layer_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    InputData = NDArray[Any] | bytes | bytearray | memoryview

Step = Callable[[], None]
"""What an operation does in a run: everything but the bytes in memory is already decided."""

OpT = TypeVar("OpT", bound=Operation)
_PREPARERS: dict[type[Operation], Callable[[Any, Access], Step]] = {}


def executes(*kinds: type[OpT]) -> Callable[[Callable[[OpT, Access], Step]], Callable[[OpT, Access], Step]]:
    """Register how operations are made ready: a function (op, access) that takes its views and returns a Step.

    Anyone may register operations of a dialect of their own, or replace one of ours.
    """

    def register(prepare: Callable[[OpT, Access], Step]) -> Callable[[OpT, Access], Step]:
        _PREPARERS.update(dict.fromkeys(kinds, prepare))
        return prepare

    return register


@dataclass(frozen=True)
class _Port:
    """An input or output: its place in the caller's list, and what fills or reads its bytes."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: Any
    view: Any
    layout: Layout | None = None


class Machine:
    """The chip's runtime for an allocated kbuf module, bit for bit.

    Two byte-addressed RAMs and the constant pool; operations read and write only at the addresses in the IR, so a
    wrong address gives a wrong answer. Preparing takes the module apart once; the module must not change afterwards.
    RAMs are filled with zeros here and not cleared between runs, as in the runtime. Not for two threads at a time.

    With `check`, `warnings` lists what a run would do wrong, found without running: bytes read that nothing has
    written, accesses outside of a buffer or of a RAM, KPU layers whose input and output overlap.

    Raises InvalidInputError for a module that is not allocated, has an operation no one has registered (see
    `executes`), or reaches outside of a RAM while not being checked.
    """

    def __init__(self, module: ModuleOp, *, check: bool = False) -> None:
        self.memory = Memory(module, check)
        self._steps: list[tuple[Operation, Step]] = []
        inputs: list[_Port] = []
        outputs: list[_Port] = []
        for op in _body(module):
            if isinstance(op, kbuf.ConstantOp):
                self.memory.load(op)
            elif isinstance(op, kbuf.InputOp):
                inputs.append(_input_port(op, Access(self.memory, op)))
            elif isinstance(op, kbuf.OutputOp):
                outputs.append(_output_port(op, Access(self.memory, op)))
            elif not isinstance(op, kbuf.AllocOp | kbuf.SubviewOp | func.ReturnOp):
                self._steps.append((op, self._prepare(op)))
        self._inputs = _in_order(inputs, "input")
        self._outputs = _in_order(outputs, "output")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the check found, in program order; empty without it."""
        return tuple(self.memory.warnings)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each input."""
        return tuple(port.shape for port in self._inputs)

    @property
    def input_dtypes(self) -> "tuple[np.dtype[Any], ...]":
        """The element type of each input: float32 or uint8."""
        return tuple(port.dtype for port in self._inputs)

    def run(
        self, inputs: "Sequence[InputData]", *, observe: Callable[[Operation], None] | None = None
    ) -> "list[NDArray[Any]]":
        """One inference: fills the inputs, runs every operation, returns copies of the outputs.

        Inputs are arrays of the input's element type and number of elements, or their raw bytes; maps in KPU RAM are
        given dense (NCHW). Outputs have the type and shape the module gives them; a map in KPU RAM comes as its raw
        bytes. `observe` is called after each operation, with the memories as it left them.
        Raises InvalidInputError for inputs that do not fit.
        """
        import numpy as np

        if len(inputs) != len(self._inputs):
            raise InvalidInputError(f"{len(inputs)} inputs are given, the model has {len(self._inputs)}")
        arrays = [_as_array(value, port) for value, port in zip(inputs, self._inputs, strict=True)]
        with one_blas_thread(), np.errstate(all="ignore"):
            for array, port in zip(arrays, self._inputs, strict=True):
                _fill(port, array)
            for op, step in self._steps:
                step()
                if observe is not None:
                    observe(op)
        return [port.view.copy() for port in self._outputs]

    def result(self, op: Operation, shape: Sequence[int]) -> "NDArray[Any]":
        """A copy of what an instruction has just left in its output, as a dense array of `shape`.

        Raises InvalidInputError where it has no output of that many elements.
        """
        import numpy as np

        written = op.destinations if isinstance(op, kbuf.InstructionOp) else ()
        access = Access(self.memory, op)
        if not written:
            raise InvalidInputError("it has no output to look at", location=layer_name(op))
        output = written[0]
        if not isinstance(op, kbuf.KpuConv2dOp):
            if prod(shape) * element_dtype(output).itemsize != kbuf.byte_size(output):
                raise InvalidInputError(f"its output is not {list(shape)}", location=layer_name(op))
            return access.read(output, shape).copy()
        lines = Layout.lines((int(op.values()["batches"]), *op.values()["registers"].output_shape))
        if prod(lines.shape) != prod(shape):
            raise InvalidInputError(f"its output is {list(lines.shape)}, not {list(shape)}", location=layer_name(op))
        dense = Layout.dense(lines.shape)
        array = np.empty(dense.size, np.uint8)
        copy_map(access.read_map(output, lines), lines, array, dense)
        return array.reshape(tuple(shape))

    def _prepare(self, op: Operation) -> Step:
        prepare = _PREPARERS.get(type(op))
        if prepare is None:
            raise InvalidInputError(f"there is no way to run {op.name}", location=layer_name(op))
        if isinstance(op, kbuf.InstructionOp) and not any(map(kbuf.byte_size, op.destinations)):
            return lambda: None
        try:
            return prepare(op, Access(self.memory, op))
        except InvalidInputError as error:
            raise InvalidInputError(
                error.message, location=error.location or layer_name(op), hint=error.hint
            ) from error


def _body(module: ModuleOp) -> list[Operation]:
    functions = [op for op in module.ops if isinstance(op, func.FuncOp) and op.sym_name.data == "main"]
    if len(functions) != 1:
        raise InvalidInputError(f"the module has {len(functions)} functions @main, it needs one")
    return list(functions[0].body.block.ops)


def _input_port(op: kbuf.InputOp, access: Access) -> _Port:
    shape = tuple(int(size) for size in op.shape.get_values())
    dtype, name = element_dtype(op.buffer), op.port_name.data if op.port_name else f"input {op.index.value.data}"
    if kbuf.space_of(op.buffer) is not kbuf.Space.KPU:
        view = access.write(op.buffer, shape)
        return _Port(op.index.value.data, name, shape, dtype, view)
    batch, channels, height, width = shape
    layout = Layout.lines((batch, channels, height, width))
    return _Port(op.index.value.data, name, shape, dtype, access.write_map(op.buffer, layout), layout)


def _output_port(op: kbuf.OutputOp, access: Access) -> _Port:
    dtype, name = element_dtype(op.buffer), op.port_name.data if op.port_name else f"output {op.index.value.data}"
    shape = kbuf.shape_of(op.buffer)
    if kbuf.space_of(op.buffer) is kbuf.Space.KPU:
        shape = (kbuf.byte_size(op.buffer),)
    elif op.shape is not None:
        shape = tuple(int(size) for size in op.shape.get_values())
    return _Port(op.index.value.data, name, shape, dtype, access.read(op.buffer, shape))


def _in_order(ports: list[_Port], what: str) -> list[_Port]:
    ordered = sorted(ports, key=lambda port: port.index)
    indices = [port.index for port in ordered]
    if indices != list(range(len(ports))):
        raise InvalidInputError(f"the {what}s are numbered {indices}, they must count from 0 without gaps")
    return ordered


def _as_array(value: "InputData", port: _Port) -> "NDArray[Any]":
    import numpy as np

    wanted = f"{'x'.join(map(str, port.shape))} of {port.dtype}"
    if isinstance(value, bytes | bytearray | memoryview):
        count = int(np.prod(port.shape)) * port.dtype.itemsize
        if len(value) != count:
            raise InvalidInputError(f"{len(value)} bytes are given, it takes {count} ({wanted})", location=port.name)
        return np.frombuffer(bytearray(value), port.dtype)  # writable: loops are compiled for that alone
    if value.dtype != port.dtype or value.size != int(np.prod(port.shape)):
        given = f"{'x'.join(map(str, value.shape))} of {value.dtype}"
        raise InvalidInputError(f"the array is {given}, it takes {wanted}", location=port.name)
    return value


def _fill(port: _Port, array: "NDArray[Any]") -> None:
    import numpy as np

    if port.layout is None:
        port.view[...] = array.reshape(port.shape)
        return
    copy_map(np.ascontiguousarray(array).reshape(-1), Layout.dense(port.layout.shape), port.view, port.layout)
