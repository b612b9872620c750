"""How far each layer of a quantized module is from the float module it was made of, and why.

The two are compared value by value: `number_layers` gives what the float module computes numbers (`kpu.number`), which
quantization and all passes behind it hand on. What lost its number, or has another shape, is listed without figures.

Two runs of the quantized module tell where errors come from. In one everything computes with what the layers before it
give: the noise accumulates. In the other each layer gets the float values, rounded to the bytes it reads: what is left
is its own noise. The signal-to-noise ratio is 10 log10(sum of squares / sum of squared errors), over all samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, log10
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from xdsl.dialects.builtin import IntegerAttr, ModuleOp, TensorType, i64
from xdsl.ir import Operation, SSAValue

from kpuir.analysis.calibration import kept_region
from kpuir.dialects import kpu, ktensor
from kpuir.ir.functions import NAME, argument_attributes, entry_function
from kpuir.ir.locations import layer_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.parameters import QuantizationParameters

    Array: TypeAlias = NDArray[Any]
    Samples: TypeAlias = Sequence[Sequence[NDArray[np.float32]]]

LOW_SNR = 10.0
"""Decibels: a layer whose accumulated noise is more than this (a tenth of the signal's power) is broken."""
SHARP_DROP = 15.0
"""Decibels: so much lower than that of what it reads, the accumulated ratio of a layer drops sharply."""
MOST_SNR = 99.0
"""Decibels: what stands for no noise at all; its negative, for nothing but noise."""
_FEW = 4
"""So few numbers of a channel do not tell whether those of another are the same up to a factor."""
_MANY = 0.01
"""The share of numbers clipped or saturated that is worth blaming."""
_MANY_CHANNELS = 0.1

COMPUTING = (
    kpu.Conv2dOp,
    ktensor.Conv2dOp,
    ktensor.Conv2dTransposeOp,
    ktensor.MatmulOp,
    ktensor.UnaryOp,
    ktensor.BinaryOp,
    ktensor.ActivationOp,
    ktensor.PReluOp,
    ktensor.SoftmaxOp,
    ktensor.MaxPool2dOp,
    ktensor.AveragePool2dOp,
    ktensor.ReduceOp,
    ktensor.ResizeOp,
)
"""What makes new numbers, while everything else moves some."""


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _json_number(value: float) -> float | None:
    """JSON has no infinity."""
    return _short(value) if isfinite(value) else None


@dataclass(frozen=True)
class LayerError:
    """What quantization does to one value; ranges in real numbers, shares of 1, ratios in dB.

    `reads`: the numbers of the values it is computed from. `chosen_range` is None for what stays float. Where `note`
    says why there is nothing to compare, the figures behind it are those of a layer without errors.
    """

    number: int
    layer: str
    operation: str
    reads: tuple[int, ...]
    note: str = ""
    float_range: tuple[float, float] = (0.0, 0.0)
    chosen_range: tuple[float, float] | None = None
    clipped: float = 0.0
    """The share of float values outside of the chosen range."""
    saturated: float = 0.0
    """The share of bytes that are 0 or 255, more than a step away from the float value."""
    own_snr: float | None = MOST_SNR
    snr: float = MOST_SNR
    channels: int = 0
    dead_channels: int = 0
    """How many channels have one and the same byte everywhere though their float values differ."""

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values; only names and the note where there is nothing to compare.

        Of all layers in a list, `reads` are the positions.
        """
        names: dict[str, Any] = {"layer": self.layer, "op": self.operation, "reads": list(self.reads)}
        if self.note:
            return {**names, "note": self.note}
        return {
            **names,
            "float_range": [_json_number(value) for value in self.float_range],
            "chosen_range": None if self.chosen_range is None else [_short(value) for value in self.chosen_range],
            "clipped_percent": round(100 * self.clipped, 4),
            "saturated_percent": round(100 * self.saturated, 4),
            "own_snr_db": None if self.own_snr is None else round(self.own_snr, 2),
            "snr_db": round(self.snr, 2),
            "channels": self.channels,
            "dead_channels": self.dead_channels,
        }


@dataclass(frozen=True)
class Break:
    """The first layer that is too far from what it should give, what happened there, and what to do."""

    error: LayerError
    what: str
    cause: str
    hint: str

    def __str__(self) -> str:
        return f"first breaks at {self.error.layer} ({self.error.operation}): {self.what}; {self.cause}"


def number_layers(module: ModuleOp) -> None:
    """Number what `@main` computes, behind its arguments, so that it is found again after quantization."""
    for number, op in _numbered(module):
        op.attributes[kpu.NUMBER] = IntegerAttr(number, i64)


def _numbered(module: ModuleOp) -> list[tuple[int, Operation]]:
    block = entry_function(module).body.block
    found = [op for op in block.ops if isinstance(op, COMPUTING) and kpu.MOVES not in op.attributes]
    return list(enumerate(found, start=len(block.args)))


def number_of(op: Operation) -> int | None:
    """The number an operation has, if any."""
    number = op.attributes.get(kpu.NUMBER)
    return number.value.data if isinstance(number, IntegerAttr) else None


def numbered_values(module: ModuleOp) -> dict[int, SSAValue]:
    """The arguments and numbered values of `@main`; numbers that several operations have are no one's."""
    block = entry_function(module).body.block
    found: dict[int, SSAValue] = {argument.index: argument for argument in block.args}
    several: set[int] = set()
    for op in block.ops:
        number = number_of(op)
        if number is not None and (number in found or found.setdefault(number, op.results[0]) is not op.results[0]):
            several.add(number)
    return {number: value for number, value in found.items() if number not in several}


def quantization_of(value: SSAValue) -> "QuantizationParameters | None":
    """What the bytes of a value stand for; None for floats."""
    from kpuir.quantization.parameters import QuantizationParameters

    kind = value.type
    element = kind.quantized if isinstance(kind, kpu.FeatureMapType) else None
    if isinstance(kind, TensorType):
        element = ktensor.element_of(value)
    if not isinstance(element, ktensor.QuantizedType):
        return None
    return QuantizationParameters(element.scale_value, element.zero_point_value)


@dataclass
class Tally:
    """What adds up over the samples for one value."""

    region: tuple[slice, ...]
    parameters: "QuantizationParameters | None"
    count: int = 0
    signal: float = 0.0
    own_noise: float = 0.0
    noise: float = 0.0
    clipped: int = 0
    saturated: int = 0
    float_ends: "list[Array]" = field(default_factory=list["Array"])
    byte_ends: "list[Array]" = field(default_factory=list["Array"])

    def exact(self, exact: "Array") -> None:
        """Take in float values."""
        import numpy as np

        exact = exact[self.region]
        self.count += exact.size
        self.signal += float(np.square(exact, dtype=np.float64).sum())
        self.float_ends += _ends(exact)
        if self.parameters is not None:
            half = self.parameters.scale / 2
            outside = (exact < self.parameters.lo - half) | (exact > self.parameters.hi + half)
            self.clipped += int(np.count_nonzero(outside))

    def own(self, exact: "Array", found: "Array") -> None:
        """Take in what the layer gives for exact inputs."""
        self.own_noise += _square(self._error(exact, found))

    def accumulated(self, exact: "Array", found: "Array") -> None:
        """Take in what the layer gives in the quantized model."""
        import numpy as np

        error = self._error(exact, found)
        self.noise += _square(error)
        if self.parameters is not None:
            codes = found[self.region]
            at_end = (codes == 0) | (codes == 255)
            self.saturated += int(np.count_nonzero(at_end & (np.abs(error) > self.parameters.scale)))
            self.byte_ends += _ends(codes)

    def _error(self, exact: "Array", found: "Array") -> "Array":
        import numpy as np

        found = found[self.region]
        real = found if self.parameters is None else self.parameters.dequantize(found)
        return real.astype(np.float64) - exact[self.region]

    def figures(self) -> dict[str, Any]:
        """The fields of a LayerError."""
        import numpy as np

        least, most = np.min(self.float_ends[::2], axis=0), np.max(self.float_ends[1::2], axis=0)
        figures: dict[str, Any] = {"float_range": (float(least.min()), float(most.max()))}
        if self.parameters is not None:
            dead = np.min(self.byte_ends[::2], axis=0) == np.max(self.byte_ends[1::2], axis=0)
            dead &= most - least > 1e-6 * max(float(np.abs(least).max()), float(np.abs(most).max()))
            figures |= {
                "chosen_range": (self.parameters.lo, self.parameters.hi),
                "clipped": self.clipped / self.count,
                "saturated": self.saturated / self.count,
                "dead_channels": int(np.count_nonzero(dead)) if dead.size > 1 else 0,
            }
        return figures | {
            "own_snr": snr(self.signal, self.own_noise),
            "snr": snr(self.signal, self.noise),
            "channels": least.size,
        }


def _ends(array: "Array") -> "list[Array]":
    """The lowest and the highest number of each channel; of the whole, if it is no map."""
    others = (0, 2, 3) if array.ndim == 4 else None
    return [array.min(axis=others), array.max(axis=others)]


def _square(error: "Array") -> float:
    return float(error.ravel() @ error.ravel())


def snr(signal: float, noise: float) -> float:
    """The ratio of two powers in dB, within what MOST_SNR says."""
    if not isfinite(noise) or not isfinite(signal):
        return -MOST_SNR
    if noise <= 0 or signal <= 0:
        return MOST_SNR if noise <= 0 else -MOST_SNR
    return min(max(10 * log10(signal / noise), -MOST_SNR), MOST_SNR)


def layer_errors(floats: ModuleOp, quantized: ModuleOp, samples: "Samples") -> list[LayerError]:
    """Compare two modules at the `kpu` level on samples, each the arguments of the float one in order.

    `floats` was numbered (`number_layers`), `quantized` made of it.
    """
    from kpuir.interpreters.run import Evaluator

    exact_values, found_values = numbered_values(floats), numbered_values(quantized)
    pairs = {
        number: (exact_values[number], value)
        for number, value in found_values.items()
        if number in exact_values and ktensor.shape_of(value) == ktensor.shape_of(exact_values[number])
    }
    by_exact = {exact: number for number, (exact, _) in pairs.items()}
    by_found = {found: number for number, (_, found) in pairs.items()}
    tallies = {number: Tally(_region(exact), quantization_of(found)) for number, (exact, found) in pairs.items()}
    reference: dict[int, Array] = {}

    def record(value: SSAValue, array: "Array") -> "Array":
        if value in by_exact:
            given = quantization_of(value)  # inputs of a quantized source model are bytes already
            exact = array if given is None else given.dequantize(array)
            reference[by_exact[value]] = exact
            tallies[by_exact[value]].exact(exact)
        return array

    def accumulate(value: SSAValue, array: "Array") -> "Array":
        if value in by_found:
            number = by_found[value]
            tallies[number].accumulated(reference[number], array)
        return array

    def correct(value: SSAValue, array: "Array") -> "Array":
        if value not in by_found:
            return array
        number = by_found[value]
        tally, exact = tallies[number], reference[number]
        tally.own(exact, array)
        return exact if tally.parameters is None else tally.parameters.quantize(exact)

    runs = [Evaluator(floats, replace=record), *(Evaluator(quantized, replace=one) for one in (accumulate, correct))]
    arguments = [
        None if quantization_of(before) is not None else quantization_of(after)
        for before, after in zip(*(entry_function(one).body.block.args for one in (floats, quantized)), strict=True)
    ]
    for sample in samples:
        runs[0].run(sample)
        codes = [array if p is None else p.quantize(array) for p, array in zip(arguments, sample, strict=True)]
        for one in runs[1:]:
            one.run(codes)
    return [
        _row(floats, number, exact, tallies.get(number), found_values.get(number))
        for number, exact in exact_values.items()
    ]


@dataclass(frozen=True)
class Counterpart:
    """What of a source model is a value of the legalized one.

    `operation`: its place in `@main`; `shape`: that of the value here; `window`: which rows and columns of it (start,
    stop, step) are the source's, () for what is no map; `nhwc`: whether channels are last there; `gains`: what each
    channel here is multiplied with there (`kpu-equalize` scales channels), () where all are 1.
    """

    operation: int
    shape: tuple[int, ...]
    window: tuple[tuple[int, int, int], ...] = ()
    nhwc: bool = False
    gains: tuple[float, ...] = ()

    def here(self, theirs: "Array") -> "Array":
        """The source's values as this value has them."""
        import numpy as np

        planar = theirs.transpose(0, 3, 1, 2) if self.nhwc else theirs
        return planar / np.reshape(self.gains, (1, -1, 1, 1)) if self.gains else planar

    def part(self, ours: "Array") -> "Array":
        """What of this value is the source's."""
        return ours[:, :, slice(*self.window[0]), slice(*self.window[1])] if self.window else ours


def counterparts(
    source: ModuleOp, inputs: "Sequence[Array]", floats: ModuleOp, sample: "Sequence[Array]"
) -> dict[int, Counterpart]:
    """Find, for numbered values, those of the source model that are the same for a sample, up to a factor per channel.

    Both modules get the same sample, each in its own layouts. Only values of layers of one name are compared.
    """
    from kpuir.interpreters.run import Evaluator

    computed = {number: value for number, value in numbered_values(floats).items() if _is_op(value.owner)}
    names = {number: layer_name(value.owner).split("+") for number, value in computed.items() if _is_op(value.owner)}
    numbers = {value: number for number, value in computed.items()}
    arrays: dict[int, Array] = {}
    operations = {op: index for index, op in enumerate(entry_function(source).body.block.ops)}
    found: dict[int, Counterpart] = {}

    def keep(value: SSAValue, array: "Array") -> "Array":
        if value in numbers:
            arrays[numbers[value]] = array
        return array

    def match(value: SSAValue, array: "Array") -> "Array":
        if _is_op(value.owner) and value.owner in operations:
            for number, exact in arrays.items():
                if layer_name(value.owner) in names[number]:
                    candidate = _same(operations[value.owner], computed[number], exact, array)
                    found.update({} if candidate is None else {number: candidate})
        return array

    Evaluator(floats, replace=keep).run(sample)
    Evaluator(source, replace=match).run(inputs)
    return found


def _is_op(owner: object) -> TypeGuard[Operation]:
    return isinstance(owner, Operation)


def _same(operation: int, value: SSAValue, ours: "Array", theirs: "Array") -> Counterpart | None:
    """How a value of the source is part of one of ours, if it is."""
    if ours.ndim != theirs.ndim:
        return None
    for nhwc in (False, True) if ours.ndim == 4 else (False,):
        found = Counterpart(operation, ours.shape, nhwc=nhwc)
        if ours.ndim == 4:
            size = found.here(theirs).shape[2:]
            kept = zip(kept_region(value), size, strict=True)
            window = tuple((part.start, part.stop, max(-(-(part.stop - part.start) // n), 1)) for part, n in kept)
            found = replace(found, window=window)
        exact, source = found.part(ours), found.here(theirs)
        gains = _gains(exact, source) if exact.shape == source.shape else None
        if gains is not None:
            return replace(found, gains=gains)
    return None


def _gains(ours: "Array", theirs: "Array") -> tuple[float, ...] | None:
    """The factors from our channels to theirs; () where all are 1, None where these are other values."""
    import numpy as np

    channels = ours.shape[1] if ours.ndim == 4 else 1
    a, b = (
        (np.moveaxis(array, 1, 0) if array.ndim == 4 else array).astype(np.float64).reshape(channels, -1)
        for array in (ours, theirs)
    )
    squares = np.square(a).sum(1)
    gains = np.where(squares > 0, (a * b).sum(1) / np.where(squares > 0, squares, 1), 1)
    if a.shape[1] < _FEW:  # a factor makes any number of any other
        gains = np.ones(channels)
    if np.square(b - gains[:, None] * a).sum() > 1e-6 * np.square(b).sum() or (gains <= 0).any():
        return None
    return () if np.allclose(gains, 1, rtol=1e-3) else tuple(_short(gain) for gain in gains)


def _region(value: SSAValue) -> tuple[slice, ...]:
    """What of an array is the model's own."""
    rank = len(ktensor.shape_of(value))
    return (slice(None), slice(None), *kept_region(value)) if rank == 4 else (slice(None),) * rank


def _row(module: ModuleOp, number: int, value: SSAValue, tally: Tally | None, found: SSAValue | None) -> LayerError:
    owner = value.owner
    if isinstance(owner, Operation):
        layer, operation, reads = layer_name(owner), owner.name.partition(".")[2], _sources(owner)
    else:
        name = argument_attributes(entry_function(module), number).get(NAME)
        layer, operation, reads = getattr(name, "data", f"input{number}"), "input", ()
    if tally is None:
        note = "no counterpart: it is computed in parts or within another layer"
        if found is not None:
            sizes = ("x".join(map(str, ktensor.shape_of(one))) for one in (value, found))
            note = "no counterpart: it is {} in float, {} in the kmodel".format(*sizes)
        return LayerError(number, layer, operation, reads, note)
    return LayerError(number, layer, operation, reads, **tally.figures())


def _sources(op: Operation) -> tuple[int, ...]:
    """The numbers of what an operation reads, behind whatever has none."""
    found: set[int] = set()
    waiting = list(op.operands)
    while waiting:
        value = waiting.pop()
        if not isinstance(value.owner, Operation):
            found.add(value.owner.args.index(value))
        elif (number := number_of(value.owner)) is not None:
            found.add(number)
        else:
            waiting += value.owner.operands
    return tuple(sorted(found))


def first_break(errors: Sequence[LayerError]) -> Break | None:
    """The first layer whose accumulated ratio is below LOW_SNR, or by SHARP_DROP below that of all it reads.

    A layer whose readers are all better does not count: what it lost, like numbers that a rectifier cuts off, was
    nothing that they need.
    """
    known = {error.number: error for error in errors if not error.note}
    readers = {number: [one.snr for one in known.values() if number in one.reads] for number in known}
    for error in known.values():
        before = min((known[number].snr for number in error.reads if number in known), default=MOST_SNR)
        what = ""
        passed_on = max(error.snr, min(readers[error.number], default=error.snr))
        if passed_on < LOW_SNR:
            what = f"its accumulated SNR is {error.snr:.1f} dB, below {LOW_SNR:g}"
        elif error.reads and before - passed_on > SHARP_DROP and passed_on < 2 * LOW_SNR:
            what = f"the accumulated SNR drops from {before:.1f} to {error.snr:.1f} dB"
        if what:
            return Break(error, what, *_cause(error, known))
    return None


def _cause(error: LayerError, known: Mapping[int, LayerError]) -> tuple[str, str]:
    """Why a layer is far from its float values, and what to do."""
    if error.clipped > _MANY:
        low, high = error.chosen_range or error.float_range
        return (
            f"{100 * error.clipped:.1f} % of its values lie outside of the chosen range {low:.4g} to {high:.4g}",
            "calibrate with samples that are more like these, or with --calibration minmax",
        )
    if error.saturated > _MANY:
        return (
            f"{100 * error.saturated:.1f} % of its bytes are saturated",
            "look at the layers it reads, or let it have smaller weights",
        )
    if error.dead_channels > _MANY_CHANNELS * error.channels:
        return (
            f"{error.dead_channels} of its {error.channels} channels are too small for the scale they share",
            "train with batch normalization or weight decay, so that channels are of similar sizes",
        )
    if error.own_snr is not None and error.own_snr < error.snr + 3:
        return (
            f"its own noise alone leaves {error.own_snr:.1f} dB",
            "keep it in float with --float, bound its values with an activation, or train with quantization",
        )
    worst = min((known[number] for number in error.reads if number in known), key=lambda one: one.snr, default=error)
    return (
        f"the noise comes from what it reads: {worst.layer} has {worst.snr:.1f} dB",
        f"look at {worst.layer} and the layers before it",
    )
