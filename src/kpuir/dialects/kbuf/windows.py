"""Shapes and lengths of convolutions and poolings, from the fields of an instruction."""

from math import prod
from typing import Any

from kpuir.dialects.kbuf.base import Shape, check_count, require


def window_size(size: int, pad: Shape, window: int, dilation: int, stride: int) -> int:
    """Positions of a window along an axis (`kmodel-v4.md` section 6); 0 where it does not fit."""
    for name, value in (("stride", stride), ("dilation", dilation), ("filter's size", window)):
        require(value > 0, f"a {name} is {value}, but must be at least 1")
    return max(0, (size + sum(pad) - ((window - 1) * dilation + 1) + stride) // stride)


def _windows(fields: Any, height: int, width: int) -> tuple[int, int]:
    return (
        window_size(height, fields.pad_h, fields.filter_h, fields.dilation_h, fields.stride_h),
        window_size(width, fields.pad_w, fields.filter_w, fields.dilation_w, fields.stride_w),
    )


def nchw_window_shapes(fields: Any, channels: int) -> dict[str, Shape]:
    """Input and output of an NCHW window operation with that many output channels."""
    n, _, height, width = fields.in_shape
    return {"input": fields.in_shape, "output": (n, channels, *_windows(fields, height, width))}


def nhwc_window_shapes(fields: Any, channels: int) -> dict[str, Shape]:
    """Input and output of an NHWC window operation with that many output channels."""
    n, height, width, _ = fields.in_shape
    return {"input": fields.in_shape, "output": (n, *_windows(fields, height, width), channels)}


def grouped_weight_shape(fields: Any, channels: int) -> Shape:
    """[oc][ic in group][kh][kw]."""
    return (channels, fields.in_shape[1] // max(1, fields.groups), fields.filter_h, fields.filter_w)


def check_groups(fields: Any, channels: int) -> None:
    """Raise VerifyException unless groups divide the channels and weights and bias have their lengths."""
    found = fields.in_shape[1]
    divides = fields.groups > 0 and found % fields.groups == 0 and channels % fields.groups == 0
    require(divides, f"{fields.groups} groups do not divide {found} input and {channels} output channels")
    check_count("weights", fields.weights, prod(grouped_weight_shape(fields, channels)))
    check_count("bias", fields.bias, channels)
