"""Convolutions and matrix products."""

from collections.abc import Sequence

from xdsl.dialects.builtin import IntegerAttr, TensorType, i64
from xdsl.ir import Attribute
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
)

from kpuir.dialects.ktensor.attributes import IntArray, int_array, int_attr
from kpuir.dialects.ktensor.base import (
    KTensorOp,
    Value,
    broadcast_shapes,
    image_of,
    number_of,
    require,
    require_at_least,
    require_ints,
    shape_of,
    tensor,
)


class _ConvolutionOp(KTensorOp):
    """Operands, window and checks common to both directions of convolution."""

    input = operand_def(TensorType)
    weight = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    strides = prop_def(IntArray.constr(i64), default_value=int_array((1, 1)))
    pads = prop_def(IntArray.constr(i64), default_value=int_array((0, 0, 0, 0)))
    dilations = prop_def(IntArray.constr(i64), default_value=int_array((1, 1)))
    groups = prop_def(IntegerAttr.constr(i64), default_value=int_attr(1))

    assembly_format = "$input `,` $weight (`bias` $bias^)? attr-dict `:` functional-type(operands, results)"

    @property
    def group_count(self) -> int:
        """`groups` as a number."""
        return self.groups.value.data

    @property
    def kernel_shape(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return image_of(self.weight, "weight")[2:]

    def check_window(self) -> None:
        """Check the properties, and that all operands have the same element type."""
        require_ints(self.strides, 2, 1, "strides")
        require_ints(self.pads, 4, 0, "pads")
        require_ints(self.dilations, 2, 1, "dilations")
        require_at_least([self.group_count], 1, "groups")
        element = number_of(self.input, "input")
        for value, what in ((self.weight, "weight"), (self.bias, "bias")):
            found = number_of(value, what) if value is not None else element
            require(found == element, "{} has elements of type {}, but the input of type {}", what, found, element)

    def check_bias(self, channels: int) -> None:
        """Check that the bias has one number per output channel."""
        if self.bias is None:
            return
        shape = shape_of(self.bias)
        require(shape == (channels,), f"bias has shape {list(shape)}, but the output has {channels} channels")


@irdl_op_definition
class Conv2dOp(_ConvolutionOp):
    """Two-dimensional convolution (correlation) with zero padding.

    `output[n, o, y, x] = bias[o] + sum_{i, a, b} weight[o, i, a, b] * input[n, g * IC/groups + i,
    y * strides[0] + a * dilations[0] - top, x * strides[1] + b * dilations[1] - left]`, where g is the group of o.
    Shapes: input [N, IC, H, W], weight [OC, IC / groups, KH, KW], bias [OC]; pads are (top, left, bottom, right).

    Example: `%y = ktensor.conv2d %x, %w bias %b {pads = array<i64: 1, 1, 1, 1>} :
    (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>, tensor<16xf32>) -> tensor<1x16x8x8xf32>`.
    """

    name = "ktensor.conv2d"

    def __init__(
        self,
        input: Value,
        weight: Value,
        bias: Value | None = None,
        *,
        strides: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
        groups: int = 1,
    ) -> None:
        self.set_up(
            [input, weight, bias],
            {
                "strides": int_array(strides),
                "pads": int_array(pads),
                "dilations": int_array(dilations),
                "groups": int_attr(groups),
            },
        )

    @property
    def is_depthwise(self) -> bool:
        """Whether every input channel makes exactly one output channel of its own."""
        return self.group_count == shape_of(self.input)[1] == shape_of(self.weight)[0]

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N, OC, OH, OW]."""
        self.check_window()
        n, ic, h, w = image_of(self.input)
        oc, group_ic, kh, kw = image_of(self.weight, "weight")
        groups = self.group_count
        require(
            group_ic * groups == ic,
            f"weight takes {group_ic} channels in each of {groups} groups, but the input has {ic} channels",
        )
        require(oc % groups == 0, f"{oc} output channels cannot be divided into {groups} groups")
        self.check_bias(oc)
        (sh, sw), (dh, dw) = self.strides.get_values(), self.dilations.get_values()
        top, left, bottom, right = self.pads.get_values()
        oh = window_count(h + top + bottom, kh, sh, dh)
        ow = window_count(w + left + right, kw, sw, dw)
        return tensor(number_of(self.input, "input"), (n, oc, oh, ow))


@irdl_op_definition
class Conv2dTransposeOp(_ConvolutionOp):
    """Transposed convolution: the gradient of a conv2d with the same properties.

    Every `input[n, i, y, x] * weight[i, o, a, b]` is added to
    `output[n, g * OC/groups + o, y * strides[0] + a * dilations[0] - top, x * strides[1] + b * dilations[1] - left]`.
    Shapes: input [N, IC, H, W], weight [IC, OC / groups, KH, KW], bias [OC];
    OH = (H - 1) * strides[0] + dilations[0] * (KH - 1) + 1 + output_padding[0] - top - bottom.

    Example: `%y = ktensor.conv2d_transpose %x, %w {strides = array<i64: 2, 2>} :
    (tensor<1x8x4x4xf32>, tensor<8x3x2x2xf32>) -> tensor<1x3x8x8xf32>`.
    """

    name = "ktensor.conv2d_transpose"
    output_padding = prop_def(IntArray.constr(i64), default_value=int_array((0, 0)))

    def __init__(
        self,
        input: Value,
        weight: Value,
        bias: Value | None = None,
        *,
        strides: Sequence[int] = (1, 1),
        pads: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
        groups: int = 1,
        output_padding: Sequence[int] = (0, 0),
    ) -> None:
        self.set_up(
            [input, weight, bias],
            {
                "strides": int_array(strides),
                "pads": int_array(pads),
                "dilations": int_array(dilations),
                "groups": int_attr(groups),
                "output_padding": int_array(output_padding),
            },
        )

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [N, OC, OH, OW]."""
        self.check_window()
        require_ints(self.output_padding, 2, 0, "output_padding")
        n, ic, h, w = image_of(self.input)
        weight_ic, group_oc, kh, kw = image_of(self.weight, "weight")
        groups = self.group_count
        require(weight_ic == ic, f"weight takes {weight_ic} channels, but the input has {ic}")
        require(ic % groups == 0, f"{ic} input channels cannot be divided into {groups} groups")
        self.check_bias(group_oc * groups)
        (sh, sw), (dh, dw) = self.strides.get_values(), self.dilations.get_values()
        (extra_h, extra_w), (top, left, bottom, right) = self.output_padding.get_values(), self.pads.get_values()
        oh = (h - 1) * sh + dh * (kh - 1) + 1 + extra_h - top - bottom
        ow = (w - 1) * sw + dw * (kw - 1) + 1 + extra_w - left - right
        require(oh > 0 and ow > 0, f"pads {[top, left, bottom, right]} leave no output: {oh}x{ow}")
        return tensor(number_of(self.input, "input"), (n, group_oc * groups, oh, ow))


@irdl_op_definition
class MatmulOp(KTensorOp):
    """Matrix product over the last two axes, the others broadcast: `output = lhs @ rhs + bias`.

    Shapes: lhs [..., M, K], rhs [..., K, N], bias [N]; both have rank 2 or more.

    Example: `%y = ktensor.matmul %x, %w bias %b :
    (tensor<1x64xf32>, tensor<64x10xf32>, tensor<10xf32>) -> tensor<1x10xf32>`.
    """

    name = "ktensor.matmul"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    bias = opt_operand_def(TensorType)

    assembly_format = "$lhs `,` $rhs (`bias` $bias^)? attr-dict `:` functional-type(operands, results)"

    def __init__(self, lhs: Value, rhs: Value, bias: Value | None = None) -> None:
        self.set_up([lhs, rhs, bias], {})

    def infer_type(self) -> TensorType[Attribute]:
        """The type of the output: [..., M, N]."""
        lhs, rhs = shape_of(self.lhs), shape_of(self.rhs)
        require(min(len(lhs), len(rhs)) >= 2, f"lhs {list(lhs)} and rhs {list(rhs)} must have rank 2 or more")
        require(lhs[-1] == rhs[-2], f"lhs {list(lhs)} has {lhs[-1]} columns, but rhs {list(rhs)} has {rhs[-2]} rows")
        element, other = number_of(self.lhs, "lhs"), number_of(self.rhs, "rhs")
        require(other == element, "rhs has elements of type {}, but lhs of type {}", other, element)
        if self.bias is not None:
            found, shape = number_of(self.bias, "bias"), shape_of(self.bias)
            require(found == element, "bias has elements of type {}, but lhs of type {}", found, element)
            require(shape == rhs[-1:], f"bias has shape {list(shape)}, but the output has {rhs[-1]} columns")
        return tensor(element, (*broadcast_shapes(lhs[:-2], rhs[:-2]), lhs[-2], rhs[-1]))


def window_count(size: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """How often a window fits into a padded axis of `size` elements. Raises VerifyException when it never does."""
    extent = dilation * (kernel - 1) + 1
    require(extent <= size, f"the window covers {extent} elements, but the padded input has only {size}")
    return (size - extent) // stride + 1
