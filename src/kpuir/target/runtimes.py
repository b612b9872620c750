"""What the runtimes of each kmodel version execute, and how they want a file (kmodel-v3.md 3 and 8, kmodel-v4.md 7).

A row of the table per version; what else depends on the version asks it here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kpuir.target.k210 import K210
from kpuir.target.stackvm import NEWEST, signatures


@dataclass(frozen=True)
class Runtime:
    """The runtimes of a kmodel version.

    `instructions` are the names it gives what it executes, without those that it knows but stops at. `first` are those
    that the first one must be among, any where it is None, and `most_inputs` is None where there is no limit.
    `float_input`: whether any model may have inputs of float32, rather than one that begins with a matrix product.
    `takes_pixels`: whether an instruction takes one pixel of each channel, which layers need not do then.
    `sent_pixels`: the most pixels per channel that a layer sends to main RAM (`k210.dma_rule`), None where layers send
    nothing. `alignment` is that of the file's place in main RAM.
    """

    version: str
    instructions: frozenset[str]
    weight_bits: tuple[int, ...]
    alignment: int
    first: frozenset[str] | None
    most_inputs: int | None
    float_input: bool
    takes_pixels: bool
    sent_pixels: int | None


_V3 = """
    add quantized_add global_average_pool2d quantized_max_pool2d average_pool2d quantize dequantize requantize
    l2_normalization softmax concat quantized_concat fully_connected tensorflow_flatten resize_nearest_neighbor
    quantized_resize_nearest_neighbor channelwise_dequantize logistic
    k210_conv k210_add_padding k210_remove_padding k210_upload
"""

_V4 = """
    binary concat conv2d dequantize matmul pad quantize reduce reduce_window2d memory_copy resize_image softmax
    transpose strided_slice unary quantized_conv2d quantized_matmul quantized_binary table_lookup1d conv2d_transpose
    nnil_unary_method cpu_conv2d cpu_depthwise_conv2d cpu_reduce_window2d cpu_quantized_conv2d
    cpu_quantized_depthwise_conv2d kpu_upload kpu_conv2d
"""

RUNTIMES = {
    runtime.version: runtime
    for runtime in (
        Runtime(
            version="v3",
            instructions=frozenset(_V3.split()),
            weight_bits=(8, 16),
            alignment=256,
            first=frozenset(("k210_conv", "fully_connected")),
            most_inputs=1,
            float_input=False,
            takes_pixels=True,
            sent_pixels=K210.MAX_DMA_PIXELS,
        ),
        Runtime(
            version="v4",
            instructions=frozenset(_V4.split()),
            weight_bits=(8,),
            alignment=256,
            first=None,
            most_inputs=None,
            float_input=True,
            takes_pixels=False,
            sent_pixels=K210.MAX_DMA_PIXELS,
        ),
        Runtime(
            version="v5",
            instructions=frozenset(("kpu_upload", "kpu_download", "kpu_conv2d", "copy", *signatures(NEWEST))),
            weight_bits=(8,),
            alignment=256,
            first=None,
            most_inputs=None,
            float_input=True,
            takes_pixels=False,
            sent_pixels=None,
        ),
    )
}
"""The runtimes by the version of the kmodels they load."""

_SINCE = {
    "v3": (
        ("March 2019", ""),
        ("April 2019", "resize_nearest_neighbor channelwise_dequantize quantized_resize_nearest_neighbor"),
        ("May 2019", "logistic"),
    ),
    "v4": (
        ("0.2.0-alpha1", ""),
        ("0.2.0-beta1", "quantized_conv2d quantized_matmul quantized_binary conv2d_transpose"),
        ("0.2.0-beta3", "table_lookup1d nnil_unary_method"),
    ),
}
"""When drivers of v3 and runtimes of v4 got instructions (`kmodel-v3.md` 3, `kmodel-v4.md` 14), oldest first."""


def oldest_runtime(version: str, instructions: Sequence[str], *, batches: bool = False) -> str:
    """The oldest driver of v3 or release of v4 that executes all instructions; with `batches`, layers of many images.

    A matrix product that is first of all came last to v3.
    """
    found = [name for name, added in _SINCE[version] if not added or set(added.split()) & set(instructions)]
    late = batches or (version == "v3" and list(instructions[:1]) == ["fully_connected"])
    return _SINCE[version][-1][0] if late else found[-1]
