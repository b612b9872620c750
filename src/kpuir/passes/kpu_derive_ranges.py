"""`kpu-derive-ranges`: the ranges that follow from the scales that a quantized model brings with it.

Before: a float module at the `kpu` level with `fake_quantize` functions, calibrated or not. After: no value in front of
a KPU layer is without `kpu.range` that has bounds by interval arithmetic; an argument that is rounded first has the
scale and zero point as its `kpu.lattice`, and is rounded no more.

    func.func @main(%x: tensor<1x3x8x8xf32>) {
      %q = ktensor.activation<fake_quantize, 0.5, 128> %x
      %y = kpu.conv2d %q, %w, %b
      =>
    func.func @main(%x: tensor<1x3x8x8xf32> {kpu.lattice = !ktensor.quantized<ui8, 0.5, 128>}) {
      %y = kpu.conv2d %x, %w, %b {kpu.range = array<f64: -64.0, 63.5>}

Such bounds are wide, so they are taken only where no `fake_quantize` says better and no dataset has said anything:
between the layers that one layer of the model became. Float models are left alone.
"""

from dataclasses import dataclass
from typing import TypeAlias

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f64
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from kpuir.analysis.bounds import convolution_bounds, function_bounds
from kpuir.analysis.functions import has_own_scales
from kpuir.dialects import kpu, ktensor
from kpuir.ir.functions import CODES, argument_attributes, entry_function, set_argument_attribute
from kpuir.ir.rewriting import rewrite
from kpuir.passes.kpu_fuse_activations import FuseActivation, HoistActivation
from kpuir.passes.kpu_quantize import reaching_values
from kpuir.passes.layers import constants_of

Range: TypeAlias = tuple[float, float]

_POINTS = 4097


def _through(functions: "tuple[ktensor.ActivationAttr, ...]", bounds: Range) -> Range | None:
    """The range of functions of numbers in a range, found by trying many; None where one is not finite."""
    import numpy as np

    from kpuir.interpreters.kernels.elementwise import apply

    values = np.linspace(*bounds, _POINTS)
    for function in functions:
        values = apply(function.kind.value, function.values, values)
    found = float(values.min()), float(values.max())
    return found if np.isfinite(found).all() else None


def _convolved(op: kpu.Conv2dOp, bounds: Range) -> Range | None:
    """The range of a convolution before its functions; around a map it reads 0."""
    constants = constants_of(op)
    return None if constants is None else convolution_bounds(*constants, min(bounds[0], 0.0), max(bounds[1], 0.0))


def _combined(op: ktensor.BinaryOp, lhs: Range, rhs: Range) -> Range | None:
    """The range of an operation on two numbers."""
    match op.kind.data:
        case ktensor.BinaryKind.ADD:
            return lhs[0] + rhs[0], lhs[1] + rhs[1]
        case ktensor.BinaryKind.SUB:
            return lhs[0] - rhs[1], lhs[1] - rhs[0]
        case ktensor.BinaryKind.MUL:
            products = [a * b for a in lhs for b in rhs]
            return min(products), max(products)
        case ktensor.BinaryKind.MIN:
            return min(lhs[0], rhs[0]), min(lhs[1], rhs[1])
        case ktensor.BinaryKind.MAX:
            return max(lhs[0], rhs[0]), max(lhs[1], rhs[1])
        case _:
            return None


class _Bounds:
    """Interval arithmetic over a function, in order."""

    def __init__(self, function: func.FuncOp) -> None:
        self.known: dict[SSAValue, Range] = {}
        for argument in function.body.block.args:
            lattice = argument_attributes(function, argument.index).get(kpu.LATTICE)
            if isinstance(lattice, ktensor.QuantizedType):
                self.known[argument] = lattice.bounds

    def add(self, op: Operation) -> None:
        """Look at one operation."""
        parts = [self.known.get(value) for value in op.operands]
        found = self._of(op, parts[0] if parts else None, [part for part in parts if part is not None])
        if found is not None:
            low, high = function_bounds(op.results[0])
            self.known[op.results[0]] = max(found[0], low), min(found[1], high)

    def _of(self, op: Operation, first: Range | None, parts: list[Range]) -> Range | None:
        if isinstance(op, ktensor.ConstantOp):
            array = op.array
            return float(array.min(initial=0)), float(array.max(initial=0))
        if isinstance(op, ktensor.SoftmaxOp):
            return 0.0, 1.0
        if isinstance(op, kpu.Conv2dOp | ktensor.ActivationOp):
            functions = op.activation.data if isinstance(op, kpu.Conv2dOp) else (op.function,)
            own = functions[-1].quantized if functions else None
            if own is not None:
                return own.bounds
            inner = _convolved(op, first) if isinstance(op, kpu.Conv2dOp) and first is not None else first
            return None if inner is None else _through((*functions,), inner)
        if first is None or len(parts) != len(op.operands):
            return None
        if isinstance(op, ktensor.MaxPool2dOp | ktensor.ResizeOp) or op.has_trait(ktensor.MovesElements):
            return first
        if isinstance(op, ktensor.AveragePool2dOp) or op.has_trait(ktensor.MovesElementsOrZero):
            return min(first[0], 0.0), max(first[1], 0.0)
        if isinstance(op, kpu.PadOp | ktensor.PadOp):
            value = op.pad_value if isinstance(op, ktensor.PadOp) else op.value.value.data
            return min(first[0], value), max(first[1], value)
        if isinstance(op, ktensor.ConcatOp | kpu.ConcatOp):
            return min(0.0, *(low for low, _ in parts)), max(0.0, *(high for _, high in parts))
        if isinstance(op, ktensor.ReduceOp):
            return None if op.kind.data == ktensor.ReduceKind.SUM else first
        if isinstance(op, ktensor.UnaryOp):
            return _through((ktensor.ActivationAttr.of(op.kind.data.value),), first)
        return _combined(op, first, parts[1]) if isinstance(op, ktensor.BinaryOp) else None


def _enter(function: func.FuncOp) -> None:
    """Arguments that are rounded before anything else carry scale and zero point themselves.

    One that is no codes in the source model has to reach a layer, or nothing would round it.
    """
    reaching = reaching_values(function)
    for argument in function.body.block.args:
        users = [use.operation for use in argument.uses]
        kinds = {user.function.quantized if isinstance(user, ktensor.ActivationOp) else None for user in users}
        kind = kinds.pop() if len(kinds) == 1 else None
        codes = CODES in argument_attributes(function, argument.index)
        if kind is None or not (codes or any(user.results[0] in reaching for user in users)):
            continue
        set_argument_attribute(function, argument.index, kpu.LATTICE, kind)
        for user in users:
            user.results[0].replace_all_uses_with(argument)
            user.detach()
            user.erase()


@dataclass(frozen=True)
class KpuDeriveRangesPass(ModulePass):
    """Derive ranges of values from the scales of a quantized model."""

    name = "kpu-derive-ranges"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the module."""
        if not has_own_scales(op):
            return
        rewrite(op, FuseActivation(), HoistActivation())  # behind the layers that legalization has made
        function = entry_function(op)
        _enter(function)
        bounds = _Bounds(function)
        for inner in function.walk():
            if len(inner.results) == 1:
                bounds.add(inner)
        for value, found in bounds.known.items():
            owner = value.owner
            if isinstance(owner, Operation) and not isinstance(owner, ktensor.ConstantOp):
                owner.attributes.setdefault(kpu.RANGE, DenseArrayBase.from_list(f64, found))
