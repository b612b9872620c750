"""Instructions that work on each element by itself."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kpuir.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

FLOAT_MAX = float(np.finfo(np.float32).max)


def clamp(values: "F32", act: tuple[float, float]) -> None:
    """Clamp in place to (min, max); infinities are clamped too, NaN stays NaN (`kmodel-v4.md` 3)."""
    low, high = np.float32(act[0]), np.float32(act[1])
    np.copyto(values, high, where=high < values)
    np.copyto(values, low, where=values < low)


def saturate(values: "NDArray[Any]") -> "U8":
    """Integers clamped to 0..255."""
    return np.clip(values, 0, 255).astype(np.uint8)


def fixed_point(values: "NDArray[Any]", mul: int, shift: int) -> "NDArray[np.int64]":
    """v·mul / 2^shift, halves towards +infinity, truncated to 32 bits (`kmodel-v4.md` 6).

    `values` are 32-bit integers of any integer type; shift 0..62. Other shifts break in the runtime; here they are
    refused with InvalidInputError.
    """
    if not 0 <= shift <= 62:
        raise InvalidInputError(f"the fixed-point shift is {shift}, the runtime can do 0 to 62")
    products = values.astype(np.int64) * np.int64(mul)
    if shift:
        products = (products + np.int64(1 << (shift - 1))) >> np.int64(shift)
    return products.astype(np.int32).astype(np.int64)


_MATHEMATICAL = ("cos", "exp", "log", "sin")


def _mathematical(kind: str, x: "F32") -> "F32":
    from kpuir.interpreters.kernels.neutral.loops import mathematical

    out = np.empty(x.shape, np.float32)
    mathematical(_MATHEMATICAL.index(kind), np.ascontiguousarray(x).reshape(-1), out.reshape(-1))
    return out


_UNARY: dict[str, Callable[["F32"], "NDArray[Any]"]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "cos": lambda x: _mathematical("cos", x),
    "exp": lambda x: _mathematical("exp", x),
    "floor": np.floor,
    "log": lambda x: _mathematical("log", x),
    "neg": np.negative,
    "rsqrt": lambda x: np.float32(1) / np.sqrt(x),
    "sin": lambda x: _mathematical("sin", x),
    "square": np.square,
}

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": lambda a, b: np.where(b < a, b, a),
    "max": lambda a, b: np.where(a < b, b, a),
}


def _named(table: dict[str, Any], kind: str, what: str) -> Any:
    if kind not in table:
        raise InvalidInputError(f"there is no {what} operator {kind!r}, there are {', '.join(table)}")
    return table[kind]


def unary(kind: str, x: "F32", out: "F32") -> None:
    """A function of each element: abs, ceil, cos, exp, floor, log, neg, rsqrt (1/sqrt), sin, square."""
    function = _named(_UNARY, kind, "unary")
    with np.errstate(all="ignore"):
        out[...] = function(x)


def broadcast(x: "NDArray[Any]", shape: tuple[int, ...]) -> "NDArray[Any]":
    """`x` seen at every coordinate of `shape`: index i where i is below x's dimension, else 0 (`kmodel-v4.md` 6)."""
    if all(own in (1, wanted) for own, wanted in zip(x.shape, shape, strict=True)):
        return np.broadcast_to(x, shape)
    steps = [np.arange(wanted) for wanted in shape]
    return x[np.ix_(*(np.where(i < own, i, 0) for i, own in zip(steps, x.shape, strict=True)))]


def broadcast_view(x: "NDArray[Any]", shape: tuple[int, ...]) -> "Callable[[], NDArray[Any]]":
    """What gives `broadcast(x, shape)` each time it is called: a view made once, where the shapes allow one."""
    if all(own in (1, wanted) for own, wanted in zip(x.shape, shape, strict=True)):
        view = np.broadcast_to(x, shape)
        return lambda: view
    return lambda: broadcast(x, shape)


def binary(kind: str, a: "F32", b: "F32", out: "F32", act: tuple[float, float]) -> None:
    """out = clamp(op(a, b)), operands already of out's shape (see `broadcast`)."""
    function = _named(_BINARY, kind, "binary")
    with np.errstate(all="ignore"):
        out[...] = function(a, b)
    clamp(out, act)


def quantized_binary(
    kind: str,
    a: "U8",
    b: "U8",
    out: "U8",
    a_scaling: tuple[int, int, int],
    b_scaling: tuple[int, int, int],
    out_scaling: tuple[int, int, int],
) -> None:
    """out = sat8(fx(op(a', b'), mul, shift) + offset) with a' = fx(a + offset, mul, shift).

    Scalings are (offset, mul, shift).
    div rounds to nearest by a' + b'/2, both divisions truncating; a division by zero gives -1, as on the device
    (the host runtime traps).
    """
    _named(_BINARY, kind, "binary")
    left, right = (
        fixed_point(x.astype(np.int64) + offset, mul, shift)
        for x, (offset, mul, shift) in ((a, a_scaling), (b, b_scaling))
    )
    result = _truncating_division(left, right) if kind == "div" else _BINARY[kind](left, right)
    offset, mul, shift = out_scaling
    out[...] = saturate(fixed_point(result.astype(np.int32), mul, shift) + offset)


def _truncating_division(a: "NDArray[np.int64]", b: "NDArray[np.int64]") -> "NDArray[np.int64]":
    half = np.abs(b) // 2 * np.sign(b)
    total = (a + half).astype(np.int32).astype(np.int64)
    quotient = np.abs(total) // np.maximum(np.abs(b), 1)
    return np.where(b == 0, -1, quotient * np.sign(total) * np.sign(b))


def dequantize(x: "U8", out: "F32", zero_point: int, scale: float) -> None:
    """out = (x - zero_point)·(1/scale), the reciprocal rounded to float first; scale is units per real unit."""
    inverse = np.float32(1) / np.float32(scale)
    np.multiply((x.astype(np.int32) - np.int32(zero_point)).astype(np.float32), inverse, out=out)


def quantize(x: "F32", out: "U8", zero_point: int, scale: float) -> None:
    """out = sat8(round(x·scale + zero_point)), ties away from zero; NaN and values beyond 32 bits become 0."""
    with np.errstate(all="ignore"):
        value = x * np.float32(scale) + np.float32(zero_point)
        whole = np.trunc(value)
        whole += np.copysign(np.abs(value - whole) >= np.float32(0.5), value).astype(np.float32)
        fits = (whole >= np.float32(-(2.0**31))) & (whole < np.float32(2.0**31))
        out[...] = np.where(fits, np.clip(whole, 0, 255), np.float32(0)).astype(np.uint8)


def table_lookup(x: "U8", table: "U8", out: "U8") -> None:
    """out = table[x], 256 entries."""
    np.take(table, x, out=out)


def softmax(x: "F32", out: "F32", beta: float) -> None:
    """Rows of [outer, inner]: e = exp((x - max)·beta), divided by the row's sum in order."""
    with np.errstate(all="ignore"):
        powers = _mathematical("exp", (x - x.max(1, keepdims=True)) * np.float32(beta))
        total = np.add.accumulate(powers, axis=1)[:, -1:]
        np.divide(powers, total, out=out)


_NNIL_UNARY = list(_UNARY)
_NNIL_BINARY = list(_BINARY)
_NNIL_CONSTANTS = {0x04: 0.0, 0x05: 1.0}
_NNIL_STACK = 64


def nnil(code: bytes, x: "F32", out: "F32") -> None:
    """A stack program on every element at once (`kmodel-v4.md` 8); without a return `out` keeps what it holds.

    Raises InvalidInputError, with the byte's position, for an unknown code, an empty or overflowing stack, or a
    literal cut short.
    """
    stack: list[NDArray[Any]] = []
    position = 0

    def pop() -> "NDArray[Any]":
        if not stack:
            raise InvalidInputError(f"nnil: byte {position}: {code[position]:#04x} finds the stack empty")
        return stack.pop()

    with np.errstate(all="ignore"):
        while position < len(code):
            byte = code[position]
            if byte == 0xA0:
                out[...] = pop()
                return
            if byte == 0x01:
                top = pop()
                stack += [top, top]
            elif byte == 0x02:
                pop()
            elif byte == 0x03:
                stack.append(x)
            elif byte in _NNIL_CONSTANTS:
                stack.append(np.full_like(x, _NNIL_CONSTANTS[byte]))
            elif byte == 0x06:
                literal = code[position + 1 : position + 5]
                if len(literal) < 4:
                    raise InvalidInputError(f"nnil: byte {position}: the literal is cut short")
                stack.append(np.full_like(x, np.frombuffer(literal, "<f4")[0]))
                position += 4
            elif 0x20 <= byte < 0x20 + len(_NNIL_UNARY):
                result = np.empty_like(x)
                unary(_NNIL_UNARY[byte - 0x20], pop(), result)
                stack.append(result)
            elif 0x40 <= byte < 0x40 + len(_NNIL_BINARY):
                right, left = pop(), pop()
                stack.append(_BINARY[_NNIL_BINARY[byte - 0x40]](left, right))
            elif byte == 0x80:
                high, low, value = pop(), pop(), pop()
                value = np.where(high < value, high, value)
                stack.append(np.where(value < low, low, value))
            elif byte != 0x00:
                raise InvalidInputError(f"nnil: byte {position}: {byte:#04x} is no instruction")
            if len(stack) > _NNIL_STACK:
                raise InvalidInputError(
                    f"nnil: byte {position}: the stack holds {_NNIL_STACK} values, this is one more"
                )
            position += 1
