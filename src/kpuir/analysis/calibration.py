"""Ranges of values over a dataset: the float interpreter runs every sample and observers look on."""

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import Float32Type, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from kpuir.analysis.bounds import function_bounds
from kpuir.analysis.significance import significances
from kpuir.dialects import kpu, ktensor
from kpuir.errors import InvalidInputError
from kpuir.ir.functions import NAME, argument_attributes, entry_function
from kpuir.ir.locations import layer_name
from kpuir.target.k210 import K210, row_layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.calibration_record import CalibrationRecord, TensorRecord
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


@dataclass(frozen=True)
class Calibration:
    """What a dataset says about the values of a module.

    `ranges` are (lowest, highest) of what is worth representing; `lattices` the exact parameters of inputs whose values
    lie on at most 256 levels.
    """

    ranges: Mapping[SSAValue, tuple[float, float]]
    lattices: Mapping[SSAValue, "QuantizationParameters"]


def is_observed(value: SSAValue) -> bool:
    """Whether a value's range is taken from the dataset."""
    if not isinstance(value.type, TensorType) or not isinstance(value.type.element_type, Float32Type):
        return False
    return not isinstance(value.owner, _SHARING)


_UNSEEN = 8.0
"""How much further values reach than those seen: by this over the root of their number (found by trying 2 to 8)."""
_MOST_ROOM = 0.8
"""They do not reach further than by this share, however few numbers are seen."""

Region = tuple[slice, slice]
"""Rows and columns of a map."""


def kept_region(value: SSAValue, known: dict[SSAValue, Region] | None = None) -> Region:
    """Rows and columns of a map that reach anything: crops and picks leave the rest out, across layers as well.

    What stands elsewhere is no value of the model: around maps below 4x4, which are padded for the KPU, around the one
    pixel that holds a global mean, between the pixels a stride picks. `known` keeps what was found for other values.
    """
    known = {} if known is None else known
    if value not in known:
        size = ktensor.shape_of(value)[2:]
        parts = [read_region(use.operation, value, known) for use in value.uses] or [_whole(size)]
        rows, columns = (
            slice(
                max(min(part[axis].start for part in parts), 0), min(max(part[axis].stop for part in parts), size[axis])
            )
            for axis in (0, 1)
        )
        known[value] = rows, columns
    return known[value]


def _whole(size: Sequence[int]) -> Region:
    return slice(0, size[0]), slice(0, size[1])


def read_region(user: Operation, value: SSAValue, known: dict[SSAValue, Region] | None = None) -> Region:
    """What a user reads of a map, its borders perhaps exceeded, to make what is kept of its own result."""
    known = {} if known is None else known
    whole = _whole(ktensor.shape_of(value)[2:])
    if isinstance(user, kpu.ChannelSliceOp | kpu.ConcatOp | kpu.UploadOp | kpu.DownloadOp):
        return kept_region(user.results[0], known)
    if isinstance(user, kpu.CropOp | kpu.PadOp):
        top, left = (user.crops if isinstance(user, kpu.CropOp) else user.pads).get_values()[:2]
        sign = 1 if isinstance(user, kpu.CropOp) else -1
        rows, columns = kept_region(user.output, known)
        return _moved(rows, sign * top), _moved(columns, sign * left)
    if isinstance(user, kpu.StridedSliceOp):
        kept, begin, strides = kept_region(user.output, known), user.begin.get_values(), user.strides.get_values()
        rows, columns = (_strided(kept[axis], strides[axis], begin[axis], 1) for axis in (0, 1))
        return rows, columns
    if isinstance(user, kpu.Conv2dOp) and user.input == value:
        return _read_by(user, known)
    if isinstance(user, kpu.LinesOp):
        return _pixel_of_lines(user) or whole
    return whole


def _pixel_of_lines(lines: kpu.LinesOp) -> Region | None:
    """The one pixel of each channel that layers pick out of a map's lines, None where they keep more than that."""
    height, width = kpu.size4(lines.input.type)[2:]
    pitch = K210.LINE_BYTES // row_layout(width).channels_per_line
    value, first, step = lines.output, [0, 0], 1
    while value.has_one_use():
        conv = next(iter(value.uses)).operation
        if not isinstance(conv, kpu.Conv2dOp) or conv.pool_kind.window > 1:
            break
        taps = _taps(conv)
        if any(low != high for low, high in taps):
            return None
        first = [at + step * (pick + tap) for at, pick, (tap, _) in zip(first, conv.pool_kind.pick, taps, strict=True)]
        value, step = conv.output, step * conv.pool_kind.stride
    if step % height or step % pitch:
        return None
    row, column = first[0] % height, first[1] % pitch
    return slice(row, row + 1), slice(column, column + 1)


def _read_by(conv: kpu.Conv2dOp, known: dict[SSAValue, Region]) -> Region:
    """What a layer reads: the windows of what it keeps, and around them as far as its weights are not 0."""
    rows, columns = (
        slice(region.start + first, region.stop + last)
        for region, (first, last) in zip(_pooled(conv, known), _taps(conv), strict=True)
    )
    return rows, columns


def _pooled(conv: kpu.Conv2dOp, known: dict[SSAValue, Region]) -> Region:
    """What a layer computes before it pools, to make what is kept of its result."""
    pool = conv.pool_kind
    rows, columns = (
        _strided(kept, pool.stride, pick, pool.window)
        for kept, pick in zip(kept_region(conv.output, known), pool.pick, strict=True)
    )
    return rows, columns


def computed_pixels(conv: kpu.Conv2dOp, known: dict[SSAValue, Region]) -> tuple[range, range]:
    """Rows and columns, of its input, around which a layer computes what is kept of its result.

    `known` keeps what was found for other values, as of `kept_region`.
    """
    pool = conv.pool_kind
    step = pool.stride if pool.window == 1 else 1
    size = ktensor.shape_of(conv.input)[2:]
    rows, columns = (
        range(*slice(window.start, window.stop, step).indices(limit))
        for window, limit in zip(_pooled(conv, known), size, strict=True)
    )
    return rows, columns


def _taps(conv: kpu.Conv2dOp) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and last row, and column, relative to the centre, that the weights of a layer reach."""
    weight, reach = ktensor.constant_of(conv.weight), conv.kernel_size // 2
    if weight is None or not reach or not weight.any():
        return (-reach, reach), (-reach, reach)
    used = (weight != 0).any(axis=(0, 1))
    rows, columns = used.any(axis=1).nonzero()[0] - reach, used.any(axis=0).nonzero()[0] - reach
    return (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))


def _observed_region(value: SSAValue, region: Region, shape: Sequence[int]) -> Region:
    """What is kept of an array that is a map, or, of a layer with a mean pool, the map before it is pooled."""
    owner = value.owner
    pool = owner.pool_kind if isinstance(owner, kpu.Conv2dOp) else kpu.PoolKind.BYPASS
    if not pool.is_mean or (pool.stride > 1 and tuple(shape) == ktensor.shape_of(value)):
        return region
    return _strided(region[0], pool.stride, 0, pool.window), _strided(region[1], pool.stride, 0, pool.window)


def _moved(region: slice, by: int) -> slice:
    return slice(region.start + by, region.stop + by)


def _strided(region: slice, stride: int, begin: int, window: int) -> slice:
    """The elements that windows at every so many elements cover."""
    return slice(begin + region.start * stride, begin + (region.stop - 1) * stride + window)


def lattice_of(arrays: Iterable["NDArray[np.float32]"]) -> "QuantizationParameters | None":
    """The parameters that represent all numbers of some arrays without any loss, because they are pixels; else None."""
    import numpy as np

    from kpuir.quantization.calibration_record import with_levels
    from kpuir.quantization.parameters import lattice

    levels: NDArray[np.float32] | None = np.empty(0, np.float32)
    for array in arrays:
        levels = with_levels(levels, array)
    return None if levels is None else lattice(levels)


def with_room(seen: tuple[float, float], count: int) -> tuple[float, float]:
    """A range with room for what so many numbers do not show: few numbers miss the extremes by more.

    Saturated numbers are far worse than slightly coarser ones. A side of 0 that is short compared to the whole
    range may miss as much as a quarter of that would.
    """
    share = min(_UNSEEN / count**0.5, _MOST_ROOM)
    low, high = seen
    quarter = (high - low) / 4
    return (
        low - share * max(-low, quarter) if low < 0 else low,
        high + share * max(high, quarter) if high > 0 else high,
    )


def _with_unseen(value: SSAValue, seen: tuple[float, float], numbers: int, floor: float) -> tuple[float, float]:
    """A range with room, as far as the function that gives its values allows it; those below `floor` do not matter."""
    least, most = function_bounds(value)
    low, high = with_room(seen, numbers)
    return max(low, min(seen[0], max(least, floor))), min(high, max(seen[1], most))


def observed_values(module: ModuleOp) -> dict[str, SSAValue]:
    """All values whose ranges are taken from a dataset, by unique names.

    An argument has the name it has in the source model, a result that of its layer; `conv1:2` is the second of several.
    """
    function = entry_function(module)
    found: dict[str, SSAValue] = {}
    for value in (*function.body.block.args, *(result for op in function.body.block.ops for result in op.results)):
        if is_observed(value):
            found[unique_name(_name(function, value), found)] = value
    return found


def unique_name(name: str, taken: Container[str]) -> str:
    """The name, or the first of `name:2`, `name:3` ... that is not taken yet."""
    numbered = (f"{name}:{index}" for index in count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def _name(function: FuncOp, value: SSAValue) -> str:
    if isinstance(value, BlockArgument):
        name = argument_attributes(function, value.index).get(NAME)
        return name.data if isinstance(name, StringAttr) else f"input{value.index}"
    assert isinstance(value.owner, Operation)
    return layer_name(value.owner)


def calibrate(
    module: ModuleOp,
    samples: Iterable[Sequence["NDArray[np.float32]"]],
    method: str = "auto",
    progress: Callable[[], None] | None = None,
    record: "CalibrationRecord | None" = None,
    pixels: tuple[float, float] | None = None,
) -> Calibration:
    """Run `@main` on every sample, given as its arguments in order, and return what was seen.

    `method` is the observers' (see `kpuir.quantization.observers`); auto also looks at what matters to the readers of a
    value (`kpuir.analysis.significance`) and leaves room for what the samples do not show. A convolution with a mean
    pool is observed before it pools, for those are the values that get quantized. `progress` is called after each
    sample. What `record` knows of the tensors of this module counts as well, and what is seen is added to it.
    `pixels` is the range of arguments that are images, whatever the samples use of it.
    """
    import numpy as np

    from kpuir.interpreters.run import Evaluator
    from kpuir.quantization.calibration_record import CalibrationRecord, TensorRecord, with_levels
    from kpuir.quantization.observers import make_observer
    from kpuir.quantization.parameters import lattice

    arguments = entry_function(module).body.block.args
    record = CalibrationRecord() if record is None else record
    names = observed_values(module)
    for name, value in names.items():
        if name not in record.tensors:
            of_input = isinstance(value, BlockArgument)
            observer = make_observer("minmax" if of_input else method)
            record.tensors[name] = TensorRecord(observer, levels=np.empty(0, np.float32) if of_input else None)
    states = {value: record.tensors[name] for name, value in names.items()}
    regions: dict[SSAValue, Region] = {}
    known: dict[SSAValue, Region] = {}

    significant, replaced = significances(module) if method == "auto" else ({}, set())

    def observe(value: SSAValue, array: "NDArray[np.float32]") -> None:
        if value not in replaced:
            take(value, kept(value, array))
        if value in significant:
            for seen in significant[value](array):
                for part in seen.values:
                    take(part, kept(value, seen.array), seen.least if math.isfinite(seen.least) else None)

    def kept(value: SSAValue, array: "NDArray[np.float32]") -> "NDArray[np.float32]":
        if array.ndim != 4:
            return array
        if value not in regions:
            regions[value] = kept_region(value, known)
        return array[:, :, *_observed_region(value, regions[value], array.shape)]

    def take(value: SSAValue, array: "NDArray[np.float32]", least: float | None = None) -> None:
        tensor = states.get(value)
        if not isinstance(tensor, TensorRecord):
            return
        tensor.observer.update(array)
        tensor.numbers += array.size
        tensor.matters_from(least)

    evaluator = Evaluator(module, observe)
    for sample in samples:
        for value, array in zip(arguments, sample, strict=True):
            tensor = states.get(value)
            if isinstance(tensor, TensorRecord):
                tensor.levels = with_levels(tensor.levels, array)
        evaluator.run(sample)
        record.samples += 1
        if progress is not None:
            progress()
    lattices: dict[SSAValue, QuantizationParameters] = {}
    ranges: dict[SSAValue, tuple[float, float]] = {}
    for value, tensor in states.items():
        if not isinstance(tensor, TensorRecord):
            ranges[value] = tensor
            continue
        parameters = None if tensor.levels is None else lattice(tensor.levels)
        if parameters is not None:
            lattices[value] = parameters
        ranges[value] = tensor.known or _chosen(value, tensor, method)
        if pixels is not None and isinstance(value, BlockArgument):
            ranges[value] = tensor.known = pixels
        tensor.chosen = ranges[value]
    return Calibration(ranges, lattices)


def _chosen(value: SSAValue, tensor: "TensorRecord", method: str) -> tuple[float, float]:
    """What is worth representing of a value. Raises InvalidInputError, naming its layer, where no number was seen."""
    try:
        seen = tensor.observer.range()
    except ValueError:
        raise InvalidInputError(
            "no sample gives it a finite value",
            location=layer_name(value.owner) if isinstance(value.owner, Operation) else value.name_hint,
            hint="look at logarithms, roots and divisions, and at the range of the samples",
        ) from None
    floor = -math.inf if tensor.least is None else tensor.least
    return _with_unseen(value, seen, tensor.numbers, floor) if method == "auto" else seen
