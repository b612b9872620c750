"""What passes that run the model on a dataset share: the dataset's options, and its samples as arguments of `@main`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import LAYOUT, NAME, argument_attributes, codes_of, entry_function

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.dataset import InputSpec
    from kpuir.quantization.calibration_record import CalibrationRecord


def dataset_inputs(module: ModuleOp) -> "list[InputSpec]":
    """Name, shape and layout of the arguments as the source model has them: what a dataset must provide."""
    from kpuir.dataset import Codes, InputSpec

    function = entry_function(module)
    inputs: list[InputSpec] = []
    for index, argument in enumerate(function.body.block.args):
        attributes = argument_attributes(function, index)
        name, layout = attributes.get(NAME), attributes.get(LAYOUT)
        shape = ktensor.shape_of(argument)
        text = "NCHW" if len(shape) == 4 else "flat"
        if isinstance(layout, StringAttr) and layout.data == "NHWC":
            text, shape = "NHWC", (shape[0], *shape[2:], shape[1])
        label, codes = name.data if isinstance(name, StringAttr) else f"input{index}", codes_of(attributes)
        inputs.append(InputSpec(label, shape, text, codes=None if codes is None else Codes(*codes)))
    return inputs


def load_ranges(paths: Sequence[str | Path]) -> "CalibrationRecord":
    """What the calibrations saved in some files have found out, together. Raises InvalidInputError, naming the file."""
    from kpuir.quantization.calibration_record import CalibrationRecord

    record = CalibrationRecord()
    for path in paths:
        try:
            record.merge(CalibrationRecord.from_text(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise InvalidInputError(f"cannot be read: {error.strerror}", location=str(path)) from None
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(
                f"these ranges cannot be used: {error}", location=str(path), hint="save them with --save-ranges"
            ) from None
    return record


@dataclass(frozen=True)
class DatasetPass(ModulePass):
    """A pass with a dataset: a folder of images, a .npy or a .npz (see `kpuir.dataset`).

    `ranges` are files of what earlier calibrations found out (see `kpuir.quantization.calibration_record`).
    """

    dataset: str = ""
    samples: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    ranges: tuple[str, ...] = ()

    def record(self) -> "CalibrationRecord":
        """What earlier calibrations found out, to which passes add what they do."""
        return load_ranges(self.ranges)

    @property
    def has_dataset(self) -> bool:
        """Whether there is anything to load."""
        return bool(self.dataset)

    def pixel_range(self, module: ModuleOp) -> tuple[float, float] | None:
        """Of images normalized alike in all channels: what pixels 0 to 255 become."""
        mean, std = set(self.mean or (0.0,)), set(self.std or (1.0,))
        if not self.dataset or not Path(self.dataset).is_dir() or len(mean) > 1 or len(std) > 1:
            return None
        if all(one.takes_pixels(self.mean, self.std) for one in dataset_inputs(module)):
            return 0.0, 255.0
        return (0 - min(mean)) / min(std), (1 - min(mean)) / min(std)

    def load(self, module: ModuleOp) -> "list[list[NDArray[np.float32]]]":
        """The samples of the dataset, each the arguments of `@main`. Raises InvalidInputError."""
        if not self.has_dataset:
            raise InvalidInputError(
                "there is no dataset to calibrate with",
                hint=f"give a folder of images, a .npy or a .npz with {self.name}{{dataset=...}} or --dataset",
            )
        return self.arranged(module, self.dataset)

    def arranged(
        self, module: ModuleOp, given: "str | Sequence[Mapping[str, NDArray[np.float32]]]"
    ) -> "list[list[NDArray[np.float32]]]":
        """A dataset in the source model's names and layouts as the arguments of `@main`, in order, NCHW.

        Raises InvalidInputError.
        """
        import numpy as np

        from kpuir.dataset import load_dataset

        inputs = dataset_inputs(module)
        return [
            [
                np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if spec.layout == "NHWC" else array
                for spec in inputs
                for array in (sample[spec.name],)
            ]
            for sample in load_dataset(given, inputs, samples=self.samples, mean=self.mean, std=self.std)
        ]

    def told(self, done: int, total: int) -> None:
        """Called after each sample; to be overridden by whoever shows progress."""
