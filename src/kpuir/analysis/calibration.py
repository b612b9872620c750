"""Ranges of values over a dataset: the float interpreter runs every sample and observers look on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import Float32Type, ModuleOp, TensorType
from xdsl.ir import SSAValue

from kpuir.dialects import kpu, ktensor
from kpuir.ir.functions import entry_function

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.parameters import QuantizationParameters

_SHARING = (
    ktensor.ConstantOp,
    ktensor.ReshapeOp,
    ktensor.TransposeOp,
    ktensor.PadOp,
    ktensor.ConcatOp,
    kpu.PadOp,
)
"""Operations whose result takes the range of their operands: nothing is observed there."""

_MOST_LEVELS = 4096
"""More different values than any lattice of bytes has."""


@dataclass(frozen=True)
class Calibration:
    """What a dataset says about the values of a module.

    `ranges` are (lowest, highest) of what is worth representing; `lattices` the exact parameters of inputs whose values
    lie on at most 256 levels; `means` the mean per channel of the inputs of convolutions.
    """

    ranges: Mapping[SSAValue, tuple[float, float]]
    lattices: Mapping[SSAValue, "QuantizationParameters"]
    means: Mapping[SSAValue, "NDArray[np.float64]"]


def is_observed(value: SSAValue) -> bool:
    """Whether a value's range is taken from the dataset."""
    if not isinstance(value.type, TensorType) or not isinstance(value.type.element_type, Float32Type):
        return False
    return not isinstance(value.owner, _SHARING)


def kept_region(value: SSAValue) -> tuple[slice, slice]:
    """Rows and columns of a map that reach anything: what 1x1 convolutions and crops lead to leaves the rest out.

    Maps below 4x4 are padded for the KPU, and what stands in the padding behind the first layer is no value of the
    model.
    """
    everything = (slice(None), slice(None))
    users = [use.operation for use in value.uses]
    if users and all(isinstance(user, kpu.CropOp) for user in users):
        crops = [user.crops.get_values() for user in users if isinstance(user, kpu.CropOp)]
        top, left, bottom, right = (min(sides) for sides in zip(*crops, strict=True))
        return slice(top, -bottom or None), slice(left, -right or None)
    if len(users) == 1 and isinstance(users[0], kpu.Conv2dOp) and users[0].input == value:
        plain = users[0].kernel_size == 1 and users[0].pool_kind is kpu.PoolKind.BYPASS
        return kept_region(users[0].output) if plain else everything
    return everything


def reaches_convolution(value: SSAValue) -> bool:
    """Whether a value is the input of a convolution, paddings in between aside."""
    users = [use.operation for use in value.uses]
    return any(
        isinstance(user, kpu.Conv2dOp) or (isinstance(user, kpu.PadOp) and reaches_convolution(user.output))
        for user in users
    )


def _levels(known: "NDArray[np.float32]", array: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """The different values of both, no longer counted once there are too many."""
    import numpy as np

    for part in (array.reshape(-1)[: 4 * _MOST_LEVELS], array):  # a part shows soon that most tensors are no pixels
        if known.size <= _MOST_LEVELS:
            known = np.union1d(known, part)
    return known


def calibrate(
    module: ModuleOp,
    samples: Iterable[Sequence["NDArray[np.float32]"]],
    method: str = "auto",
    progress: Callable[[], None] | None = None,
) -> Calibration:
    """Run `@main` on every sample, given as its arguments in order, and return what was seen.

    `method` is the observers' (see `kpuir.quantization.observers`). A convolution with a mean pool is observed before
    it pools, for those are the values that get quantized. `progress` is called after each sample.
    """
    import numpy as np

    from kpuir.interpreters.run import Evaluator
    from kpuir.quantization.observers import Observer, make_observer
    from kpuir.quantization.parameters import lattice

    arguments = entry_function(module).body.block.args
    observers: dict[SSAValue, Observer] = {}
    sums: dict[SSAValue, NDArray[np.float64]] = {}
    regions: dict[SSAValue, tuple[slice, slice]] = {}
    averaged: dict[SSAValue, bool] = {}
    levels: dict[SSAValue, NDArray[np.float32]] = {}
    count = 0

    def observe(value: SSAValue, array: "NDArray[np.float32]") -> None:
        if not is_observed(value):
            return
        if array.ndim == 4:
            if value not in regions:
                regions[value], averaged[value] = kept_region(value), reaches_convolution(value)
            array = array[:, :, *regions[value]]
        if value not in observers:
            observers[value] = make_observer("minmax" if value in arguments else method)
        observers[value].update(array)
        if averaged.get(value):
            sums[value] = sums.get(value, np.zeros(array.shape[1])) + array.mean((0, 2, 3), dtype=np.float64)

    evaluator = Evaluator(module, observe)
    for sample in samples:
        for value, array in zip(arguments, sample, strict=True):
            levels[value] = _levels(levels.get(value, np.empty(0, np.float32)), array)
        evaluator.run(sample)
        count += 1
        if progress is not None:
            progress()
    found = {value: lattice(seen) for value, seen in levels.items() if seen.size <= _MOST_LEVELS}
    return Calibration(
        {value: observer.range() for value, observer in observers.items()},
        {value: parameters for value, parameters in found.items() if parameters is not None},
        {value: total / count for value, total in sums.items()},
    )
