"""What the conversion of every layer and function shares: constants, sums and functions of floats, refusals."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from xdsl.dialects import func
from xdsl.ir import Operation, SSAValue

from kpuir.dialects import kbuf
from kpuir.ir.locations import layer_name
from kpuir.passes.kbuf_legalize_v3.legalizer import Legalizer, RefusalError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]
Operand: TypeAlias = tuple[SSAValue, Shape]
"""A dense tensor: its buffer, and its shape of four dimensions."""
Convert = Callable[["Raiser", Any], None]

RAISES: dict[type[Operation], Convert] = {}
"""How each instruction of other versions becomes instructions of v4."""
NO_CLAMP = (-kbuf.FLOAT_MAX, kbuf.FLOAT_MAX)
_CLOSE = 1e-3
"""How far from a whole number a zero point may be: rounding scale and bias to float32 moves it by 3e-5 at most."""


def raises(*kinds: type[Operation]) -> Callable[[Convert], Convert]:
    """Register a function as the conversion of some instructions."""

    def register(function: Convert) -> Convert:
        RAISES.update(dict.fromkeys(kinds, function))
        return function

    return register


class Raiser(Legalizer):
    """Replaces the instructions of a function by those of v4, in a module for `version`."""

    def __init__(self, function: func.FuncOp, version: str) -> None:
        super().__init__(function)
        self.version = version

    def attempt(self, op: Operation, action: Callable[[], None]) -> None:
        """Run `action`; a refusal is a problem of an operation's layer."""
        try:
            action()
        except RefusalError as refusal:
            self.problems.append((layer_name(op), str(refusal)))

    def made(self, array: "NDArray[Any]") -> SSAValue:
        """A constant."""
        return self.emit(kbuf.ConstantOp(array)).result

    def number(self, value: float) -> Operand:
        """A constant of one float."""
        import numpy as np

        return self.made(np.array([value], np.float32)), (1, 1, 1, 1)

    def floats(self, shape: Shape) -> Operand:
        """A new buffer of floats."""
        return self.alloc(shape), shape

    def binary(self, kind: str, a: Operand, b: Operand, output: Operand, act: tuple[float, float] = NO_CLAMP) -> None:
        """Insert a binary operation."""
        shapes = {"a_shape": a[1], "b_shape": b[1], "out_shape": output[1]}
        self.emit(kbuf.BinaryOp(a[0], b[0], output[0], op=kind, act=act, **shapes))

    def unary(self, kind: str, source: Operand, output: Operand) -> None:
        """Insert a function of floats."""
        self.emit(kbuf.UnaryOp(source[0], output[0], op=kind))

    def logistic(self, source: Operand, output: Operand) -> None:
        """Insert 1 / (1 + exp(-x)), as `ktensor-decompose-functions` makes it."""
        steps = [self.floats(source[1]) for _ in range(3)]
        self.unary("neg", source, steps[0])
        self.unary("exp", steps[0], steps[1])
        self.binary("add", steps[1], self.number(1.0), steps[2])
        self.binary("div", self.number(1.0), steps[2], output)

    def dequantize(self, source: SSAValue, output: Operand, scale: float, bias: float) -> None:
        """Insert q * scale + bias."""
        zero_point = _zero_point(scale, bias)
        if zero_point is not None:
            self.emit(kbuf.DequantizeOp(source, output[0], zero_point=zero_point, scale=1 / scale))
            return
        scaled = self.floats(output[1])
        self.emit(kbuf.DequantizeOp(source, scaled[0], zero_point=0, scale=1 / scale))
        self.binary("add", scaled, self.number(bias), output)

    def quantize(self, source: Operand, output: SSAValue, scale: float, bias: float) -> None:
        """Insert sat8(round((x - bias) / scale))."""
        zero_point = _zero_point(scale, bias)
        if zero_point is None:
            moved = self.floats(source[1])
            self.binary("sub", source, self.number(bias), moved)
            source, zero_point = moved, 0
        self.emit(kbuf.QuantizeOp(source[0], output, zero_point=zero_point, scale=1 / scale))

    def copy_bytes(self, sources: list[SSAValue], output: SSAValue) -> None:
        """Insert a copy of buffers of one element type, one behind the other."""
        size = kbuf.element_size(output)
        dims = [kbuf.byte_size(one) // size for one in sources]
        self.emit(kbuf.ConcatOp(sources, output, inner_size=size, outer_size=1, dims=dims))


def _zero_point(scale: float, bias: float) -> int | None:
    """The byte that stands for 0, if there is one."""
    exact = -bias / scale
    return round(exact) if abs(exact - round(exact)) < _CLOSE else None
