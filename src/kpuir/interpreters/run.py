"""Runs a module at ktensor or kpu level."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    impl_callable,
    impl_terminator,
    register_impls,
)
from xdsl.ir import Operation, SSAValue
from xdsl.utils.exceptions import InterpretationError

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.interpreters.ktensor import KTensorFunctions, storage_dtype
from kpuir.ir.functions import ENTRY, entry_function

Array: TypeAlias = NDArray[Any]
Observer: TypeAlias = Callable[[SSAValue, Array], None]


@register_impls
class _EntryFunctions(InterpreterFunctions):
    """Functions and their returns. xDSL has them too, in a package whose import takes longer than many a model."""

    @impl_callable(func.FuncOp)
    def call(self, interpreter: Interpreter, op: func.FuncOp, args: PythonValues) -> PythonValues:
        """Run the body."""
        return interpreter.run_ssacfg_region(op.body, args, op.sym_name.data)

    @impl_terminator(func.ReturnOp)
    def return_(
        self, interpreter: Interpreter, op: func.ReturnOp, args: PythonValues
    ) -> tuple[ReturnedValues, PythonValues]:
        """Give the operands back."""
        return ReturnedValues(args), ()


class _Listener(Interpreter.Listener):
    """Hands every computed value to an observer."""

    def __init__(self, observe: Observer) -> None:
        self.observe = observe

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        if isinstance(op, ktensor.ConstantOp) or _observes_itself(op):
            return
        for value, array in zip(op.results, results, strict=True):
            self.observe(value, array)


def run(module: ModuleOp, inputs: Sequence[Array], *, observe: Observer | None = None) -> list[Array]:
    """Run `@main` on one array for each argument and return one for each result.

    Arrays have the shape of the argument and are converted to its element type; quantized tensors and feature maps are
    uint8 arrays. `observe` is called with each argument and each computed value (constants excepted) and its array;
    for a float `kpu.conv2d` with a mean pool that is the array before pooling. Raises InvalidInputError for wrong
    inputs and for operations that are of neither level.
    """
    arguments = entry_function(module).body.block.args
    if len(inputs) != len(arguments):
        raise InvalidInputError(f"@{ENTRY} takes {len(arguments)} inputs, but {len(inputs)} are given")
    arrays = [_checked(value, array) for value, array in zip(arguments, inputs, strict=True)]
    interpreter = Interpreter(module, listeners=() if observe is None else (_Listener(observe),))
    interpreter.register_implementations(_EntryFunctions())
    interpreter.register_implementations(KTensorFunctions())
    if any(op.name.startswith("kpu.") for op in module.walk()):
        from kpuir.interpreters.kpu import KpuFunctions

        interpreter.register_implementations(KpuFunctions(observe))
    if observe is not None:
        for value, array in zip(arguments, arrays, strict=True):
            observe(value, array)
    try:
        return list(interpreter.call_op(ENTRY, tuple(arrays)))
    except InterpretationError as error:
        raise InvalidInputError(f"only modules at ktensor and kpu level can be run: {error}") from error


def _checked(value: SSAValue, array: Array) -> Array:
    """An input as its argument's element type. Raises InvalidInputError where the shapes differ."""
    shape = ktensor.shape_of(value)
    if array.shape != shape:
        name = value.name_hint or "input"
        raise InvalidInputError(f"{name} has shape {list(shape)}, but the array given for it {list(array.shape)}")
    dtype = storage_dtype(value) if value.type.name == "tensor" else np.dtype(np.uint8)
    return np.ascontiguousarray(array, dtype)


def _observes_itself(op: Operation) -> bool:
    """Whether the implementation of an operation has called the observer already."""
    if op.name != "kpu.conv2d":
        return False
    from kpuir.dialects import kpu

    return isinstance(op, kpu.Conv2dOp) and op.pool_kind.is_mean
