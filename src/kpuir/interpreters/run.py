"""Runs a module at ktensor or kpu level."""

from collections.abc import Callable, Container, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.interpreter import Interpreter, PythonValues
from xdsl.ir import Operation, SSAValue
from xdsl.utils.exceptions import InterpretationError

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels.blas import one_blas_thread
from kpuir.interpreters.ktensor import KTensorFunctions, storage_dtype
from kpuir.ir.functions import ENTRY, entry_function

Array: TypeAlias = NDArray[Any]
Observer: TypeAlias = Callable[[SSAValue, Array], None]
Replacer: TypeAlias = Callable[[SSAValue, Array], Array]


class _Listener(Interpreter.Listener):
    """Hands every computed value to an observer."""

    def __init__(self, observe: Observer) -> None:
        self.observe = observe

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        if _observes_itself(op):
            return
        for value, array in zip(op.results, results, strict=True):
            self.observe(value, array)


def run(module: ModuleOp, inputs: Sequence[Array], *, observe: Observer | None = None) -> list[Array]:
    """Run `@main` on one array for each argument and return one for each result; see `Evaluator`."""
    return Evaluator(module, observe).run(inputs)


class Evaluator:
    """Runs `@main` of a module, which must not change meanwhile, on as many inputs as come.

    Quantized tensors and feature maps are uint8 arrays. `observe` is called with each argument and each computed value
    (constants excepted) and its array; for a float `kpu.conv2d` with a mean pool that is the array before pooling.
    `replace` is called with the same, though always what the operation gives, and what it returns is used instead.
    """

    def __init__(self, module: ModuleOp, observe: Observer | None = None, replace: Replacer | None = None) -> None:
        self._replace = replace
        self._block = entry_function(module).body.block
        self._observe = observe
        self._interpreter = Interpreter(module, listeners=() if observe is None else (_Listener(observe),))
        self._interpreter.register_implementations(KTensorFunctions())
        if any(op.name.startswith("kpu.") for op in self._block.ops):
            from kpuir.interpreters.kpu import KpuFunctions

            self._interpreter.register_implementations(KpuFunctions(observe))
        self._constants: dict[SSAValue, Array] = {
            op.output: op.array for op in self._block.ops if isinstance(op, ktensor.ConstantOp)
        }
        self._steps = [op for op in self._block.ops if not isinstance(op, ktensor.ConstantOp)]
        self._dead = _values_dead_after(self._steps, self._constants)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """One array for each result, given one for each argument, of its shape; they are converted to its element type.

        Raises InvalidInputError for wrong inputs and for operations that are of neither level.
        """
        arguments = self._block.args
        if len(inputs) != len(arguments):
            raise InvalidInputError(f"@{ENTRY} takes {len(arguments)} inputs, but {len(inputs)} are given")
        arrays = [_checked(value, array) for value, array in zip(arguments, inputs, strict=True)]
        if self._observe is not None:
            for value, array in zip(arguments, arrays, strict=True):
                self._observe(value, array)
        try:
            # For products this small a second thread costs more than it gives, and a lot on a busy machine.
            with one_blas_thread():
                return self._results(dict(zip(arguments, arrays, strict=True)))
        except InterpretationError as error:
            raise InvalidInputError(f"only modules at ktensor and kpu level can be run: {error}") from error

    def _results(self, values: dict[SSAValue, Array]) -> list[Array]:
        """The operands of the return; `values` are the arguments' arrays."""
        if self._replace is not None:
            values = {value: self._replace(value, array) for value, array in values.items()}
        values.update(self._constants)
        for op, dead in zip(self._steps, self._dead, strict=True):
            operands = tuple(values[operand] for operand in op.operands)
            if isinstance(op, func.ReturnOp):
                return list(operands)
            results = self._interpreter.run_op(op, operands)
            if self._replace is not None:
                results = tuple(map(self._replace, op.results, results))
            values.update(zip(op.results, results, strict=True))
            # Memory that is used again while it is in the cache is much faster than new memory.
            for value in dead:
                del values[value]
        raise InterpretationError(f"@{ENTRY} does not return")


def _values_dead_after(steps: Sequence[Operation], constants: Container[SSAValue]) -> list[list[SSAValue]]:
    """For each operation what it computes or uses and no later one does, constants excepted."""
    seen: set[SSAValue] = set()
    dead: list[list[SSAValue]] = []
    for op in reversed(steps):
        last = {value for value in (*op.operands, *op.results) if value not in seen and value not in constants}
        seen |= last
        dead.append(list(last))
    return dead[::-1]


def _checked(value: SSAValue, array: Array) -> Array:
    """An input as its argument's element type. Raises InvalidInputError where the shapes differ."""
    shape = ktensor.shape_of(value)
    if array.shape != shape:
        name = value.name_hint or "input"
        raise InvalidInputError(f"{name} has shape {list(shape)}, but the array given for it {list(array.shape)}")
    dtype = storage_dtype(value) if value.type.name == "tensor" else np.dtype(np.uint8)
    return np.require(array, dtype, "C")


def _observes_itself(op: Operation) -> bool:
    """Whether the implementation of an operation has called the observer already."""
    if op.name != "kpu.conv2d":
        return False
    from kpuir.dialects import kpu

    return isinstance(op, kpu.Conv2dOp) and op.pool_kind.is_mean
