"""Which maps are in KPU RAM, or will be once legalization is through: what passes decide by which side to work on.

A map is `[1, C, H, W]` of a size the KPU takes. What other passes turn into layers counts as being on the KPU already,
so passes do not depend on the order in which they reach the operations of a chain.
"""

from xdsl.ir import Operation, SSAValue

from kpuir.analysis import estimates
from kpuir.analysis.channels import channels_of, is_source
from kpuir.analysis.functions import channel_affine, scalar_function
from kpuir.dialects import kpu, ktensor
from kpuir.target import k210
from kpuir.target.k210 import Verdict

_LAYERS = (kpu.Conv2dOp, kpu.ConcatOp, kpu.ChannelSliceOp, kpu.FoldRowsOp, kpu.ImagesOp)
_MOVES = (kpu.PadOp, kpu.CropOp, kpu.StridedSliceOp)
_SHUFFLES = (ktensor.ReshapeOp, ktensor.TransposeOp)
_POOLS = (ktensor.MaxPool2dOp, ktensor.AveragePool2dOp, ktensor.SpaceToDepthOp)


def map_rule(value: SSAValue) -> Verdict:
    """The value is one image of a size that the KPU takes, whatever its number of channels."""
    shape = ktensor.shape_of(value)
    if len(shape) != 4 or shape[0] != 1:
        return Verdict(False, f"the shape is {list(shape)}, a map on the KPU is one image [1, C, H, W]")
    return k210.input_size_rule(*shape[2:])


def is_map(value: SSAValue) -> bool:
    """Whether `map_rule` holds."""
    return map_rule(value).ok


def is_elementwise(op: Operation) -> bool:
    """Whether the operation is a function of single elements, perhaps another one for each channel."""
    if isinstance(op, ktensor.PReluOp):
        return ktensor.constant_of(op.slope) is not None
    return scalar_function(op) is not None or channel_affine(op) is not None


def is_sum(op: Operation) -> bool:
    """Whether the operation adds or subtracts two maps of one size."""
    if not isinstance(op, ktensor.BinaryOp) or op.kind.data not in (ktensor.BinaryKind.ADD, ktensor.BinaryKind.SUB):
        return False
    return op.lhs.type == op.rhs.type and not any(ktensor.constant_of(value) is not None for value in op.operands)


def on_kpu(value: SSAValue) -> bool:
    """Whether a map is in KPU RAM where it is made."""
    op = value.owner
    if not isinstance(op, Operation) or not is_map(value):
        return False
    if isinstance(op, _LAYERS):
        return True
    if isinstance(op, (*_MOVES, *_POOLS)) or is_elementwise(op):
        return on_kpu(_source(op))
    if not is_source(value):
        return all(on_kpu(source) for source in channels_of(value).sources)
    return is_sum(op) and all(on_kpu(operand) for operand in op.operands)


def _source(op: Operation) -> SSAValue:
    """The operand of an element-wise or moving operation that is no constant."""
    return next((value for value in op.operands if ktensor.constant_of(value) is None), op.operands[0])


def reads_on_kpu(op: Operation) -> bool:
    """Whether an operation on a map is done on the KPU, or leads to one that is."""
    if isinstance(op, (*_LAYERS, *_MOVES)):
        return True
    if len(op.results) != 1:
        return False
    result = op.results[0]
    if not is_map(result):  # perhaps a shuffle of channels
        users = (use.operation for use in result.uses)
        return isinstance(op, _SHUFFLES) and any(isinstance(u, _SHUFFLES) and reads_on_kpu(u) for u in users)
    passes_on = isinstance(op, _POOLS) or is_elementwise(op) or is_sum(op) or not is_source(result)
    return passes_on and feeds_kpu(result)


def feeds_kpu(value: SSAValue) -> bool:
    """Whether the KPU reads a map."""
    return any(reads_on_kpu(use.operation) for use in value.uses)


def feeds_cpu(value: SSAValue) -> bool:
    """Whether the CPU reads a map, or it is a result of the model."""
    return any(not reads_on_kpu(use.operation) for use in value.uses)


def kpu_transfers(sources: list[SSAValue], result: SSAValue) -> float:
    """Milliseconds of the copies between the RAMs where the KPU makes `result` of `sources`."""
    shape = ktensor.shape_of(result)
    uploads = sum(estimates.upload(ktensor.shape_of(value)) for value in sources if not on_kpu(value))
    return uploads + (estimates.download(shape) if feeds_cpu(result) else 0)


def cpu_transfers(sources: list[SSAValue], result: SSAValue) -> float:
    """Milliseconds of the copies between the RAMs where the CPU makes `result` of `sources`."""
    shape = ktensor.shape_of(result)
    downloads = sum(estimates.download(ktensor.shape_of(value)) for value in sources if on_kpu(value))
    return downloads + (estimates.upload(shape) if feeds_kpu(result) else 0)
