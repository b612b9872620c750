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

import math
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f64
from xdsl.passes import ModulePass

from kpuir.analysis.bounds import UNKNOWN, Bounds, Range, convolution_bounds, functions_of
from kpuir.analysis.functions import has_own_scales
from kpuir.dialects import kpu, ktensor
from kpuir.ir.functions import CODES, argument_attributes, entry_function, set_argument_attribute
from kpuir.ir.rewriting import rewrite
from kpuir.passes.kpu_fuse_activations import FuseActivation, HoistActivation
from kpuir.passes.kpu_quantize import reaching_values
from kpuir.passes.layers import constants_of

_POINTS = 4097


def _finite(*numbers: float) -> bool:
    return all(map(math.isfinite, numbers))


def _through(functions: tuple[ktensor.ActivationAttr, ...], bounds: Range) -> Range:
    """The range of functions of numbers in a range, found by trying many."""
    import numpy as np

    from kpuir.interpreters.kernels.elementwise import apply

    if (functions and functions[-1].quantized) or not _finite(*bounds):
        return UNKNOWN  # fake_quantize says it, or nothing does
    values = np.linspace(*bounds, _POINTS)
    for function in functions:
        values = apply(function.kind.value, function.values, values)
    found = float(values.min()), float(values.max())
    return found if _finite(*found) else UNKNOWN


class _ThroughLayers(Bounds):
    """Interval arithmetic that goes on through layers and functions, from the codes of the arguments."""

    def __init__(self, function: func.FuncOp) -> None:
        super().__init__()
        for argument in function.body.block.args:
            lattice = argument_attributes(function, argument.index).get(kpu.LATTICE)
            if isinstance(lattice, ktensor.QuantizedType):
                self.known[argument] = lattice.bounds

    def layer(self, op: kpu.Conv2dOp) -> Range:
        """The range of a convolution behind its functions; around a map it reads 0."""
        (low, high), constants = self.of(op.input), constants_of(op)
        if constants is None or not _finite(low, high):
            return UNKNOWN
        return _through(functions_of(op), convolution_bounds(*constants, min(low, 0.0), max(high, 0.0)))

    def function(self, op: ktensor.ActivationOp | ktensor.UnaryOp) -> Range:
        """The range of a function of numbers."""
        return _through(functions_of(op), self.of(op.input))


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
        bounds = _ThroughLayers(function)
        for inner in function.walk():
            found = bounds.of(inner.results[0]) if len(inner.results) == 1 else UNKNOWN
            if _finite(*found) and not isinstance(inner, ktensor.ConstantOp):
                inner.attributes.setdefault(kpu.RANGE, DenseArrayBase.from_list(f64, found))
