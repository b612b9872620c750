"""Models of one operator in all its forms: float32, and the same as int8, uint8 or int16 with scales that fit.

A `Form` is written once, in float32; `quantized` gives it integers: scales of what is computed are taken from the
range that LiteRT's float32 kernel gives, so that results use most of their codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context

from kpuir.dialects.ktensor import TransposeOp
from kpuir.errors import KpuirError
from kpuir.importers.tflite import import_tflite
from kpuir.interpreters.run import run
from kpuir.passes.ktensor_sink_transposes import KTensorSinkTransposesPass
from tests.importers.litert import run_litert
from tests.importers.tflite_builder import Operator, Tensor, build, constant

Array = NDArray[Any]
HALF_PRECISION = 2.0**-10
"""A unit in the last place of float16: results and what is between are rounded to it there, here to float32."""

SAME, VALID = 0, 1
MAP = (1, 4, 6, 8)
NONE, RELU, RELU_N1_TO_1, RELU6, TANH = 0, 1, 2, 3, 4
SYMMETRIC_ONE = (1 / 128, 128)
"""The scale and zero point of results in -1..1."""


def weights(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape) * 7 + len(shape)).uniform(-1, 1, shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def pairs(*values: tuple[int, int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def typed(shape: tuple[int, ...], dtype: str, name: str = "x") -> Tensor:
    return Tensor(shape, dtype, name)


def result(dtype: str) -> tuple[Tensor, ...]:
    return (Tensor((1,), dtype),)


@dataclass(frozen=True)
class Form:
    """One operator: inputs are shapes (float32 inputs), Tensors, arrays (constants) or None."""

    kind: str
    inputs: Sequence[Any]
    table: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    results: Sequence[Tensor] = (Tensor((1,)),)
    low: float = -2.0
    high: float = 2.0
    weights: tuple[int, int | None] | None = None
    """Position of the weights and their axis of channels; the bias is the next input, or the last."""
    fixed: tuple[float, int] | None = None
    """The scale and zero point (of bytes) that int8 and uint8 results must have."""
    same: bool = False
    """Whether results have the quantization of the inputs, which have one for all."""
    custom: str = ""
    weight_bits: int = 8
    """Of int8 weights."""

    def tensors(self) -> list[Tensor | None]:
        """The inputs as tensors."""
        return [_tensor(given, f"x{i}") for i, given in enumerate(self.inputs)]

    def __str__(self) -> str:
        shapes = [one and f"{one.dtype}{list(one.shape)}" for one in self.tensors()]
        return f"{self.kind} of {shapes}, {dict(self.options)}"

    def model(self) -> bytes:
        """The bytes of the file."""
        given = self.tensors()
        tensors = [tensor for tensor in given if tensor is not None]
        numbers = iter(range(len(tensors)))
        positions = [-1 if tensor is None else next(numbers) for tensor in given]
        arguments = [i for i, t in enumerate(tensors) if t.data is None and not t.variable and t.shape != (0,)]
        results = list(range(len(tensors), len(tensors) + len(self.results)))
        tensors += [replace(one, name=f"y{i}") for i, one in enumerate(self.results)]
        operator = Operator(self.kind, positions, results, self.table, self.options, self.custom)
        return build(tensors, [operator], arguments, results)

    def samples(self, seed: int = 0) -> list[Array]:
        """Random arrays for the inputs, as they are stored."""
        rng = np.random.default_rng(seed)
        found = [t for t in self.tensors() if t is not None and t.data is None and not t.variable and t.shape != (0,)]
        return [self._sample(rng, tensor) for tensor in found]

    def _sample(self, rng: np.random.Generator, tensor: Tensor) -> Array:
        if tensor.dtype == "bool":
            return rng.integers(0, 2, tensor.shape).astype(bool)
        if tensor.scale and self.low < 0 <= self.high:
            limits = np.iinfo(tensor.dtype)
            return rng.integers(limits.min, limits.max, tensor.shape, endpoint=True).astype(tensor.dtype)
        values = rng.uniform(self.low, self.high, tensor.shape)
        if tensor.scale:
            limits = np.iinfo(tensor.dtype)
            codes = np.rint(values / tensor.scale[0]) + tensor.zero_point[0]
            return np.clip(codes, limits.min, limits.max).astype(tensor.dtype)
        return np.trunc(values).astype(tensor.dtype) if "int" in tensor.dtype else values.astype(tensor.dtype)


def _tensor(given: Any, name: str) -> Tensor | None:
    if given is None or isinstance(given, Tensor):
        return given
    return Tensor(given, name=name) if isinstance(given, tuple) else constant(given, name)


def quantized(form: Form, dtype: str, *, per_channel: bool = True) -> Form:
    """The form with integer activations (and weights)."""
    if dtype == "uint8":
        per_channel = False
    given = form.tensors()
    weights = -1 if form.weights is None else form.weights[0]
    bias = max(weights + 1, len(given) - 1) if form.weights is not None else -1
    reach = max(abs(form.low), abs(form.high))
    inputs: list[Any] = []
    for position, tensor in enumerate(given):
        if tensor is None or tensor.dtype != "float32":
            inputs.append(tensor)
        elif position == weights:
            axis = form.weights[1] if form.weights and per_channel else None
            inputs.append(_weights(tensor, dtype, axis, form.weight_bits))
        elif position == bias and tensor.data is not None:
            data = next(t for i, t in enumerate(inputs) if t.scale and i != weights)
            inputs.append(_bias(tensor, data, inputs[weights], dtype))
        else:
            wider = 1.0 if form.same else 1 + 0.37 * position
            inputs.append(_activation(tensor, dtype, -reach * 0.9 * wider, reach * wider))
    ranges = run_litert(form.model(), form.samples())
    results: list[Tensor] = []
    for one, array in zip(form.results, ranges, strict=True):
        if one.dtype != "float32":
            results.append(one)
        elif form.same:
            like = next(t for t in inputs if t is not None and t.scale)
            results.append(replace(one, dtype=dtype, scale=like.scale, zero_point=like.zero_point))
        elif form.fixed is not None:
            scale, zero_point = form.fixed
            if dtype == "int16":
                scale, zero_point = 1 / 32768, 32768
            stored = zero_point + int(np.iinfo(dtype).min)
            results.append(replace(one, dtype=dtype, scale=[scale], zero_point=[stored]))
        else:
            results.append(_activation(one, dtype, float(array.min()), float(array.max())))
    return replace(form, inputs=inputs, results=results)


def retyped(form: Form, dtype: str) -> Form:
    """The form with numbers of another type, and no scale."""
    whole = "int" in dtype
    low = max(form.low, 0.0) if "uint" in dtype else form.low
    if form.kind == "CAST":  # numbers that every type holds; casts between all types have forms of their own
        form, low = replace(form, high=100.0), 0.0

    def other(tensor: Tensor) -> Tensor:
        if tensor.dtype != "float32":
            return tensor
        data = tensor.data if tensor.data is None else tensor.data * (4 if whole else 1)
        if data is not None:
            data = np.clip(data, 0 if "uint" in dtype else -60000, 60000).astype(dtype)
        return replace(tensor, dtype=dtype, data=data)

    inputs = [None if tensor is None else other(tensor) for tensor in form.tensors()]
    least = 1.0 if whole and form.low > 0 else low
    return replace(form, inputs=inputs, results=[other(one) for one in form.results], low=least)


def _activation(tensor: Tensor, dtype: str, low: float, high: float) -> Tensor:
    """The tensor (a constant: its codes) in integers that reach from below `low` to above `high`."""
    low, high = min(low, 0.0), max(high, low + 1e-3, 1e-3)
    limits = np.iinfo(dtype)
    if dtype == "int16":
        scale, zero_point = max(-low, high) / 32767, 0
    else:
        scale = (high - low) / 255
        zero_point = round(-low / scale) + limits.min
    data = tensor.data
    if data is not None:
        data = np.clip(np.rint(data.astype(np.float64) / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return replace(tensor, dtype=dtype, scale=[scale], zero_point=[int(zero_point)], data=data)


def _weights(tensor: Tensor, dtype: str, axis: int | None, bits: int) -> Tensor:
    if dtype == "uint8":
        return _activation(tensor, dtype, -1.0, 0.9)
    if tensor.data is None:
        return replace(tensor, dtype="int8", scale=[1 / 64], zero_point=[0])
    axes = tuple(i for i in range(tensor.data.ndim) if i != axis) if axis is not None else None
    most = 2 ** (bits - 1) - 1
    scale = np.abs(tensor.data).max(axes, keepdims=True) / most
    data = np.clip(np.rint(tensor.data / scale), -most, most).astype(np.int8)
    scales = scale.ravel().tolist()
    return replace(tensor, dtype=f"int{bits}", data=data, scale=scales, zero_point=[0] * len(scales), axis=axis or 0)


def _bias(tensor: Tensor, data: Tensor, weights: Tensor, dtype: str) -> Tensor:
    assert tensor.data is not None
    scale = data.scale[0] * np.array(weights.scale)
    kind = "int64" if dtype == "int16" else "int32"
    codes = np.rint(tensor.data / scale).astype(kind)
    return replace(tensor, dtype=kind, data=codes, scale=scale.tolist(), zero_point=[0] * len(scale))


def real(array: Array, tensor: Tensor) -> Array:
    """What stored numbers stand for, in float32."""
    if not tensor.scale:
        return array.astype(np.float32)
    return ((array.astype(np.float64) - tensor.zero_point[0]) * np.float32(tensor.scale[0])).astype(np.float32)


def problem(form: Form, *, steps: Any = 0, seed: int = 0) -> str | None:
    """What is wrong with our results for a form, as imported and after sinking transposes; None if nothing.

    Quantized results, and whole numbers, may differ by `steps`: one number, or one for each.
    """
    model, samples = form.model(), form.samples(seed)
    try:
        wanted = run_litert(model, samples)
    except (RuntimeError, ValueError) as error:
        return f"LiteRT: {str(error).splitlines()[0][:150]}"
    arguments = [t for t in form.tensors() if t is not None and t.data is None and not t.variable and t.shape != (0,)]
    given = [real(array, tensor) for array, tensor in zip(samples, arguments, strict=True)]
    try:
        module = import_tflite(model)
        found = _difference(form, run(module, given), wanted, steps)
        if found is None and any(isinstance(op, TransposeOp) for op in module.walk()):
            KTensorSinkTransposesPass().apply(Context(), module)
            found = _difference(form, run(module, given), wanted, steps)
        module.verify()
    except KpuirError as error:
        return f"{type(error).__name__}: {error}"
    return found


def _difference(form: Form, got: Sequence[Array], wanted: Sequence[Array], steps: Any) -> str | None:
    for ours, theirs, tensor in zip(got, wanted, form.results, strict=True):
        if ours.shape != theirs.shape:
            return f"shape {ours.shape}, LiteRT {theirs.shape}"
        if tensor.scale:
            codes = ours.astype(np.float64) / np.float32(tensor.scale[0]) + tensor.zero_point[0]
            distance = np.abs(codes - theirs)
            if not (distance <= steps + 0.01).all():
                share = float((distance > 0.5).mean())
                return f"{distance.max():.2f} steps from LiteRT, {share:.1%} of {distance.size} off"
        else:
            reference = theirs.astype(np.float32)
            size = max(1e-6, float(np.abs(reference[np.isfinite(reference)]).max(initial=0)))
            relative = HALF_PRECISION if tensor.dtype == "float16" else 1e-5
            most = max(relative * size, steps if "int" in tensor.dtype else 0)
            bad = ~np.isclose(ours, reference, rtol=relative, atol=most, equal_nan=True)
            if bad.any():
                worst = float(np.abs(ours - reference)[bad].max())
                return f"{int(bad.sum())} of {bad.size} differ, by up to {worst:.3g} of {size:.3g}"
    return None
