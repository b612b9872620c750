"""What a calibration has found out, as JSON: to be saved, gone on with, joined with others and edited by hand.

    {"format": "kpuir-ranges-1", "model": "f3ab...", "method": "auto", "samples": 100,
     "splits": {"input": {"parts": 3, "range": [-4.0, 4.0], "reason": "..."}},
     "scales": {"conv1": [1.0, 0.5]},
     "tensors": {"conv1": {"chosen": [0.0, 6.1], "numbers": 51200, "least": null, "observer": {...}},
                 "conv2": [0.0, 6.0]}}

A tensor has the state of its observer, from which its range is chosen, or, edited by hand, a plain range, which counts
instead. All but `tensors` may be left out of a file that is written by hand.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kpuir.quantization.equalization import SMALLEST_FACTOR
from kpuir.quantization.observers import METHODS, Observer, observer_from_json

FORMAT = "kpuir-ranges-1"

MOST_LEVELS = 4096
"""More different values than any lattice of bytes has."""

_LARGEST = float(np.finfo(np.float32).max)

MOST_PARTS = 255
"""No input is split into more bytes."""

Range: TypeAlias = tuple[float, float]
_Object: TypeAlias = dict[str, Any]
T = TypeVar("T")


def with_levels(known: NDArray[np.float32] | None, array: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The different values of both; None once they are too many."""
    for part in (array.reshape(-1)[: 4 * MOST_LEVELS], array):  # a part shows soon that most tensors are no pixels
        if known is not None:
            levels = np.union1d(known, part)
            known = levels if levels.size <= MOST_LEVELS else None
    return known


@dataclass
class TensorRecord:
    """What was seen of a tensor.

    `numbers` is how many, `least` the lowest that matters to who reads it (None: all do), `levels` the different ones
    of an input as long as they are few, `known` its range where that does not depend on samples, `chosen` what came of
    it all.
    """

    observer: Observer
    numbers: int = 0
    least: float | None = None
    levels: NDArray[np.float32] | None = None
    known: Range | None = None
    chosen: Range | None = None

    def matters_from(self, least: float | None) -> None:
        """Take note of the lowest number that matters somewhere."""
        if least is not None:
            self.least = least if self.least is None else min(self.least, least)

    def merge(self, other: "TensorRecord") -> None:
        """Take note of all that another record has seen. Raises ValueError where the two do not go together."""
        self.observer.merge(other.observer)
        self.numbers += other.numbers
        self.matters_from(other.least)
        self.levels = None if other.levels is None else with_levels(self.levels, other.levels)
        self.known = _agreed("range", self.known, other.known)

    def to_json(self) -> _Object:
        """Plain lists and numbers."""
        data: _Object = {"chosen": None if self.chosen is None else list(self.chosen), "numbers": self.numbers}
        data["least"] = self.least
        if self.levels is not None:
            data["levels"] = self.levels.tolist()
        if self.known is not None:
            data["range"] = list(self.known)
        return {**data, "observer": self.observer.to_json()}

    @staticmethod
    def from_json(data: _Object) -> "TensorRecord":
        """The inverse of `to_json`; `chosen` is left out, for it is chosen again. Raises ValueError and its like."""
        least, levels, known = data.get("least"), data.get("levels"), data.get("range")
        observer = observer_from_json(data["observer"])
        _range(list(observer.range()))
        if not (numbers := _count(data["numbers"])):
            raise ValueError("a range of no numbers")
        return TensorRecord(
            observer,
            numbers,
            None if least is None else _finite(least),
            None if levels is None else np.array(levels, np.float32),
            None if known is None else _range(known),
        )


@dataclass(frozen=True)
class Split:
    """Into how many parts an input goes, of which range, and why."""

    parts: int
    range: Range
    reason: str


@dataclass
class CalibrationRecord:
    """What the passes that run a dataset have decided and seen; None where nothing was decided yet.

    `model` identifies the module that was calibrated, `samples` is how many were run. `splits`, by input, and `scales`,
    the factors of `kpu-equalize` by layer, are kept when more samples are run: they changed the values that were seen.
    """

    model: str | None = None
    method: str | None = None
    samples: int = 0
    splits: dict[str, Split] | None = None
    scales: dict[str, list[float]] | None = None
    tensors: dict[str, TensorRecord | Range] = field(default_factory=dict[str, TensorRecord | Range])

    def merge(self, other: "CalibrationRecord") -> None:
        """Take note of all that another record has. Raises ValueError where the two do not go together."""
        self.model = _agreed("model", self.model, other.model)
        self.method = _agreed("method", self.method, other.method)
        self.splits = _agreed("splits", self.splits, other.splits)
        self.scales = _agreed("scales", self.scales, other.scales)
        self.samples += other.samples
        for name, theirs in other.tensors.items():
            ours = self.tensors.setdefault(name, theirs)
            if ours is theirs:
                continue
            if isinstance(ours, TensorRecord) and isinstance(theirs, TensorRecord):
                try:
                    ours.merge(theirs)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"tensor '{name}': {error}") from None
            elif isinstance(ours, TensorRecord) or isinstance(theirs, TensorRecord):
                self.tensors[name] = theirs if isinstance(ours, TensorRecord) else ours
            else:
                _agreed(f"range of tensor '{name}'", ours, theirs)

    def to_text(self) -> str:
        """The JSON text of a file, a line for each tensor."""
        head: _Object = {"format": FORMAT, "model": self.model, "method": self.method, "samples": self.samples}
        if self.splits is not None:
            head["splits"] = {
                name: {"parts": one.parts, "range": list(one.range), "reason": one.reason}
                for name, one in self.splits.items()
            }
        head["scales"] = self.scales
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items() if value is not None]
        tensors = [
            f"  {json.dumps(name)}: {json.dumps(one.to_json() if isinstance(one, TensorRecord) else list(one))}"
            for name, one in self.tensors.items()
        ]
        return "{" + ",\n".join([*lines, '"tensors": {\n' + ",\n".join(tensors) + "}"]) + "}\n"

    @staticmethod
    def from_text(text: str) -> "CalibrationRecord":
        """The inverse of `to_text`. Raises ValueError that says what is wrong, and where."""
        data = json.loads(text, parse_constant=_no_number)
        if not isinstance(data, dict) or not isinstance(cast("_Object", data).get("tensors"), dict):
            raise ValueError('there is no object with "tensors" in it')
        data = cast("_Object", data)
        unknown = set(data) - {"format", "model", "method", "samples", "splits", "scales", "tensors"}
        if unknown:
            raise ValueError(f"there is an unknown key '{min(unknown)}'")
        if data.get("format", FORMAT) != FORMAT:
            raise ValueError(f"the format is {data['format']!r}, not {FORMAT!r}")
        method = data.get("method")
        if method is not None and method not in METHODS:
            raise ValueError(f"the method is {method!r}, not one of {', '.join(METHODS)}")
        return CalibrationRecord(
            _read("model", _text, data.get("model")),
            method,
            _read("samples", _count, data.get("samples", 0)) or 0,
            _each("splits", _split, data.get("splits")),
            _each("scales", _factors, data.get("scales")),
            _each("tensor", _tensor, data["tensors"]) or {},
        )


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _agreed(what: str, ours: T | None, theirs: T | None) -> T | None:
    """What both say, or the one that says anything."""
    if ours is not None and theirs is not None and ours != theirs:
        if isinstance(ours, dict):
            raise ValueError(f"the {what} are not those of before")
        raise ValueError(f"the {what} is {_shown(theirs)}, but before it was {_shown(ours)}")
    return theirs if ours is None else ours


def _shown(value: object) -> str:
    return str(list(cast("Range", value))) if isinstance(value, tuple) else repr(value)


def _read(where: str, convert: Callable[[Any], T], value: Any) -> T | None:
    """A part of the file. Raises ValueError with its place for whatever goes wrong with it."""
    if value is None:
        return None
    try:
        return convert(value)
    except KeyError as error:
        raise ValueError(f"{where}: there is no {error}") from None
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"{where}: {error}") from None


def _each(where: str, convert: Callable[[Any], T], values: Any) -> dict[str, T] | None:
    items: dict[str, Any] | None = _read(where, dict, values)
    if items is None:
        return None
    found = {name: _read(f"{where} '{name}'", convert, value) for name, value in items.items()}
    empty = [name for name, value in found.items() if value is None]
    if empty:
        raise ValueError(f"{where} '{empty[0]}': there is nothing")
    return cast("dict[str, T]", found)


def _range(value: Any) -> Range:
    if not isinstance(value, list) or len(cast("list[Any]", value)) != 2:
        raise ValueError(f"a range is [lo, hi], not {json.dumps(value)[:80]}")
    lo, hi = (_finite(end) for end in cast("list[Any]", value))
    if lo > hi:
        raise ValueError(f"the range [{lo}, {hi}] begins above its end")
    return lo, hi


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ValueError(f"{json.dumps(value)[:80]} is no finite number of 32 bits")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{json.dumps(value)[:80]} is no number of things")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{json.dumps(value)[:80]} is no text")
    return value


def _split(value: Any) -> Split:
    parts = _count(value["parts"])
    if not 2 <= parts <= MOST_PARTS:
        raise ValueError(f"an input is split into 2 to {MOST_PARTS} parts, not {parts}")
    return Split(parts, _range(value["range"]), _text(value["reason"]))


def _factors(value: Any) -> list[float]:
    factors = [_finite(one) for one in value]
    if not all(SMALLEST_FACTOR <= one <= 1 for one in factors):
        raise ValueError(f"factors must be between {SMALLEST_FACTOR:g} and 1")
    return factors


def _tensor(value: Any) -> TensorRecord | Range:
    return TensorRecord.from_json(value) if isinstance(value, dict) else _range(value)
