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
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f64
from xdsl.ir import BlockArgument, Operation

from kpuir.analysis.calibration import calibrate
from kpuir.analysis.functions import has_own_scales
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

        A module with nothing for the KPU stays in float, and one with scales of its own may do with those
        (`kpu-derive-ranges`): without a dataset they are left as they are.
        """
        needed = any(isinstance(inner, kpu.Conv2dOp) for inner in op.walk()) and not has_own_scales(op)
        if not self.has_dataset and not needed:
            return
        samples = self.load(op)
        done = iter(range(1, len(samples) + 1))
        seen = calibrate(op, samples, self.method, lambda: self.told(next(done), len(samples)))
        function = entry_function(op)
        for value, (low, high) in seen.ranges.items():
            # Pixels take their whole range, whatever the samples use of it.
            seen_or_known = (self.pixel_range or (low, high)) if isinstance(value, BlockArgument) else (low, high)
            bounds = DenseArrayBase.from_list(f64, [float(end) for end in seen_or_known])
            if isinstance(value, BlockArgument):
                set_argument_attribute(function, value.index, kpu.RANGE, bounds)
            elif isinstance(value.owner, Operation):
                value.owner.attributes[kpu.RANGE] = bounds
        for value, parameters in seen.lattices.items():
            assert isinstance(value, BlockArgument)
            kind = ktensor.QuantizedType.of(parameters.scale, parameters.zero_point)
            set_argument_attribute(function, value.index, kpu.LATTICE, kind)
