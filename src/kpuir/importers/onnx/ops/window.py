"""The sliding window that convolutions and poolings share: its attributes, resolved to explicit padding."""

import math
from dataclasses import dataclass, replace

from xdsl.ir import SSAValue

from kpuir.dialects import ktensor
from kpuir.errors import InvalidInputError
from kpuir.importers.onnx.node import Node

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Window:
    """A window over an image; `pads` are (top, left, bottom, right), `extra` what ceil_mode adds (bottom, right)."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: Pads
    extra: Pair = (0, 0)

    @property
    def extents(self) -> Pair:
        """Rows and columns that one window spans."""
        (kh, kw), (dh, dw) = self.kernel, self.dilations
        return (kh - 1) * dh + 1, (kw - 1) * dw + 1

    @property
    def all_pads(self) -> Pads:
        """`pads` with `extra` added at the bottom and right."""
        top, left, bottom, right = self.pads
        return top, left, bottom + self.extra[0], right + self.extra[1]


def image(node: Node, index: int) -> SSAValue:
    """An input as [N, C, H, W]; a one-dimensional one [N, C, L] becomes [N, C, 1, L]. Refuses other ranks."""
    shape = node.shape(index)
    if len(shape) not in (3, 4):
        node.refuse(f"its input has rank {len(shape)}, shape {list(shape)}", "1-D and 2-D, rank 3 and 4")
    value = node.value(index)
    return value if len(shape) == 4 else node.reshape(value, (*shape[:2], 1, shape[2]))


def like_input(node: Node, value: SSAValue) -> SSAValue:
    """The image with the rank of the node's own input: the height of 1 that `image` put in taken out again."""
    n, c, _, w = ktensor.shape_of(value)
    return value if len(node.shape(0)) == 4 else node.reshape(value, (n, c, w))


def pair(node: Node, attribute: str, default: int) -> Pair:
    """A list attribute with one entry per spatial axis, as (height, width); refuses zero and negative entries."""
    rank = len(node.shape(0)) - 2
    values = node.integers(attribute, [default] * rank)
    if len(values) != rank or min(values) < 1:
        raise InvalidInputError(
            f"{node.op_type} {attribute} = {values} does not fit {rank} spatial axes", location=node.layer
        )
    return as_pair(values, 1)


def as_pair(values: "list[int]", missing: int) -> Pair:
    """One or two entries as (height, width)."""
    return (missing, values[0]) if len(values) == 1 else (values[0], values[1])


def explicit_pads(node: Node) -> Pads:
    """The attribute `pads` as (top, left, bottom, right). Raises InvalidInputError for negative ones."""
    rank = len(node.shape(0)) - 2
    pads = node.integers("pads", [0] * (2 * rank))
    if len(pads) != 2 * rank or min(pads, default=0) < 0:
        raise InvalidInputError(f"{node.op_type} pads = {pads} do not fit {rank} spatial axes", location=node.layer)
    return (*as_pair(pads[:rank], 0), *as_pair(pads[rank:], 0))


def read_window(node: Node, kernel: Pair, size: Pair) -> Window:
    """The window of a convolution or pooling over an image of `size`, its auto_pad resolved."""
    window = Window(kernel, pair(node, "strides", 1), pair(node, "dilations", 1), (0, 0, 0, 0))
    auto_pad = node.text("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        return replace(window, pads=explicit_pads(node))
    if auto_pad == "VALID":
        return window
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise InvalidInputError(f"{node.op_type} auto_pad is {auto_pad!r}", location=node.layer)
    begin: list[int] = []
    end: list[int] = []
    for length, stride, extent in zip(size, window.strides, window.extents, strict=True):
        total = max((math.ceil(length / stride) - 1) * stride + extent - length, 0)
        small = total // 2
        begin.append(small if auto_pad == "SAME_UPPER" else total - small)
        end.append(total - begin[-1])
    return replace(window, pads=(begin[0], begin[1], end[0], end[1]))


def with_ceil_mode(node: Node, window: Window, size: Pair) -> Window:
    """The window with the padding that rounding the output size up asks for (ONNX `ceil_mode`).

    A last window that would start in the padding behind the image is left out, as in ONNX opset 19 and PyTorch.
    """
    if not node.integer("ceil_mode", 0) or node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return window
    extra: list[int] = []
    for axis in (0, 1):
        length, stride, extent = size[axis], window.strides[axis], window.extents[axis]
        begin, padded = window.pads[axis], size[axis] + window.pads[axis] + window.pads[axis + 2]
        count = -(-(padded - extent) // stride) + 1
        if (count - 1) * stride >= length + begin:
            count -= 1
        extra.append(max((count - 1) * stride + extent - padded, 0))
    return replace(window, extra=(extra[0], extra[1]))
