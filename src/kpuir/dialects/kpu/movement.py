"""The operations of the kpu dialect that move values: what legalization adds around layers, and the two RAMs.

Operations first, then how they are simplified; each simplification keeps the location of what it replaces.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, DenseArrayBase, Float64Type, FloatAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern
from xdsl.traits import HasCanonicalizationPatternsTrait, Pure
from xdsl.utils.exceptions import VerifyException

from kpuir.dialects.kpu.attributes import (
    FeatureMapType,
    Size4,
    element_of,
    format_shape,
    require_type,
    reshaped,
    size4,
)
from kpuir.dialects.ktensor import MovesElements, MovesElementsOrZero, QuantizedType, float_attr, int_array

_FORMAT = "$input attr-dict `:` functional-type(operands, results)"
_NO_BORDER = (0, 0, 0, 0)


class PadCanonicalization(HasCanonicalizationPatternsTrait):
    """Pads by nothing vanish, pads of pads merge."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of `kpu.pad`."""
        return DropIdentityPad(), MergePads()


class CropCanonicalization(HasCanonicalizationPatternsTrait):
    """Crops by nothing vanish, crops of crops merge, crops of pads cancel, crops of a batch-to-space join it."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of `kpu.crop`."""
        return DropIdentityCrop(), MergeCrops(), CropPad(), CropBatchToSpace()


class StridedSliceCanonicalization(HasCanonicalizationPatternsTrait):
    """Slices of everything vanish, slices of slices merge."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of `kpu.strided_slice`."""
        return DropIdentitySlice(), MergeSlices()


class SpaceToBatchCanonicalization(HasCanonicalizationPatternsTrait):
    """Blocks of 1x1 are a pad; a pad with zeros before joins the operation's own."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of `kpu.space_to_batch`."""
        return SpaceToBatchOfOne(), PadSpaceToBatch()


class BatchToSpaceCanonicalization(HasCanonicalizationPatternsTrait):
    """Blocks of 1x1 are a crop; the inverse of a space-to-batch cancels it."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of `kpu.batch_to_space`."""
        return BatchToSpaceOfOne(), CancelSpaceToBatch()


class UploadCanonicalization(HasCanonicalizationPatternsTrait):
    """What was just downloaded need not be uploaded."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of `kpu.upload`."""
        return (CancelDownload(),)


class DownloadCanonicalization(HasCanonicalizationPatternsTrait):
    """What was just uploaded need not be downloaded."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        """The patterns of `kpu.download`."""
        return (CancelUpload(),)


@irdl_op_definition
class PadOp(IRDLOperation):
    """Rows and columns around a map: (top, left, bottom, right) of `pads`, filled with the real number `value`.

    On tensors the CPU does it, on feature maps the KPU.

    %y = kpu.pad %x {pads = array<i64: 1, 0, 0, 0>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x9x8xf32>
    """

    name = "kpu.pad"
    input = operand_def()
    pads = prop_def(DenseArrayBase[I64])
    value = prop_def(FloatAttr[Float64Type], default_value=float_attr(0.0))
    output = result_def()
    traits = traits_def(Pure(), PadCanonicalization())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation, pads: Sequence[int], value: float = 0.0) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"pads": int_array(pads), "value": float_attr(value)},
            result_types=[reshaped(x.type, _grown(size4(x.type), pads))],
        )

    def verify_(self) -> None:
        """Check the amounts and the result type."""
        pads = _numbers("pads", self.pads, 4, 0)
        require_type(self.output.type, reshaped(self.input.type, _grown(size4(self.input.type), pads)))


@irdl_op_definition
class CropOp(IRDLOperation):
    """A map without its outer (top, left, bottom, right) rows and columns.

    On tensors the CPU does it, on feature maps the KPU.

    %y = kpu.crop %x {crops = array<i64: 1, 1, 1, 1>} : (tensor<1x3x8x8xf32>) -> tensor<1x3x6x6xf32>
    """

    name = "kpu.crop"
    input = operand_def()
    crops = prop_def(DenseArrayBase[I64])
    output = result_def()
    traits = traits_def(Pure(), MovesElements(), CropCanonicalization())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation, crops: Sequence[int]) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"crops": int_array(crops)},
            result_types=[reshaped(x.type, _shrunk(size4(x.type), crops))],
        )

    def verify_(self) -> None:
        """Check the amounts and the result type."""
        size, crops = size4(self.input.type), _numbers("crops", self.crops, 4, 0)
        require_type(self.output.type, reshaped(self.input.type, _shrunk(size, crops)))


@irdl_op_definition
class ConcatRowsOp(IRDLOperation):
    """The rows of feature maps of one width, one map after another, each without some: layers copy them, a line each.

    `crops` are the rows that are left out of each operand at its top and bottom, (top, bottom, top, bottom, ...).

        %y = kpu.concat_rows %a, %b {crops = array<i64: 0, 1, 1, 0>}
             : (!kpu.fmap<1x3x8x20, 0.5, 3>, !kpu.fmap<1x3x9x20, 0.5, 3>) -> !kpu.fmap<1x3x15x20, 0.5, 3>
    """

    name = "kpu.concat_rows"
    inputs = var_operand_def(FeatureMapType)
    crops = prop_def(DenseArrayBase[I64])
    output = result_def(FeatureMapType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$inputs attr-dict `:` functional-type(operands, results)"

    def __init__(self, inputs: Sequence[SSAValue], crops: Sequence[int]) -> None:
        super().__init__(
            operands=[inputs],
            properties={"crops": int_array(crops)},
            result_types=[reshaped(inputs[0].type, _stacked([size4(value.type) for value in inputs], crops))],
        )

    @property
    def bands(self) -> tuple[tuple[int, int], ...]:
        """The first row of each operand that is kept, and how many are."""
        crops = self.crops.get_values()
        heights = (size4(value.type)[2] for value in self.inputs)
        return tuple(
            (top, height - top - bottom) for height, top, bottom in zip(heights, crops[::2], crops[1::2], strict=True)
        )

    def verify_(self) -> None:
        """Check that all are of one kind, that something is kept of each, and the result type."""
        if not self.inputs:
            raise VerifyException("a concat has at least one operand")
        crops = _numbers("crops", self.crops, 2 * len(self.inputs), 0)
        first = self.inputs[0].type
        for value in self.inputs:
            same = (*size4(first)[:2], size4(value.type)[2], size4(first)[3])
            require_type(value.type, reshaped(first, same), "operand")
        require_type(self.output.type, reshaped(first, _stacked([size4(value.type) for value in self.inputs], crops)))


@irdl_op_definition
class StridedSliceOp(IRDLOperation):
    """Every `strides`-th row and column from `begin` on: size ceil((size - begin) / stride).

    %y = kpu.strided_slice %x {begin = array<i64: 1, 0>, strides = array<i64: 2, 2>}
         : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
    """

    name = "kpu.strided_slice"
    input = operand_def(TensorType)
    begin = prop_def(DenseArrayBase[I64])
    strides = prop_def(DenseArrayBase[I64])
    output = result_def(TensorType)
    traits = traits_def(Pure(), MovesElements(), StridedSliceCanonicalization())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation, begin: Sequence[int], strides: Sequence[int]) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"begin": int_array(begin), "strides": int_array(strides)},
            result_types=[reshaped(x.type, _sliced(size4(x.type), begin, strides))],
        )

    def verify_(self) -> None:
        """Check begin, strides and the result type."""
        size = size4(self.input.type)
        begin, strides = _numbers("begin", self.begin, 2, 0), _numbers("strides", self.strides, 2, 1)
        require_type(self.output.type, reshaped(self.input.type, _sliced(size, begin, strides)))


@irdl_op_definition
class SpaceToBatchOp(IRDLOperation):
    """The pixels of each phase of a map as images of their own, after padding with (top, left, bottom, right) zeros.

        y[(i * bw + j) * N + n, c, y, x] = padded[n, c, y * bh + i, x * bw + j]     with block_shape (bh, bw)

    What makes a dilated convolution an ordinary one.
    """

    name = "kpu.space_to_batch"
    input = operand_def(TensorType)
    block_shape = prop_def(DenseArrayBase[I64])
    pads = prop_def(DenseArrayBase[I64], default_value=int_array(_NO_BORDER))
    output = result_def(TensorType)
    traits = traits_def(Pure(), MovesElementsOrZero(), SpaceToBatchCanonicalization())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(
        self, input: SSAValue | Operation, block_shape: Sequence[int], pads: Sequence[int] = _NO_BORDER
    ) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"block_shape": int_array(block_shape), "pads": int_array(pads)},
            result_types=[reshaped(x.type, _to_batch(size4(x.type), block_shape, pads))],
        )

    def verify_(self) -> None:
        """Check block shape, amounts and the result type."""
        size = size4(self.input.type)
        block, pads = _numbers("block_shape", self.block_shape, 2, 1), _numbers("pads", self.pads, 4, 0)
        require_type(self.output.type, reshaped(self.input.type, _to_batch(size, block, pads)))


@irdl_op_definition
class BatchToSpaceOp(IRDLOperation):
    """Images of the phases of a map as one map again, then cropped by (top, left, bottom, right).

    The inverse of `kpu.space_to_batch` where the crops are its pads.
    """

    name = "kpu.batch_to_space"
    input = operand_def(TensorType)
    block_shape = prop_def(DenseArrayBase[I64])
    crops = prop_def(DenseArrayBase[I64], default_value=int_array(_NO_BORDER))
    output = result_def(TensorType)
    traits = traits_def(Pure(), MovesElements(), BatchToSpaceCanonicalization())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = _FORMAT

    def __init__(
        self, input: SSAValue | Operation, block_shape: Sequence[int], crops: Sequence[int] = _NO_BORDER
    ) -> None:
        x = SSAValue.get(input)
        super().__init__(
            operands=[x],
            properties={"block_shape": int_array(block_shape), "crops": int_array(crops)},
            result_types=[reshaped(x.type, _to_space(size4(x.type), block_shape, crops))],
        )

    def verify_(self) -> None:
        """Check block shape, amounts and the result type."""
        size = size4(self.input.type)
        block, crops = _numbers("block_shape", self.block_shape, 2, 1), _numbers("crops", self.crops, 4, 0)
        require_type(self.output.type, reshaped(self.input.type, _to_space(size, block, crops)))


@irdl_op_definition
class UploadOp(IRDLOperation):
    """Copies a quantized tensor from main RAM into the row layout of KPU RAM.

    %y = kpu.upload %x : (tensor<1x3x8x8x!ktensor.quantized<ui8, 1.0, 0>>) -> !kpu.fmap<1x3x8x8, 1.0, 0>
    """

    name = "kpu.upload"
    input = operand_def(TensorType)
    output = result_def(FeatureMapType)
    traits = traits_def(Pure(), MovesElements(), UploadCanonicalization())
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation) -> None:
        x = SSAValue.get(input)
        super().__init__(operands=[x], result_types=[_uploaded(x.type)])

    def verify_(self) -> None:
        """Check that the input is quantized and the result is the same map."""
        require_type(self.output.type, _uploaded(self.input.type))


@irdl_op_definition
class DownloadOp(IRDLOperation):
    """Copies a feature map from KPU RAM into a dense quantized tensor in main RAM; the inverse of `kpu.upload`."""

    name = "kpu.download"
    input = operand_def(FeatureMapType)
    output = result_def(TensorType)
    traits = traits_def(Pure(), MovesElements(), DownloadCanonicalization())
    assembly_format = _FORMAT

    def __init__(self, input: SSAValue | Operation) -> None:
        x = SSAValue.get(input)
        super().__init__(operands=[x], result_types=[_downloaded(x.type)])

    def verify_(self) -> None:
        """Check that the result is the same map."""
        require_type(self.output.type, _downloaded(self.input.type))


def _numbers(name: str, values: Attribute, count: int, least: int) -> tuple[int, ...]:
    """The integers of a property. Raises VerifyException unless there are `count`, none below `least`."""
    assert isinstance(values, DenseArrayBase)
    numbers = tuple(int(value) for value in values.get_values())
    if len(numbers) != count or min(numbers) < least:
        raise VerifyException(f"{name} is {list(numbers)}, expected {count} integers of at least {least}")
    return numbers


def _grown(size: Size4, pads: Sequence[int]) -> Size4:
    top, left, bottom, right = pads
    return size[0], size[1], size[2] + top + bottom, size[3] + left + right


def _shrunk(size: Size4, crops: Sequence[int]) -> Size4:
    top, left, bottom, right = crops
    shape = size[0], size[1], size[2] - top - bottom, size[3] - left - right
    if min(shape) < 1:
        raise VerifyException(f"crops {list(crops)} leave nothing of {format_shape(size)}")
    return shape


def _stacked(sizes: Sequence[Size4], crops: Sequence[int]) -> Size4:
    """The size of maps on top of each other, each without (top, bottom) rows."""
    batch, channels, _, width = sizes[0]
    borders = zip(crops[::2], crops[1::2], strict=True)
    kept = [_shrunk(size, (top, 0, bottom, 0))[2] for size, (top, bottom) in zip(sizes, borders, strict=True)]
    if batch != 1:
        raise VerifyException(f"the rows of {batch} images are not joined, those of 1 are")
    return batch, channels, sum(kept), width


def _sliced(size: Size4, begin: Sequence[int], strides: Sequence[int]) -> Size4:
    height, width = (-(-(size[2 + axis] - begin[axis]) // strides[axis]) for axis in (0, 1))
    if min(height, width) < 1:
        raise VerifyException(f"begin {list(begin)} lies outside {format_shape(size)}")
    return size[0], size[1], height, width


def _to_batch(size: Size4, block: Sequence[int], pads: Sequence[int]) -> Size4:
    batch, channels, height, width = _grown(size, pads)
    if height % block[0] or width % block[1]:
        raise VerifyException(f"the padded map is {height}x{width}, not a multiple of the blocks {list(block)}")
    return batch * block[0] * block[1], channels, height // block[0], width // block[1]


def _to_space(size: Size4, block: Sequence[int], crops: Sequence[int]) -> Size4:
    batch, channels, height, width = size
    if batch % (block[0] * block[1]):
        raise VerifyException(f"{batch} images are not a multiple of the {block[0] * block[1]} of blocks {list(block)}")
    return _shrunk((batch // (block[0] * block[1]), channels, height * block[0], width * block[1]), crops)


def _uploaded(kind: Attribute) -> FeatureMapType:
    element = element_of(kind)
    if not isinstance(kind, TensorType) or not isinstance(element, QuantizedType):
        raise VerifyException(f"{kind} is not a quantized tensor")
    return FeatureMapType.of(size4(kind), element.scale_value, element.zero_point_value)


def _downloaded(kind: Attribute) -> Attribute:
    if not isinstance(kind, FeatureMapType):
        raise VerifyException(f"{kind} is not a feature map")
    return TensorType(kind.quantized, size4(kind))


def _replace(rewriter: PatternRewriter, op: Operation, *new: Operation) -> None:
    for made in new:
        made.location = op.location
    rewriter.replace(op, new)


def _sum(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))


class DropIdentityPad(RewritePattern):
    """pad by nothing -> its input."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PadOp, rewriter: PatternRewriter, /) -> None:
        """Match pads of 0."""
        if not any(op.pads.get_values()):
            rewriter.replace(op, (), (op.input,))


class MergePads(RewritePattern):
    """pad(pad(x)) of the same value -> pad(x)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PadOp, rewriter: PatternRewriter, /) -> None:
        """Match a pad of a pad."""
        inner = op.input.owner
        if not isinstance(inner, PadOp) or inner.value != op.value:
            return
        pads = _sum(inner.pads.get_values(), op.pads.get_values())
        _replace(rewriter, op, PadOp(inner.input, pads, op.value.value.data))


class DropIdentityCrop(RewritePattern):
    """crop by nothing -> its input."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CropOp, rewriter: PatternRewriter, /) -> None:
        """Match crops of 0."""
        if not any(op.crops.get_values()):
            rewriter.replace(op, (), (op.input,))


class MergeCrops(RewritePattern):
    """crop(crop(x)) -> crop(x)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CropOp, rewriter: PatternRewriter, /) -> None:
        """Match a crop of a crop."""
        inner = op.input.owner
        if isinstance(inner, CropOp):
            _replace(rewriter, op, CropOp(inner.input, _sum(inner.crops.get_values(), op.crops.get_values())))


class CropPad(RewritePattern):
    """crop(pad(x)) -> pad(crop(x)) with what is both padded and cropped on a side taken away."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CropOp, rewriter: PatternRewriter, /) -> None:
        """Match a crop of a pad on a common side that leaves some of the input."""
        inner = op.input.owner
        if not isinstance(inner, PadOp):
            return
        both = list(zip(inner.pads.get_values(), op.crops.get_values(), strict=True))
        if not any(pad and crop for pad, crop in both):
            return
        pads = tuple(max(pad - crop, 0) for pad, crop in both)
        crops = tuple(max(crop - pad, 0) for pad, crop in both)
        _, _, height, width = size4(inner.input.type)
        if crops[0] + crops[2] >= height or crops[1] + crops[3] >= width:
            return
        crop = CropOp(inner.input, crops)
        _replace(rewriter, op, crop, PadOp(crop, pads, inner.value.value.data))


class CropBatchToSpace(RewritePattern):
    """crop(batch_to_space(x)) -> batch_to_space(x) with larger crops."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CropOp, rewriter: PatternRewriter, /) -> None:
        """Match a crop of a batch-to-space."""
        inner = op.input.owner
        if not isinstance(inner, BatchToSpaceOp):
            return
        crops = _sum(inner.crops.get_values(), op.crops.get_values())
        _replace(rewriter, op, BatchToSpaceOp(inner.input, inner.block_shape.get_values(), crops))


class DropIdentitySlice(RewritePattern):
    """A slice of everything -> its input."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Match begin 0, strides 1."""
        if op.input.type == op.output.type and not any(op.begin.get_values()):
            rewriter.replace(op, (), (op.input,))


class MergeSlices(RewritePattern):
    """slice(slice(x)) -> slice(x)."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: StridedSliceOp, rewriter: PatternRewriter, /) -> None:
        """Match a slice of a slice."""
        inner = op.input.owner
        if not isinstance(inner, StridedSliceOp):
            return
        steps = inner.strides.get_values()
        begin = tuple(
            first + step * second
            for first, step, second in zip(inner.begin.get_values(), steps, op.begin.get_values(), strict=True)
        )
        strides = tuple(a * b for a, b in zip(steps, op.strides.get_values(), strict=True))
        _replace(rewriter, op, StridedSliceOp(inner.input, begin, strides))


class SpaceToBatchOfOne(RewritePattern):
    """space_to_batch with blocks of 1x1 -> pad."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SpaceToBatchOp, rewriter: PatternRewriter, /) -> None:
        """Match blocks of 1x1."""
        if op.block_shape.get_values() == (1, 1):
            _replace(rewriter, op, PadOp(op.input, op.pads.get_values()))


class PadSpaceToBatch(RewritePattern):
    """space_to_batch(pad(x) with zeros) -> space_to_batch(x) with larger pads."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: SpaceToBatchOp, rewriter: PatternRewriter, /) -> None:
        """Match a pad with zeros before."""
        inner = op.input.owner
        if not isinstance(inner, PadOp) or inner.value.value.data != 0.0:
            return
        pads = _sum(inner.pads.get_values(), op.pads.get_values())
        _replace(rewriter, op, SpaceToBatchOp(inner.input, op.block_shape.get_values(), pads))


class BatchToSpaceOfOne(RewritePattern):
    """batch_to_space with blocks of 1x1 -> crop."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: BatchToSpaceOp, rewriter: PatternRewriter, /) -> None:
        """Match blocks of 1x1."""
        if op.block_shape.get_values() == (1, 1):
            _replace(rewriter, op, CropOp(op.input, op.crops.get_values()))


class CancelSpaceToBatch(RewritePattern):
    """batch_to_space(space_to_batch(x)) of the same blocks -> crop(pad(x))."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: BatchToSpaceOp, rewriter: PatternRewriter, /) -> None:
        """Match a space-to-batch of the same blocks before."""
        inner = op.input.owner
        if not isinstance(inner, SpaceToBatchOp) or inner.block_shape != op.block_shape:
            return
        pad = PadOp(inner.input, inner.pads.get_values())
        _replace(rewriter, op, pad, CropOp(pad, op.crops.get_values()))


class CancelDownload(RewritePattern):
    """upload(download(x)) -> x."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: UploadOp, rewriter: PatternRewriter, /) -> None:
        """Match an upload of what was downloaded."""
        inner = op.input.owner
        if isinstance(inner, DownloadOp) and inner.input.type == op.output.type:
            rewriter.replace(op, (), (inner.input,))


class CancelUpload(RewritePattern):
    """download(upload(x)) -> x."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: DownloadOp, rewriter: PatternRewriter, /) -> None:
        """Match a download of what was uploaded."""
        inner = op.input.owner
        if isinstance(inner, UploadOp) and inner.input.type == op.output.type:
            rewriter.replace(op, (), (inner.input,))
