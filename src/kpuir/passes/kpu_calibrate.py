"""`kpu-calibrate`: the range of every value that may be quantized, taken from a dataset.

Before: a float module at the `kpu` level. After: the same, each operation with the attribute `kpu.range` (lowest and
highest value worth representing) and each argument too; an argument whose samples are pixels, on a lattice of at most
256 levels, also has `kpu.lattice`, the parameters that represent it without any loss.

    %y = kpu.conv2d %x, %w, %b
      =>
    %y = kpu.conv2d %x, %w, %b {kpu.range = array<f64: 0.0, 5.5>}

The dataset is a folder of images, a .npy or a .npz (see `kpuir.dataset`). The float interpreter runs at this level, so
ranges are known on exactly the tensors that will be quantized.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f64
from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from kpuir.analysis.calibration import calibrate, observed_values
from kpuir.analysis.functions import has_own_scales
from kpuir.dialects import kpu, ktensor
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import entry_function, set_argument_attribute
from kpuir.ir.printing import module_text
from kpuir.passes.dataset_pass import DatasetPass

if TYPE_CHECKING:
    from kpuir.quantization.calibration_record import CalibrationRecord


@dataclass(frozen=True)
class KpuCalibratePass(DatasetPass):
    """Record the ranges of values over a dataset."""

    name = "kpu-calibrate"

    method: Literal["auto", "minmax", "mse", "kl", "percentile"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Run the dataset and annotate the module. Raises InvalidInputError without a usable dataset.

        A module with nothing for the KPU stays in float, and one with scales of its own may do with those
        (`kpu-derive-ranges`): without a dataset they are left as they are.
        """
        needed = any(isinstance(inner, kpu.Conv2dOp) for inner in op.walk()) and not has_own_scales(op)
        record = self.record()
        recorded = bool(record.tensors)
        if not (self.has_dataset or recorded or needed):
            return
        values = observed_values(op)
        if recorded:
            self._check(record, op, values)
        samples = self.load(op) if self.has_dataset or not recorded else []
        record.model, record.method = _fingerprint(op), self.method
        done = iter(range(1, len(samples) + 1))
        seen = calibrate(
            op, samples, self.method, lambda: self.told(next(done), len(samples)), record, self.pixel_range(op)
        )
        function = entry_function(op)
        set_ranges(function, seen.ranges)
        for value, parameters in seen.lattices.items():
            assert isinstance(value, BlockArgument)
            kind = ktensor.QuantizedType.of(parameters.scale, parameters.zero_point)
            set_argument_attribute(function, value.index, kpu.LATTICE, kind)

    def _check(self, record: "CalibrationRecord", op: ModuleOp, values: Mapping[str, SSAValue]) -> None:
        """Raise InvalidInputError for a record that is not of this module or leaves tensors without a range."""
        where = ", ".join(self.ranges) or None
        if record.model not in (None, _fingerprint(op)):
            raise InvalidInputError(
                "these ranges are of another model, or of the same with other options or another version of kpuir",
                location=where,
                hint="calibrate this one with --dataset and --save-ranges",
            )
        if record.method not in (None, self.method):
            raise InvalidInputError(
                f"these ranges were chosen by '{record.method}', but now '{self.method}' is asked for",
                location=where,
                hint=f"use --calibration {record.method}",
            )
        unknown = [name for name in record.tensors if name not in values]
        if unknown:
            close = get_close_matches(unknown[0], values, n=3)
            raise InvalidInputError(
                f"there is no tensor '{unknown[0]}' to calibrate",
                location=where,
                hint=f"did you mean {' or '.join(close)}?" if close else f"there is {', '.join(list(values)[:5])} ...",
            )
        missing = [name for name in values if name not in record.tensors]
        if missing and not self.has_dataset:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InvalidInputError(
                f"there is no range for tensor '{missing[0]}'{more}",
                location=where,
                hint="add it as [lo, hi], or give a --dataset as well",
            )


def set_ranges(function: FuncOp, ranges: Mapping[SSAValue, tuple[float, float]]) -> None:
    """Annotate values with their ranges."""
    for value, (low, high) in ranges.items():
        bounds = DenseArrayBase.from_list(f64, [float(low), float(high)])
        if isinstance(value, BlockArgument):
            set_argument_attribute(function, value.index, kpu.RANGE, bounds)
        elif isinstance(value.owner, Operation):
            value.owner.attributes[kpu.RANGE] = bounds


def _fingerprint(module: ModuleOp) -> str:
    """A hash of all that a module computes with."""
    return sha256(module_text(module, elide=True, locations=False).encode()).hexdigest()[:16]
