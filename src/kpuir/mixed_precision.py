"""Which layers to keep on the CPU in float so that the outputs are as close to the float model's as is asked for.

Layers are tried in the order of the noise they add by themselves (`analysis.layer_errors`), each on top of those before
it, until the cosine is reached; then each that turns out not to be needed is given back to the KPU. Every trial is a
whole compilation, measured in the byte-exact interpreter on samples of the dataset.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kpuir.errors import CheckFailedError, DoesNotFitError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xdsl.dialects.builtin import ModuleOp

    from kpuir.analysis.layer_errors import LayerError
    from kpuir.runtime import LoadedModel

_MEASURED = 32
"""On how many samples of the dataset the cosine is measured."""

Sample = Mapping[str, "NDArray[Any]"]


class Compiled(Protocol):
    """What has to be known of a compiled model."""

    @property
    def layers(self) -> "Sequence[LayerError]":
        """The errors of its layers."""
        ...

    @property
    def candidates(self) -> Sequence[str]:
        """What could be in float."""
        ...

    @property
    def estimated_ms(self) -> float:
        """The time of an inference."""
        ...

    def loaded(self) -> "LoadedModel":
        """The model ready to run."""
        ...


Compile = Callable[[tuple[str, ...]], Compiled]
Measure = Callable[[Compiled], float]


@dataclass(frozen=True)
class Kept:
    """A layer in float: how much lower the cosine and the estimated time would be with it on the KPU."""

    layer: str
    gain: float
    cost_ms: float


@dataclass(frozen=True)
class MixedPrecision:
    """What it took to reach a cosine: the smallest over the outputs, of each the mean over samples."""

    wanted: float
    without: float
    reached: float
    kept: tuple[Kept, ...]

    def lines(self) -> list[str]:
        """For people: the layers that are kept in float, the most useful first."""
        lines = [f"cosine {self.reached:.6f} (wanted {self.wanted:g}, without layers in float {self.without:.6f})"]
        lines += [f"  in float: {one.layer}: cosine +{one.gain:.6f}, {one.cost_ms:+.3f} ms" for one in self.kept]
        return lines


def compile_mixed(
    source: "ModuleOp",
    wanted: float,
    dataset: Any,
    options: Mapping[str, Any],
    compile_with: Compile,
) -> MixedPrecision:
    """Find what to keep in float: `source` is the imported model, `options` are those of loading the dataset.

    Raises UsageError for what is no cosine, and without a dataset; what `reach` raises.
    """
    from kpuir.dataset import load_dataset
    from kpuir.runtime import from_module

    if not 0 < wanted <= 1:
        raise UsageError(f"a cosine of {wanted:g} cannot be reached", hint="ask for more than 0 and at most 1")
    if dataset is None:
        raise UsageError("the cosine is measured on a dataset, and there is none", hint="give one: --dataset")
    reference = from_module(source)
    samples: list[Sample] = []
    expected: list[Mapping[str, NDArray[Any]]] = []

    def measure(compiled: Compiled) -> float:
        if not samples:
            given = load_dataset(dataset, [port.spec for port in compiled.loaded().inputs], **options)
            samples.extend(given[:: -(-len(given) // _MEASURED)])
            expected.extend(reference.run(sample) for sample in samples)
        return output_cosine(compiled, samples, expected)

    return reach(wanted, compile_with, measure)


def output_cosine(
    compiled: Compiled, samples: Sequence[Sample], expected: "Sequence[Mapping[str, NDArray[Any]]]"
) -> float:
    """The smallest cosine of an output with what is expected of it, each the mean over the samples."""
    from kpuir.comparison import cosine

    model = compiled.loaded()
    found = [model.run(sample) for sample in samples]
    names = list(expected[0])
    return min(
        sum(cosine(one[name], exact[name]) for one, exact in zip(found, expected, strict=True)) / len(samples)
        for name in names
    )


def reach(wanted: float, compile_with: Compile, measure: Measure) -> MixedPrecision:
    """Find as few layers in float as it takes to reach a cosine, in a good order rather than the best.

    `compile_with` gets names of layers to keep in float. Raises CheckFailedError where the cosine is not even reached
    with all candidates in float.
    """
    current = compile_with(())
    without = cosine = measure(current)
    candidates = _ranked(current)
    chosen: list[str] = []
    if cosine < wanted:
        _check_reachable(wanted, cosine, candidates, compile_with, measure)
    for name in candidates:
        if cosine >= wanted:
            break
        try:
            current = compile_with((*chosen, name))
        except DoesNotFitError:  # float weights take four times the room
            continue
        chosen.append(name)
        cosine = measure(current)
    if cosine < wanted:
        raise _not_reached(wanted, without, cosine, len(chosen))
    kept: list[Kept] = []
    for name in list(reversed(chosen)):
        rest = tuple(one for one in chosen if one != name)
        other = compile_with(rest)
        found = measure(other)
        if found >= wanted:
            current, cosine, chosen = other, found, list(rest)
        else:
            cost = current.estimated_ms - other.estimated_ms
            kept.append(Kept(name, cosine - found, round(cost, 3)))
    kept.sort(key=lambda one: -one.gain)
    return MixedPrecision(wanted, without, cosine, tuple(kept))


def _check_reachable(
    wanted: float,
    without: float,
    candidates: Sequence[str],
    compile_with: Compile,
    measure: Measure,
) -> None:
    """Raise CheckFailedError where all candidates together do not reach it; nothing where they do not fit together."""
    try:
        most = measure(compile_with(tuple(candidates)))
    except DoesNotFitError:
        return
    if most < wanted:
        raise _not_reached(wanted, without, most, len(candidates))


def _not_reached(wanted: float, without: float, reached: float, count: int) -> CheckFailedError:
    return CheckFailedError(
        f"a cosine of {wanted:g} is not reached: it is {without:.6f} with all layers on the KPU, and {reached:.6f} "
        f"with {count} of them in float",
        hint="ask for less; or let inputs be float32 (--input-type), or calibrate with more typical samples",
    )


def _ranked(compiled: Compiled) -> list[str]:
    """The convolutions and matrix products that could be in float, those that add the most noise first."""
    noise: dict[str, float] = dict.fromkeys(compiled.candidates, -1000.0)
    for error in compiled.layers:
        if error.operation != "conv2d" or error.note or error.own_snr is None:
            continue
        for name in noise:
            if set(name.split("+")) & set(error.layer.split("+")):
                noise[name] = max(noise[name], -error.own_snr)
    return sorted(noise, key=lambda name: -noise[name])
