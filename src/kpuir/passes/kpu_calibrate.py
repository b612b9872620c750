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

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, Float64Type, ModuleOp, f64
from xdsl.ir import BlockArgument, Operation

from kpuir.analysis.calibration import calibrate
from kpuir.dialects import kpu, ktensor
from kpuir.ir.functions import entry_function, set_argument_attribute
from kpuir.passes.dataset_pass import DatasetPass


@dataclass(frozen=True)
class KpuCalibratePass(DatasetPass):
    """Record the ranges of values over a dataset."""

    name = "kpu-calibrate"

    method: Literal["auto", "minmax", "mse", "kl", "percentile"] = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Run the dataset and annotate the module. Raises InvalidInputError without a usable dataset.

        A module with nothing for the KPU stays in float: without a dataset it is left as it is.
        """
        if not self.has_dataset and not any(isinstance(inner, kpu.Conv2dOp) for inner in op.walk()):
            return
        samples = self.load(op)
        done = iter(range(1, len(samples) + 1))
        seen = calibrate(op, samples, self.method, lambda: self.told(next(done), len(samples)))
        function = entry_function(op)
        for value, (low, high) in seen.ranges.items():
            bounds = DenseArrayBase.from_list(f64, [float(low), float(high)])
            if isinstance(value, BlockArgument):
                set_argument_attribute(function, value.index, kpu.RANGE, self._pixel_range() or bounds)
            elif isinstance(value.owner, Operation):
                value.owner.attributes[kpu.RANGE] = bounds
        for value, parameters in seen.lattices.items():
            assert isinstance(value, BlockArgument)
            kind = ktensor.QuantizedType.of(parameters.scale, parameters.zero_point)
            set_argument_attribute(function, value.index, kpu.LATTICE, kind)

    def _pixel_range(self) -> "DenseArrayBase[Float64Type] | None":
        """Of images normalized alike in all channels: the range of pixels 0 to 255, whatever the samples use of it."""
        mean, std = set(self.mean or (0.0,)), set(self.std or (1.0,))
        if not self.dataset or not Path(self.dataset).is_dir() or len(mean) > 1 or len(std) > 1:
            return None
        low, high = ((pixel - min(mean)) / min(std) for pixel in (0.0, 1.0))
        return DenseArrayBase.from_list(f64, [low, high])
