"""Pooling and reductions."""

from collections.abc import Sequence

from xdsl.dialects.builtin import BoolAttr, TensorType, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def

from kpuir.dialects.ktensor.attributes import IntArray, ReduceKind, ReduceKindAttr, int_array
from kpuir.dialects.ktensor.base import (
    KTensorOp,
    Value,
    element_of,
    image_of,
    number_of,
    require,
    require_ints,
    shape_of,
    tensor,
)
from kpuir.dialects.ktensor.linear import window_count


class _PoolOp(KTensorOp):
    """The window common to both poolings."""

    input = operand_def(TensorType)
    kernel_shape = prop_def(IntArray.constr(i64))
    strides = prop_def(IntArray.constr(i64), default_value=int_array((1, 1)))
    pads = prop_def(IntArray.constr(i64), default_value=int_array((0, 0, 0, 0)))

    def pooled_shape(self, dilations: Sequence[int]) -> tuple[int, int, int, int]:
        """The shape of the output. Every window must cover at least one element of the input."""
        for values, count, least, what in (
            (self.kernel_shape, 2, 1, "kernel_shape"),
            (self.strides, 2, 1, "strides"),
            (self.pads, 4, 0, "pads"),
        ):
            require_ints(values, count, least, what)
        n, c, h, w = image_of(self.input)
        (kh, kw), (sh, sw) = self.kernel_shape.get_values(), self.strides.get_values()
        top, left, bottom, right = self.pads.get_values()
        extent_h, extent_w = dilations[0] * (kh - 1) + 1, dilations[1] * (kw - 1) + 1
        require(
            max(top, bottom) < extent_h and max(left, right) < extent_w,
            f"pads {[top, left, bottom, right]} must be smaller than the window {extent_h}x{extent_w}",
        )
        oh = window_count(h + top + bottom, kh, sh, dilations[0])
        ow = window_count(w + left + right, kw, sw, dilations[1])
        return n, c, oh, ow

    @property
    def is_identity(self) -> bool:
        """Whether every window is one pixel and none is left out."""
        return {*self.kernel_shape.get_values(), *self.strides.get_values()} == {1} and not any(self.pads.get_values())

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """A window of one pixel is no pooling."""
        return (self.input,) if self.is_identity else None


@irdl_op_definition
class MaxPool2dOp(_PoolOp):
    """The largest element of every window; padding never wins. Quantized elements are allowed.

    Shapes: [N, C, H, W] -> [N, C, OH, OW], OH = (H + top + bottom - (dilations[0] * (KH - 1) + 1)) // strides[0] + 1.

    Example: `%y = ktensor.max_pool2d %x {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} :
    (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>`.
    """

    name = "ktensor.max_pool2d"
    dilations = prop_def(IntArray.constr(i64), default_value=int_array((1, 1)))

    def __init__(
        self,
        input: Value,
        kernel_shape: Sequence[int],
        *,
        strides: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
    ) -> None:
        self.set_up(
            [input],
            {
                "kernel_shape": int_array(kernel_shape),
                "strides": int_array(strides),
                "pads": int_array(pads),
                "dilations": int_array(dilations),
            },
        )

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N, C, OH, OW]."""
        require_ints(self.dilations, 2, 1, "dilations")
        return tensor(element_of(self.input), self.pooled_shape(self.dilations.get_values()))


@irdl_op_definition
class AveragePool2dOp(_PoolOp):
    """The mean of every window: its sum over the number of elements it covers.

    Padding is zeros; it counts as elements of a window only with `count_include_pad`.

    Example: `%y = ktensor.average_pool2d %x {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>} :
    (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>`.
    """

    name = "ktensor.average_pool2d"
    count_include_pad = prop_def(BoolAttr, default_value=BoolAttr.from_bool(False))

    def __init__(
        self,
        input: Value,
        kernel_shape: Sequence[int],
        *,
        strides: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        count_include_pad: bool = False,
    ) -> None:
        self.set_up(
            [input],
            {
                "kernel_shape": int_array(kernel_shape),
                "strides": int_array(strides),
                "pads": int_array(pads),
                "count_include_pad": BoolAttr.from_bool(count_include_pad),
            },
        )

    @property
    def counts_padding(self) -> bool:
        """`count_include_pad` as a bool."""
        return bool(self.count_include_pad.value.data)

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N, C, OH, OW]."""
        return tensor(number_of(self.input, "input"), self.pooled_shape((1, 1)))


@irdl_op_definition
class ReduceOp(KTensorOp):
    """Mean, max, min, sum or product over some axes, which stay as axes of size 1 with `keep_dims`.

    Example: `%y = ktensor.reduce<mean> %x {axes = array<i64: 2, 3>} : (tensor<1x8x4x4xf32>) -> tensor<1x8x1x1xf32>`.
    """

    name = "ktensor.reduce"
    input = operand_def(TensorType)
    kind = prop_def(ReduceKindAttr)
    axes = prop_def(IntArray.constr(i64))
    keep_dims = prop_def(BoolAttr, default_value=BoolAttr.from_bool(True))

    assembly_format = "`` $kind $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, kind: ReduceKind | str, input: Value, axes: Sequence[int], *, keep_dims: bool = True) -> None:
        self.set_up(
            [input],
            {
                "kind": ReduceKindAttr(ReduceKind(kind)),
                "axes": int_array(axes),
                "keep_dims": BoolAttr.from_bool(keep_dims),
            },
        )

    @property
    def keeps_dims(self) -> bool:
        """`keep_dims` as a bool."""
        return bool(self.keep_dims.value.data)

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output."""
        shape, axes = shape_of(self.input), self.axes.get_values()
        fits = all(0 <= axis < len(shape) for axis in axes) and len(set(axes)) == len(axes) > 0
        require(fits, f"axes must be different and lie in 0..{len(shape) - 1}, but are {list(axes)}")
        if self.keeps_dims:
            reduced = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        else:
            reduced = tuple(size for axis, size in enumerate(shape) if axis not in axes)
        return tensor(number_of(self.input, "input"), reduced)

    def fold(self) -> Sequence[SSAValue | Attribute] | None:
        """Over axes of size 1 nothing is reduced."""
        return (self.input,) if self.input.type == self.output.type else None
