"""`ktensor-decompose-functions`: scalar functions no kmodel instruction has, out of those that exist.

Before: any `ktensor.activation`, `ktensor.unary` and `ktensor.prelu` left for the CPU. After: only the unary functions
of a kmodel runtime (abs, ceil, cos, exp, floor, log, neg, rsqrt, sin, square), binary operations, and activations that
clamp (relu, relu6, clamp), which instructions do in passing. On quantized values nothing is left to decompose.

    %y = ktensor.activation<sigmoid> %x
      =>
    %n = ktensor.unary<neg> %x
    %e = ktensor.unary<exp> %n
    %d = ktensor.binary<add> %e, %one
    %y = ktensor.binary<div> %one, %d

Every formula holds for all finite x without overflow to NaN; gelu's error function is Abramowitz and Stegun 7.1.26
(error below 1.5e-7).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from kpuir.analysis.instructions import UNARIES
from kpuir.dialects import kpu, ktensor
from kpuir.ir.rewriting import rewrite


class Formula:
    """Builds scalar formulas: operators on wrapped values insert ktensor operations."""

    def __init__(self, rewriter: PatternRewriter, value: SSAValue) -> None:
        self.rewriter = rewriter
        self.value = value

    def _made(self, op: Operation) -> "Formula":
        self.rewriter.insert(op)
        return Formula(self.rewriter, op.results[0])

    def _operand(self, other: "Formula | float") -> SSAValue:
        import numpy as np

        if isinstance(other, Formula):
            return other.value
        rank = len(ktensor.shape_of(self.value))
        return self._made(ktensor.ConstantOp(np.full((1,) * rank, other, np.float32))).value

    def _binary(self, kind: str, other: "Formula | float", swap: bool = False) -> "Formula":
        operands = (self.value, self._operand(other))
        return self._made(ktensor.BinaryOp(kind, *(reversed(operands) if swap else operands)))

    def unary(self, kind: str) -> "Formula":
        """kind(self), one of the runtime's functions."""
        return self._made(ktensor.UnaryOp(kind, self.value))

    def clamp(self, low: float, high: float) -> "Formula":
        """self, limited to [low, high]."""
        return self._made(ktensor.ActivationOp(self.value, ktensor.ActivationAttr.of("clamp", low, high)))

    def maximum(self, other: "Formula | float") -> "Formula":
        """The larger of the two."""
        return self._binary("max", other)

    def minimum(self, other: "Formula | float") -> "Formula":
        """The smaller of the two."""
        return self._binary("min", other)

    def __add__(self, other: "Formula | float") -> "Formula":
        return self._binary("add", other)

    def __sub__(self, other: "Formula | float") -> "Formula":
        return self._binary("sub", other)

    def __rsub__(self, other: float) -> "Formula":
        return self._binary("sub", other, swap=True)

    def __mul__(self, other: "Formula | float") -> "Formula":
        return self._binary("mul", other)

    def __truediv__(self, other: "Formula | float") -> "Formula":
        return self._binary("div", other)

    def __rtruediv__(self, other: float) -> "Formula":
        return self._binary("div", other, swap=True)

    def exp(self) -> "Formula":
        """e to the power of self."""
        return self.unary("exp")


def _sigmoid(x: Formula) -> Formula:
    return 1 / (x.unary("neg").exp() + 1)


def _tanh(x: Formula) -> Formula:
    return 1 - 2 / ((x * 2).exp() + 1)


def _softplus(x: Formula) -> Formula:
    return x.maximum(0) + (x.unary("abs").unary("neg").exp() + 1).unary("log")


_ERF = 0.3275911


def _erf_polynomial(size: Formula, factor: float) -> Formula:
    """(1 - erf(z)) * exp(z^2) of z >= 0, where factor * size is _ERF * z."""
    t = 1 / (size * factor + 1)
    polynomial = t * 1.061405429
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + coefficient) * t
    return polynomial


def _gelu(x: Formula) -> Formula:
    size = x.unary("abs")
    polynomial = _erf_polynomial(size, _ERF / 2**0.5)
    return x.maximum(0) - size * polynomial * (x.unary("square") * -0.5).exp() * 0.5


def _erf(x: Formula) -> Formula:
    tail = _erf_polynomial(x.unary("abs"), _ERF) * x.unary("square").unary("neg").exp()
    return (1 - tail) * sign(x)


def sign(x: Formula) -> Formula:
    """-1, 0 or 1: twice times 2^127 even the smallest number is above 1."""
    return (x * 2.0**127 * 2.0**127).clamp(-1, 1)


def _atan(x: Formula) -> Formula:
    """Of |x| or its reciprocal, whichever is below 1; Abramowitz and Stegun 4.4.49 (error below 2e-8)."""
    size = x.unary("abs")
    t = size.minimum(1 / size)
    square = t.unary("square")
    polynomial = square * _ATAN[0]
    for coefficient in _ATAN[1:]:
        polynomial = (polynomial + coefficient) * square
    small = (polynomial + 1) * t
    beyond = ((size - 1) * 2.0**127).clamp(0, 1)
    return (small + beyond * (math.pi / 2 - small * 2)) * sign(x)


_ATAN = (
    0.0028662257,
    -0.0161657367,
    0.0429096138,
    -0.0752896400,
    0.1065626393,
    -0.1420889944,
    0.1999355085,
    -0.3333314528,
)


def _asin(x: Formula) -> Formula:
    return _atan(x / _sqrt(1 - x.unary("square")))


def _cosh(x: Formula) -> Formula:
    power = x.exp()
    return (power + 1 / power) * 0.5


def _sinh(x: Formula) -> Formula:
    power = x.exp()
    return (power - 1 / power) * 0.5


def _asinh(x: Formula) -> Formula:
    size = x.unary("abs")
    return (size + _sqrt(x.unary("square") + 1)).unary("log") * sign(x)


def _fake_quantize(x: Formula, scale: float, zero_point: float) -> Formula:
    return _round(x / scale).clamp(-zero_point, 255 - zero_point) * scale


def _round(x: Formula) -> Formula:
    """Half to even: floor(x + 1/2), one less where that was a tie and is odd."""
    shifted = x + 0.5
    up = shifted.unary("floor")
    tie = up - shifted.unary("ceil") + 1
    odd = up - (up * 0.5).unary("floor") * 2
    return up - tie * odd


def _sqrt(x: Formula) -> Formula:
    return x * x.maximum(1e-37).unary("rsqrt")


def _elu(x: Formula, alpha: float) -> Formula:
    return x.maximum(0) + (x.minimum(0).exp() - 1) * alpha


def _leaky_relu(x: Formula, alpha: float) -> Formula:
    scaled = x * alpha
    return x.maximum(scaled) if alpha <= 1 else x.minimum(scaled)


_FORMULAS: dict[str, Callable[..., Formula]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "softplus": _softplus,
    "gelu": _gelu,
    "round": _round,
    "sqrt": _sqrt,
    "elu": _elu,
    "leaky_relu": _leaky_relu,
    "swish": lambda x: x * _sigmoid(x),
    "hard_sigmoid": lambda x, alpha, beta: (x * alpha + beta).clamp(0, 1),
    "hard_swish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "mish": lambda x: x * _tanh(_softplus(x)),
    "gelu_tanh": lambda x: x * _sigmoid((x + x.unary("square") * x * 0.044715) * (2 * (2 / 3.141592653589793) ** 0.5)),
    "fake_quantize": _fake_quantize,
    "erf": _erf,
    "sign": sign,
    "tan": lambda x: x.unary("sin") / x.unary("cos"),
    "asin": _asin,
    "acos": lambda x: math.pi / 2 - _asin(x),
    "atan": _atan,
    "sinh": _sinh,
    "cosh": _cosh,
    "asinh": _asinh,
    "acosh": lambda x: (x + _sqrt(x.unary("square") - 1)).unary("log"),
    "atanh": lambda x: ((x + 1) / (1 - x)).unary("log") * 0.5,
    "add": lambda x, c: x + c,
    "sub": lambda x, c: x - c,
    "rsub": lambda x, c: c - x,
    "mul": lambda x, c: x * c,
    "div": lambda x, c: x / c,
    "rdiv": lambda x, c: c / x,
    "min": lambda x, c: x.minimum(c),
    "max": lambda x, c: x.maximum(c),
}


class DecomposeFunction(RewritePattern):
    """A scalar function becomes its formula."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one activation or unary function."""
        if isinstance(op, ktensor.ActivationOp):
            name, values = op.function.kind.value, op.function.values
        elif isinstance(op, ktensor.UnaryOp):
            name, values = op.kind.data.value, ()
        else:
            return
        x = Formula(rewriter, op.operands[0])
        if name in _FORMULAS:
            rewriter.replace(op, [], [_FORMULAS[name](x, *values).value])
        elif isinstance(op, ktensor.ActivationOp) and name in UNARIES:
            rewriter.replace(op, [], [x.unary(name).value])


class DecomposePRelu(RewritePattern):
    """prelu(x) = max(x, 0) + slope * min(x, 0)."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        """Rewrite one prelu."""
        if not isinstance(op, ktensor.PReluOp):
            return
        x = Formula(rewriter, op.input)
        negative = x.minimum(0) * Formula(rewriter, op.slope)
        rewriter.replace(op, [], [(x.maximum(0) + negative).value])


@dataclass(frozen=True)
class KTensorDecomposeFunctionsPass(ModulePass):
    """Express scalar functions by those that kmodel instructions have."""

    name = "ktensor-decompose-functions"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        rewrite(op, DecomposeFunction(), DecomposePRelu(), keep=(kpu.REASON,))
