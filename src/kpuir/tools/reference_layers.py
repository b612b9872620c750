"""Comparing the layers of a kmodel with those of the model it was made of, on any inputs, for kpu-run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpuir.analysis.layer_errors import Counterpart, LayerError, Tally
from kpuir.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kpuir.quantization.parameters import QuantizationParameters
    from kpuir.runtime import LoadedModel

    Sample = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Place:
    """Where a layer's values are: in the kmodel, what they stand for, and in the source model."""

    instruction: int
    parameters: "QuantizationParameters | None"
    counterpart: Counterpart

    @staticmethod
    def of(entry: Mapping[str, Any]) -> "_Place":
        """The place that a side-car describes."""
        from kpuir.quantization.parameters import QuantizationParameters

        scale = entry["scale"]
        parameters = None if scale is None else QuantizationParameters(float(scale), int(entry["zero_point"]))
        counterpart = Counterpart(
            operation=int(entry["operation"]),
            shape=tuple(map(int, entry["shape"])),
            window=tuple((int(start), int(stop), int(step)) for start, stop, step in entry["window"]),
            nhwc=bool(entry["nhwc"]),
            gains=tuple(map(float, entry["gains"])),
        )
        return _Place(int(entry["instruction"]), parameters, counterpart)

    def check(self, source: Sequence[int]) -> None:
        """Raise ValueError where a value of the source model of that shape is no part of the kmodel's."""
        import numpy as np

        theirs = self.counterpart.here(np.broadcast_to(np.float32(0), tuple(source))).shape
        ours = self.counterpart.part(np.broadcast_to(np.uint8(0), self.counterpart.shape)).shape
        if ours != theirs:
            raise ValueError(f"{ours} is compared with {theirs}")


def why_not(sidecar: Mapping[str, Any] | None, reference: Path) -> str:
    """Why layers cannot be compared with a reference; empty where they can."""
    if not sidecar or not sidecar.get("layers"):
        return "layers are not compared: no .json beside the model describes them"
    source = sidecar.get("source")
    digest = hashlib.sha256(reference.read_bytes()).hexdigest()
    if not isinstance(source, dict) or source.get("sha256") != digest:
        return "layers are not compared: the kmodel was made of another file than the reference"
    return ""


def compare_layers(
    model: "LoadedModel",
    reference: "LoadedModel",
    sidecar: Mapping[str, Any],
    samples: "Sequence[tuple[Sample, Sample]]",
) -> list[LayerError]:
    """The errors of each layer that the side-car lists, over pairs of samples for the two models.

    A layer's own noise is that of when it was compiled: its exact inputs are values of the float `kpu` module.
    Raises InvalidInputError for a side-car that does not describe them.
    """
    from kpuir.dialects import kbuf
    from kpuir.dialects.ktensor import shape_of
    from kpuir.interpreters.kbuf import Machine
    from kpuir.interpreters.run import Evaluator
    from kpuir.ir.functions import entry_function

    try:
        rows = [dict(row) for row in sidecar["layers"]]
        places = {index: _Place.of(row["compare"]) for index, row in enumerate(rows) if "compare" in row}
        instructions = [op for op in model.module.walk() if isinstance(op, kbuf.InstructionOp)]
        operations = list(entry_function(reference.module).body.block.ops)
        wanted: dict[Any, list[int]] = {}  # several layers may give what is one value of the source model
        for index, place in places.items():
            value = operations[place.counterpart.operation].results[0]
            place.check(shape_of(value))
            wanted.setdefault(value, []).append(index)
        watched = {instructions[place.instruction]: index for index, place in places.items()}
        names = [(str(row["layer"]), str(row["op"]), tuple(map(int, row["reads"]))) for row in rows]
        own = {index: None if (snr := rows[index]["own_snr_db"]) is None else float(snr) for index in places}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"the .json beside the kmodel is damaged: {error!r}") from None
    exact: dict[int, NDArray[Any]] = {}
    tallies = {index: Tally((slice(None),), place.parameters) for index, place in places.items()}

    def keep(value: Any, array: "NDArray[Any]") -> "NDArray[Any]":
        for index in wanted.get(value, ()):
            exact[index] = places[index].counterpart.here(array)
            tallies[index].exact(exact[index])
        return array

    def look(op: Any) -> None:
        if op in watched:
            index = watched[op]
            counterpart = places[index].counterpart
            found = counterpart.part(machine.result(op, counterpart.shape))
            tallies[index].accumulated(exact[index], found)

    evaluator, machine = Evaluator(reference.module, replace=keep), Machine(model.module)
    for ours, theirs in samples:
        evaluator.run(reference.to_kmodel(theirs))
        machine.run(model.to_kmodel(ours), observe=look)
    unknown = "no counterpart: the source model has no such values"
    return [
        replace(LayerError(index, *name, **tallies[index].figures()), own_snr=own[index])
        if index in tallies
        else LayerError(index, *name, unknown)
        for index, name in enumerate(names)
    ]
