"""Whether a model fits the chip, found out before anything is calibrated, and the input size with which it does.

A dry run does what a compilation does, with ranges that are assumed: of these no size and no life of a buffer depends.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeAlias

from kpuir.errors import DoesNotFitError, InvalidInputError, KpuirError
from kpuir.target.k210 import K210, feature_map_bytes

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.ir import Operation, SSAValue
    from xdsl.passes import ModulePass

    from kpuir.runtime import Port

_STEPS = (8, 16, 32, 64)
"""Multiples of pixels that sizes are of: the first with which the model can be imported."""
_CHANNELS = (1, 3, 4)
"""How many channels images have: a last dimension of so many is one of channels."""
_NODES = 20_000
"""How far the exact search for places goes for a size that is tried: a fraction of a second."""

_FLOAT_BYTES = 4
_WORD = 8
"""What the bytes of working memory are a multiple of."""
_FEWER = "use fewer channels or layers"

Import: TypeAlias = "Callable[[dict[str, tuple[int, ...]]], ModuleOp]"
"""Imports a model with inputs of other shapes."""


@dataclass(frozen=True)
class DryRun:
    """The passes of a compilation, to be run without a dataset.

    `version`, `weight_bits` and `firmware` are the kmodel's.
    """

    passes: "Sequence[ModulePass]"
    version: str
    weight_bits: int
    firmware: str | None = None

    @property
    def first(self) -> "ModulePass | None":
        """The pass in front of which to `check`: the first that runs the dataset through the legalized model."""
        from kpuir.passes.dataset_pass import DatasetPass

        found = (one for one in self.passes if isinstance(one, DatasetPass) and one.name != "ktensor-split-inputs")
        return next(found, None)

    @property
    def _at(self) -> int:
        """The place of that pass; 0 where there is none."""
        return next((index for index, one in enumerate(self.passes) if one is self.first), 0)

    @property
    def _main_bytes(self) -> int:
        """What there is of main RAM, as far as is known."""
        from kpuir.target.firmware import FIRMWARES

        return K210.MAIN_RAM_BYTES if self.firmware is None else FIRMWARES[self.firmware].memory

    def check(self, module: "ModuleOp") -> None:
        """Raise DoesNotFitError for a module in front of the pass `first` that is proved not to fit.

        What clearly fits costs nothing. What a search for places may still make fit, and what fails for any other
        reason, is left to the compilation.
        """
        from kpuir.analysis.memory import CAPACITIES
        from kpuir.dialects import kbuf
        from kpuir.passes.kbuf_allocate import KbufAllocatePass, lower_bounds

        _check_weights(module, self.weight_bits)
        _check_outputs(module)
        if self.passes[-1].name != KbufAllocatePass.name or not _may_exceed(module, self._main_bytes):
            return
        module, proved = module.clone(), True
        try:
            _run(module, _without_dataset(self.passes[self._at : -1]))
            bounds = lower_bounds(module)
            proved = any(bounds[space] > CAPACITIES[space] for space in bounds)
            _run(module, [KbufAllocatePass(nodes=0)])
            proved = _working_bytes(module) < bounds[kbuf.Space.MAIN] + _WORD
            written(module, self.version, self.firmware)
        except DoesNotFitError:
            if proved:
                raise
        except Exception:
            return

    def fits(self, module: "ModuleOp") -> bool:
        """Whether a module at the `ktensor` level, which is changed, fits; False where it cannot be compiled at all."""
        from kpuir.passes.kbuf_allocate import KbufAllocatePass

        try:
            _run(module, _without_dataset(self.passes[: self._at]))
            _check_weights(module, self.weight_bits)
            _check_outputs(module)
            _run(module, _without_dataset(self.passes[self._at : -1]))
            _run(module, [KbufAllocatePass(nodes=_NODES)])
            written(module, self.version, self.firmware)
        except Exception:
            return False
        return True

    def suggestion(self, ports: "Sequence[Port]", import_with: Import) -> str:
        """A line about the largest inputs with which the model fits, the ratio of their sides kept.

        `ports` are the inputs it has now.
        """
        images = [_Image(port.name, port.shape) for port in ports if len(port.shape) == 4]
        if not images:
            return f"no input is an image that could be smaller: {_FEWER}"
        reason = ""
        for step in _STEPS:
            try:
                return self._searched(images, step, import_with)
            except Exception as error:
                reason = reason or (error.message if isinstance(error, KpuirError) else str(error))
        return f"the model takes no other input size: {reason}"

    def _searched(self, images: "Sequence[_Image]", step: int, import_with: Import) -> str:
        """The line for sizes that are multiples of `step`. Raises what the import does."""
        rows, columns = images[0].sides
        low, high = 0, (columns - 1) // step + 1
        while high - low > 1:
            middle = (low + high) // 2
            shapes = {image.name: image.scaled(middle * step / columns, step) for image in images}
            if self.fits(import_with(shapes)):
                low = middle
            else:
                high = middle
        if not low:
            return f"no smaller input fits either: {_FEWER}"
        found = _Image(images[0].name, images[0].scaled(low * step / columns, step))
        return f"largest input that fits: {found.sides[1]}x{found.sides[0]} (given {columns}x{rows})"


@dataclass(frozen=True)
class _Image:
    """An input of four dimensions."""

    name: str
    shape: tuple[int, ...]

    @property
    def axis(self) -> int:
        """That of rows, in front of that of columns."""
        return 1 if self.shape[3] in _CHANNELS and self.shape[1] not in _CHANNELS else 2

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[self.axis], self.shape[self.axis + 1]

    def scaled(self, factor: float, step: int) -> tuple[int, ...]:
        """The shape with sides that many times as long, to the nearest multiple of `step` that is not 0."""
        sides = [max(round(side * factor / step), 1) * step for side in self.sides]
        return (*self.shape[: self.axis], *sides, *self.shape[self.axis + 2 :])


def _without_dataset(passes: "Sequence[ModulePass]") -> "Iterator[ModulePass]":
    """The passes, ranges assumed; the others that run a dataset change no size and are left out."""
    from kpuir.passes.dataset_pass import DatasetPass
    from kpuir.passes.kpu_assume_ranges import KpuAssumeRangesPass

    for one in passes:
        if one.name == "kpu-calibrate":
            yield KpuAssumeRangesPass(noise=False)
        elif not isinstance(one, DatasetPass):
            yield one


def _run(module: "ModuleOp", passes: "Iterable[ModulePass]") -> None:
    """Run passes without the care that `run_passes` takes of errors."""
    from kpuir.pipelines import make_context

    context = make_context()
    for one in passes:
        one.apply(context, module)


def _may_exceed(module: "ModuleOp", main_bytes: int) -> bool:
    """Whether it is worth looking: a layer's maps exceed KPU RAM, or what else there is half of main RAM."""
    from kpuir.dialects import kpu, ktensor
    from kpuir.ir.functions import entry_function

    def elements(values: "Sequence[SSAValue]") -> int:
        return sum(prod(ktensor.shape_of(value)) for value in values)

    block = entry_function(module).body.block
    returned = block.last_op
    assert returned is not None
    ports = elements(block.args) + _FLOAT_BYTES * elements(returned.operands)
    layers = [op for op in block.ops if isinstance(op, kpu.Conv2dOp)]
    weights = sum(elements([op.weight]) for op in layers)
    return 2 * (ports + weights) > main_bytes or any(
        elements([op.input, op.output]) > K210.KPU_RAM_BYTES for op in layers
    )


def _check_weights(module: "ModuleOp", bits: int) -> None:
    """Raise DoesNotFitError for layers whose weights, those that are not 0, are more than main RAM holds."""
    import numpy as np

    from kpuir.dialects import kpu, ktensor
    from kpuir.ir.locations import layer_name

    layers = {op.weight: op for op in module.walk() if isinstance(op, kpu.Conv2dOp)}
    if sum(prod(ktensor.shape_of(value)) for value in layers) * bits // 8 <= K210.MAIN_RAM_BYTES:
        return
    sizes: Counter[str] = Counter()
    for value, op in layers.items():
        array = ktensor.constant_of(value)
        sizes[layer_name(op)] += 0 if array is None else int(np.count_nonzero(array)) * bits // 8
    largest, of_largest = sizes.most_common(1)[0]
    if sizes.total() > K210.MAIN_RAM_BYTES:
        raise DoesNotFitError(
            f"the weights take at least {sizes.total()} bytes with {bits} bits each, main RAM has "
            f"{K210.MAIN_RAM_BYTES}; most of them are this layer's: {of_largest}",
            location=largest,
            hint=f"no input is small enough: {_FEWER}",
        )


def _rows(shape: "Sequence[int]") -> str:
    """How much of KPU RAM a map takes, where it is one."""
    if len(shape) != 4:
        return ""
    return f", {feature_map_bytes(*shape) // K210.LINE_BYTES} rows of {K210.LINE_BYTES} bytes in KPU RAM"


def _check_outputs(module: "ModuleOp") -> None:
    """Raise DoesNotFitError for an output of the model that alone, as float32, is more than main RAM holds.

    That saves tiling all layers in front of it. What has no layers for the KPU is lowered fast; its error says more.
    """
    from xdsl.ir import Operation

    from kpuir.dialects import kpu, ktensor
    from kpuir.ir.functions import entry_function
    from kpuir.ir.locations import layer_name

    block = entry_function(module).body.block
    returned = block.last_op
    assert returned is not None
    if not any(isinstance(op, kpu.Conv2dOp) for op in block.ops):
        return
    for value in returned.operands:
        shape, layer = ktensor.shape_of(value), value.owner
        size = _FLOAT_BYTES * prod(shape)
        if size <= K210.MAIN_RAM_BYTES or not isinstance(layer, Operation) or not layer.operands:
            continue
        source = ktensor.shape_of(layer.operands[0])
        raise DoesNotFitError(
            f"the output, {'x'.join(map(str, shape))} in float32, takes {size} bytes of main RAM by itself, there are "
            f"{K210.MAIN_RAM_BYTES}; what makes it reads {'x'.join(map(str, source))}{_rows(source)}",
            location=layer_name(layer),
            hint="use a smaller input (kpu-compile --suggest-input-size finds the largest that fits) or fewer outputs",
        )


def _working_bytes(module: "ModuleOp") -> int:
    """What main RAM is needed for besides the kmodel, after `kbuf-allocate`, inputs and outputs included."""
    from xdsl.dialects.builtin import IntegerAttr

    from kpuir.dialects import kbuf

    main = module.attributes["kbuf.main_bytes"]
    ports = (
        kbuf.byte_size(op.result)
        for op in module.walk()
        if isinstance(op, kbuf.AllocOp) and kbuf.space_of(op.result) in (kbuf.Space.INPUT, kbuf.Space.OUTPUT)
    )
    return (main.value.data if isinstance(main, IntegerAttr) else 0) + sum(ports)


def written(module: "ModuleOp", version: str, firmware: str | None = None) -> bytes:
    """The bytes of the kmodel.

    Raises DoesNotFitError where it and its working memory exceed main RAM, or what a firmware leaves of it, and
    InvalidInputError where the firmware does not take it for another reason.
    """
    from kpuir.analysis.demands import demands
    from kpuir.translate import check_loadable, write_kmodel
    from kpuir.versions import check_firmware

    problems = check_loadable(module)
    if problems:
        raise InvalidInputError("a runtime would reject this kmodel: " + "; ".join(problems))
    data = write_kmodel(module, version)
    working = _working_bytes(module)
    if len(data) + working > K210.MAIN_RAM_BYTES:
        raise DoesNotFitError(
            f"the kmodel ({len(data)} bytes) and its working memory ({working}) take {len(data) + working} bytes, "
            f"main RAM has {K210.MAIN_RAM_BYTES}",
            location=_largest_layer(module),
            hint="use a smaller input (kpu-compile --suggest-input-size finds the largest that fits) or fewer weights",
        )
    if firmware is not None:
        check_firmware(firmware, demands(module, len(data)))
    return data


def _largest_layer(module: "ModuleOp") -> str:
    """The layer with the most bytes of constants and working memory in main RAM."""
    from xdsl.dialects.builtin import DenseIntOrFPElementsAttr

    from kpuir.dialects import kbuf
    from kpuir.ir.locations import layer_name

    def size(op: "Operation") -> int:
        constants = [value for value in op.properties.values() if isinstance(value, DenseIntOrFPElementsAttr)]
        total = sum(len(value.data.data) for value in constants)
        if isinstance(op, kbuf.AllocOp) and kbuf.space_of(op.result) is kbuf.Space.MAIN:
            total += kbuf.byte_size(op.result)
        return total

    sizes: Counter[str] = Counter()
    for op in module.walk():
        sizes[layer_name(op)] += size(op)
    return max(sizes, key=lambda layer: sizes[layer])
