"""Comparing layers with what they were before quantization, while a pipeline runs: what a compilation says of them."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from kpuir.analysis.layer_errors import (
    Counterpart,
    LayerError,
    counterparts,
    layer_errors,
    number_layers,
    number_of,
)
from kpuir.analysis.reasons import WEIGHTED
from kpuir.dialects import kbuf, kpu, ktensor
from kpuir.ir.functions import entry_function
from kpuir.ir.locations import layer_name
from kpuir.passes.dataset_pass import DatasetPass, dataset_inputs

_COMPARED = 4
"""On how many samples, at the most, layers are compared with their float values."""
_NUMBERS = 1 << 18
"""Of inputs, over these samples: fewer samples of large inputs show as much."""


def _float_candidates(module: ModuleOp) -> list[str]:
    """The names of the convolutions and matrix products that are to become layers."""
    found = [op for op in module.walk() if isinstance(op, WEIGHTED) and kpu.REASON not in op.attributes]
    return list(dict.fromkeys(layer_name(op) for op in found))


class LayerComparison:
    """Compares layers once their registers are selected with what they were when they had been calibrated."""

    def __init__(self, passes: Sequence[ModulePass], module: ModuleOp) -> None:
        self.source = module.clone()
        self.calibration = next((one for one in passes if one.name == "kpu-calibrate"), None)
        self.floats: ModuleOp | None = None
        self.found: list[LayerError] = []
        self.counterparts: dict[int, Counterpart] = {}
        self.seconds = 0.0
        self.candidates: list[str] = []

    def after(self, stage: str, module: ModuleOp) -> None:
        """Look at the module that a pass left."""
        if stage == "ktensor-keep-float":
            self.candidates = _float_candidates(module)
        source = self.calibration
        if not isinstance(source, DatasetPass) or not source.has_dataset:
            return
        if stage == source.name:
            number_layers(module)
            self.floats = module.clone()
        elif stage == "kpu-select-registers" and self.floats is not None:
            start = time.perf_counter()
            samples = source.load(self.floats)
            count = min(max(_NUMBERS // max(sum(array.size for array in samples[0]), 1), 1), _COMPARED)
            self.found = layer_errors(self.floats, module, samples[:: -(-len(samples) // count)])
            inputs = [
                array.transpose(0, 2, 3, 1) if spec.layout == "NHWC" else array
                for spec, array in zip(dataset_inputs(self.floats), samples[0], strict=True)
            ]
            wanted = [ktensor.shape_of(argument) for argument in entry_function(self.source).body.block.args]
            if [array.shape for array in inputs] == wanted:
                self.counterparts = counterparts(self.source, inputs, self.floats, samples[0])
            self.seconds = time.perf_counter() - start

    def described(self, module: ModuleOp) -> list[dict[str, Any]]:
        """The figures of each layer, and where to find its values in the kmodel and in the source model.

        Takes the numbers off the module: it is then what the passes alone make of the model.
        """
        instructions = [op for op in module.walk() if isinstance(op, kbuf.InstructionOp)]
        places = {number_of(op): index for index, op in enumerate(instructions)}
        rows: list[dict[str, Any]] = []
        for error in self.found:
            row, counterpart = error.as_json(), self.counterparts.get(error.number)
            if counterpart is not None and error.number in places and not error.note:
                index, (low, high) = places[error.number], error.chosen_range or (0.0, 0.0)
                scale = (high - low) / 255
                row["compare"] = {
                    "instruction": index,
                    **asdict(counterpart),
                    "scale": scale or None,
                    "zero_point": round(-low / scale) if scale else None,
                }
            rows.append(row)
        for op in module.walk():
            op.attributes.pop(kpu.NUMBER, None)
        return rows
