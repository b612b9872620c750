"""The CPU instructions of kmodel v4 on numpy arrays, bit for bit what the runtime computes (`kmodel-v4.md` 6-8, 10).

Every kernel writes its result into an array it is given. float32 sums are in the stated order, multiplied and added
without fusing; cos, exp, log and sin are those of the C library this runs on, as they are for the host runtime.
"""

from kpuir.interpreters.kernels.neutral.elementwise import (
    binary,
    broadcast,
    broadcast_view,
    clamp,
    dequantize,
    fixed_point,
    nnil,
    quantize,
    quantized_binary,
    saturate,
    softmax,
    table_lookup,
    unary,
)
from kpuir.interpreters.kernels.neutral.movement import (
    concat,
    interpolate,
    memory_copy,
    pad,
    resize,
    resize_scale,
    strided_slice,
    transpose,
)
from kpuir.interpreters.kernels.neutral.sums import (
    Requantization,
    Taps,
    conv2d,
    conv2d_transpose,
    matmul,
    quantized_conv2d,
    quantized_matmul,
    reduce,
    reduce_window,
)
from kpuir.interpreters.kernels.neutral.window import Window

__all__ = [
    "Requantization",
    "Taps",
    "Window",
    "binary",
    "broadcast",
    "broadcast_view",
    "clamp",
    "concat",
    "conv2d",
    "conv2d_transpose",
    "dequantize",
    "fixed_point",
    "interpolate",
    "matmul",
    "memory_copy",
    "nnil",
    "pad",
    "quantize",
    "quantized_binary",
    "quantized_conv2d",
    "quantized_matmul",
    "reduce",
    "reduce_window",
    "resize",
    "resize_scale",
    "saturate",
    "softmax",
    "strided_slice",
    "table_lookup",
    "transpose",
    "unary",
]
