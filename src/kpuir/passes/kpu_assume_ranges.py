"""`kpu-assume-ranges`: ranges of values without a dataset, to see where a model's layers would run.

Before and after are those of `kpu-calibrate`; the one sample is noise between 0 and 1. Placement and times do not
depend on the samples, but accuracy does: what is quantized with these ranges is not for use. With `noise=false` nothing
is run, and every value is taken to lie between 0 and 1.

    %y = kpu.conv2d %x, %w, %b
      =>
    %y = kpu.conv2d %x, %w, %b {kpu.range = array<f64: 0.0, 5.5>}
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from kpuir.analysis.calibration import observed_values
from kpuir.analysis.functions import has_own_scales
from kpuir.dialects import kpu, ktensor
from kpuir.ir.functions import entry_function
from kpuir.passes.kpu_calibrate import KpuCalibratePass, set_ranges

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _CalibrateWithNoise(KpuCalibratePass):
    """Calibration on one sample of noise."""

    def load(self, module: ModuleOp) -> "list[list[NDArray[np.float32]]]":
        """The same noise at each call."""
        import numpy as np

        rng = np.random.default_rng(0)
        shapes = [ktensor.shape_of(argument) for argument in entry_function(module).body.block.args]
        return [[rng.random(shape, np.float32) for shape in shapes]]


@dataclass(frozen=True)
class KpuAssumeRangesPass(ModulePass):
    """Record ranges of values without a dataset, good for a look at placement only.

    `noise`: run a sample of noise through the model; else all ranges are 0 to 1.
    """

    name = "kpu-assume-ranges"

    noise: bool = True

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the module, if there is anything for the KPU in it."""
        if not any(isinstance(inner, kpu.Conv2dOp) for inner in op.walk()):
            return
        if self.noise:
            _CalibrateWithNoise(method="minmax").apply(ctx, op)
        elif not has_own_scales(op):
            set_ranges(entry_function(op), dict.fromkeys(observed_values(op).values(), (0.0, 1.0)))
