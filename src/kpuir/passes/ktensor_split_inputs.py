"""`ktensor-split-inputs`: inputs that one byte does not hold well enough reach the KPU as several bytes a number.

Before: a float module whose convolutions and matrix products read an input of the model. After: where rounding that
input to 8 bits changes the model's results too much, several `ktensor.quantize`, each for a part of the range, and
weights that add the parts up again.

    %y = ktensor.conv2d %x, %w
      =>
    %a = ktensor.quantize %x {multiplier = 0.05}                    // 0 to 20 in 255 steps
    %b = ktensor.quantize %x {multiplier = 0.05, addend = -255}     // 20 to 40
    %c = ktensor.quantize %x {multiplier = -0.05}                   // 0 to -20
    %d = ktensor.dequantize (ktensor.concat %a, %b, %c)             // each 0 to 1
    %y = ktensor.conv2d %d, %ww                                     // [20 %w, 20 %w, -20 %w]

It is done for inputs whose samples are no pixels (those are bytes anyway), where it costs little time on the CPU. How
far results change is measured on samples of the dataset; the parts come from `kpuir.quantization.range_parts`. Such an
input is float32 in the kmodel. Without a dataset, or a record of what was decided before, nothing changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import BlockArgument, Operation, SSAValue
from xdsl.rewriter import InsertPoint

from kpuir.analysis import estimates
from kpuir.analysis.calibration import lattice_of, with_room
from kpuir.dialects import kpu, ktensor
from kpuir.ir.functions import entry_function
from kpuir.passes.dataset_pass import DatasetPass, dataset_inputs
from kpuir.target.k210 import CpuCosts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.calibration_record import Split

    Samples: TypeAlias = Sequence[Sequence[NDArray[np.float32]]]

_MOST_SAMPLES = 16
_WANTED = 5e-5
"""The square of the change of the results, relative to theirs, above which an input is split, so that it falls to this.

It falls with the square of the number of parts.
"""
_MOST_PARTS = 4
_MOST_MILLISECONDS = 1.0

Reader = ktensor.Conv2dOp | ktensor.MatmulOp


def _readers(value: SSAValue) -> list[Reader]:
    """The convolutions and products with constants that are all that reads a value; none where something else does."""
    found = [use.operation for use in value.uses]
    readers = [op for op in found if isinstance(op, Reader) and op.operands[0] == value and _is_ordinary(op)]
    readers.sort(key=_position)  # uses are in the order in which they were made
    alike = len(readers) == len(found) and len({type(op) for op in readers}) == 1
    return readers if alike else []


def _position(op: Operation) -> int:
    assert op.parent is not None
    return op.parent.get_operation_index(op)


def _is_ordinary(op: Reader) -> bool:
    """Whether every input channel has weights of its own for every output."""
    if ktensor.constant_of(op.operands[1]) is None or kpu.REASON in op.attributes:
        return False
    return op.groups.value.data == 1 if isinstance(op, ktensor.Conv2dOp) else len(ktensor.shape_of(op.operands[1])) == 2


def _split_point(argument: BlockArgument) -> SSAValue:
    """The argument, or what it becomes in another shape, that convolutions read."""
    value: SSAValue = argument
    while value.has_one_use():
        user = next(iter(value.uses)).operation
        if not isinstance(user, ktensor.ReshapeOp | ktensor.TransposeOp):
            break
        value = user.results[0]
    return value


def _range(arrays: "Sequence[NDArray[np.float32]]") -> tuple[float, float]:
    """The lowest and highest of all numbers, with room for unseen ones."""
    seen = float(min(array.min() for array in arrays)), float(max(array.max() for array in arrays))
    return with_room(seen, sum(array.size for array in arrays))


def _change(module: ModuleOp, index: int, samples: "Samples") -> float:
    """The square of what rounding an argument to 8 bits changes the model's results by, relative to theirs."""
    import numpy as np

    from kpuir.interpreters.run import Evaluator
    from kpuir.quantization.parameters import QuantizationParameters

    rounding = QuantizationParameters.from_range(*_range([sample[index] for sample in samples]))
    evaluator, changed, whole = Evaluator(module), 0.0, 0.0
    for sample in samples[:: -(-len(samples) // _MOST_SAMPLES)]:
        rounded = list(sample)
        rounded[index] = rounding.dequantize(rounding.quantize(sample[index]))
        for exact, found in zip(evaluator.run(sample), evaluator.run(rounded), strict=True):
            changed += float(np.square(found.astype(np.float64) - exact).sum())
            whole += float(np.square(exact.astype(np.float64)).sum())
    return changed / whole if whole else 0.0


def _split(value: SSAValue, readers: Sequence[Reader], split: "Split") -> None:
    """Let the readers of a value read parts of it."""
    import numpy as np

    from kpuir.quantization.range_parts import range_parts

    parts = range_parts(*split.range, max(split.parts, 2))
    of_images = isinstance(readers[0], ktensor.Conv2dOp)
    axis = 1 if of_images else len(ktensor.shape_of(value)) - 1
    element = ktensor.QuantizedType.of(1 / 255, 0)
    builder = Builder(InsertPoint.before(readers[0]))

    def insert(op: Operation, location: Operation = readers[0]) -> SSAValue:
        op.location = location.location
        builder.insert(op)
        return op.results[0]

    codes = [insert(ktensor.QuantizeOp(value, element, 1 / 255 / part.step, -part.begin)) for part in parts]
    for code in codes:
        assert isinstance(code.owner, Operation)
        code.owner.attributes[kpu.REASON] = StringAttr(split.reason)
    joined = insert(ktensor.DequantizeOp(insert(ktensor.ConcatOp(codes, axis))))
    for reader in readers:
        weight = ktensor.constant_of(reader.operands[1])
        assert weight is not None
        scaled = [(weight.astype(np.float64) * (255 * part.step)).astype(np.float32) for part in parts]
        builder.insertion_point = InsertPoint.before(reader)
        reader.operands[0] = joined
        reader.operands[1] = insert(ktensor.ConstantOp(np.concatenate(scaled, axis=1 if of_images else 0)), reader)


@dataclass(frozen=True)
class KTensorSplitInputsPass(DatasetPass):
    """Give inputs that need it more than 8 bits.

    `parts`: into how many bytes a number goes; as many as are needed unless given, 1 leaves inputs as they are.
    """

    name = "ktensor-split-inputs"

    parts: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module in place."""
        if self.parts == 1:
            return
        arguments = entry_function(op).body.block.args
        candidates = [(one, _split_point(one)) for one in arguments if _is_cheap(one)]
        candidates = [(one, value) for one, value in candidates if _readers(value)]
        record = self.record()
        if not candidates or (record.splits is None and not self.has_dataset):
            return
        names = [spec.name for spec in dataset_inputs(op)]
        if record.splits is None:
            samples = self.load(op)
            found = ((names[one.index], self._decided(op, one, samples)) for one, _ in candidates)
            record.splits = {name: split for name, split in found if split is not None}
        for argument, value in candidates:
            split = record.splits.get(names[argument.index])
            if split is not None:
                _split(value, _readers(value), split)

    def _decided(self, op: ModuleOp, argument: BlockArgument, samples: "Samples") -> "Split | None":
        """Into what to split an argument; None where one byte does."""
        from kpuir.quantization.calibration_record import Split

        seen = [sample[argument.index] for sample in samples]
        pixels = self.pixel_range(op)
        if self.parts is None and (pixels or lattice_of(seen)) is not None:
            return None
        count, reason = self.parts or 1, "more parts than one were asked for"
        if self.parts is None:
            change = _change(op, argument.index, samples)
            if not math.isfinite(change):  # results that are no numbers tell nothing
                return None
            count = min(math.ceil((change / _WANTED) ** 0.5), _MOST_PARTS)
            reason = f"rounded to 8 bits it would change the results by {100 * change**0.5:.1f} %"
        return Split(count, pixels or _range(seen), reason) if count > 1 else None


def _is_cheap(argument: SSAValue) -> bool:
    """Whether making bytes of an input several times takes little time."""
    return estimates.elements(ktensor.shape_of(argument), CpuCosts.QUANTIZE) * _MOST_PARTS <= _MOST_MILLISECONDS
