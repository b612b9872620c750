"""`kpu-calibrate`: the range of every value that may be quantized, taken from a dataset.

Before: a float module at the `kpu` level. After: the same, each operation with the attribute `kpu.range` (lowest and
highest value worth representing) and each argument too; an argument whose samples are pixels, on a lattice of at most
256 levels, also has `kpu.lattice`, the parameters that represent it without any loss; a convolution has
`kpu.input_mean`, the mean of each of its input channels.

    %y = kpu.conv2d %x, %w, %b
      =>
    %y = kpu.conv2d %x, %w, %b {kpu.range = array<f64: 0.0, 5.5>}

The dataset is a folder of images, a .npy or a .npz (see `kpuir.dataset`). The float interpreter runs at this level, so
ranges are known on exactly the tensors that will be quantized.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, StringAttr, f64
from xdsl.ir import BlockArgument, SSAValue
from xdsl.passes import ModulePass

from kpuir.analysis.calibration import calibrate
from kpuir.dialects import kpu, ktensor
from kpuir.errors import InvalidInputError
from kpuir.ir.arrays import to_dense
from kpuir.ir.functions import LAYOUT, NAME, argument_attributes, entry_function, set_argument_attribute

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.dataset import InputSpec

RANGE = "kpu.range"
LATTICE = "kpu.lattice"
INPUT_MEAN = "kpu.input_mean"


def dataset_inputs(module: ModuleOp) -> "list[InputSpec]":
    """Name, shape and layout of the arguments as the source model has them: what a dataset must provide."""
    from kpuir.dataset import InputSpec

    function = entry_function(module)
    inputs: list[InputSpec] = []
    for index, argument in enumerate(function.body.block.args):
        attributes = argument_attributes(function, index)
        name, layout = attributes.get(NAME), attributes.get(LAYOUT)
        shape = ktensor.shape_of(argument)
        text = layout.data if isinstance(layout, StringAttr) else "NCHW"
        if text == "NHWC":
            shape = (shape[0], *shape[2:], shape[1])
        inputs.append(InputSpec(name.data if isinstance(name, StringAttr) else f"input{index}", shape, text))
    return inputs


def to_arguments(
    sample: "dict[str, NDArray[np.float32]]", inputs: "Sequence[InputSpec]"
) -> "list[NDArray[np.float32]]":
    """A sample in the source model's layout as the arguments of `@main`, in order, NCHW."""
    import numpy as np

    arrays = [(sample[spec.name], spec.layout) for spec in inputs]
    return [np.ascontiguousarray(a.transpose(0, 3, 1, 2)) if layout == "NHWC" else a for a, layout in arrays]


@dataclass(frozen=True)
class KpuCalibratePass(ModulePass):
    """Record the ranges of values over a dataset."""

    name = "kpu-calibrate"

    dataset: str = ""
    samples: int | None = None
    method: Literal["auto", "minmax", "mse", "kl", "percentile"] = "auto"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Load the dataset, run it and annotate the module. Raises InvalidInputError without a usable dataset."""
        from kpuir.dataset import load_dataset

        if not self.dataset:
            raise InvalidInputError(
                "there is no dataset to calibrate with",
                hint="give a folder of images, a .npy or a .npz with kpu-calibrate{dataset=...} or --dataset",
            )
        inputs = dataset_inputs(op)
        samples = load_dataset(self.dataset, inputs, samples=self.samples, mean=self.mean, std=self.std)
        self.annotate(op, (to_arguments(sample, inputs) for sample in samples))

    def annotate(
        self,
        module: ModuleOp,
        samples: "Iterable[Sequence[NDArray[np.float32]]]",
        progress: Callable[[], None] | None = None,
    ) -> None:
        """Run the samples, each the arguments of `@main`, and write what was seen into the module."""
        seen = calibrate(module, samples, self.method, progress)
        function = entry_function(module)
        for value, (low, high) in seen.ranges.items():
            bounds = DenseArrayBase.from_list(f64, [float(low), float(high)])
            if isinstance(value, BlockArgument):
                set_argument_attribute(function, value.index, RANGE, bounds)
            else:
                value.owner.attributes[RANGE] = bounds
        for value, parameters in seen.lattices.items():
            assert isinstance(value, BlockArgument)
            kind = ktensor.QuantizedType.of(parameters.scale, parameters.zero_point)
            set_argument_attribute(function, value.index, LATTICE, kind)
        for conv in function.walk():
            if isinstance(conv, kpu.Conv2dOp):
                mean = _mean_of(conv.input, seen.means)
                if mean is not None:
                    conv.attributes[INPUT_MEAN] = to_dense(mean.astype("float32"))


def _mean_of(value: SSAValue, means: "dict[SSAValue, NDArray[np.float64]]") -> "NDArray[np.float64] | None":
    return means.get(value)
