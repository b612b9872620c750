"""What the KPU runs of a model, construct by construct: in which form, by which passes, within which limits.

The generated page of supported ops shows this table, and a test holds it to the passes and their tests. A limit is a
rule of `kpuir.target.k210`; its docstring is what users read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kpuir.target.k210 import (
    Verdict,
    band_rule,
    border_rule,
    channel_rule,
    depthwise_pool_rule,
    depthwise_rule,
    groups_rule,
    input_size_rule,
    kernel_rule,
    line_start_rule,
    output_size_rule,
    stride_rule,
    weight_loads_rule,
)

Rule = Callable[..., Verdict]


@dataclass(frozen=True)
class Construct:
    """Something models are made of: what it is on the KPU, the passes that make it so, the rules that limit it.

    `passes` are named in the order in which they run.
    """

    name: str
    form: str
    passes: tuple[str, ...]
    limits: tuple[Rule, ...] = ()

    @property
    def limit_texts(self) -> tuple[str, ...]:
        """The first sentence of each rule."""
        return tuple(_first_line(rule) for rule in self.limits)


def _first_line(rule: Any) -> str:
    return str(rule.__doc__).strip().splitlines()[0]


CONSTRUCTS: tuple[Construct, ...] = (
    Construct(
        "conv 1x1 or 3x3, padded by half the kernel, stride 1; depthwise too",
        "one layer; in bands of rows, with its neighbours, where KPU RAM does not hold its maps",
        ("convert-ktensor-to-kpu", "kpu-tile"),
        (kernel_rule, channel_rule, depthwise_rule, input_size_rule, band_rule),
    ),
    Construct(
        "any other padding: none, asymmetric, larger",
        "pad in front, crop behind, as late as possible and folded with their neighbours; in KPU RAM by layers that "
        "move pixels",
        (
            "ktensor-fuse-pads",
            "kpu-legalize-kernels",
            "convert-ktensor-to-kpu",
            "kpu-sink-crops",
            "kpu-cancel-crops",
            "kpu-shift-borders",
            "kpu-place",
        ),
        (border_rule,),
    ),
    Construct(
        "stride 2, as PyTorch or TensorFlow pad it, of even and odd sizes, with any activation behind",
        "the pool codes that pick pixels, on the layer itself, the next one, or identity layers",
        ("convert-ktensor-to-kpu", "kpu-legalize-strides", "kpu-split-depthwise", "kpu-split-diagonals"),
        (stride_rule, output_size_rule),
    ),
    Construct(
        "other strides",
        "a layer of stride 1; 4 is a pool code that picks, of others the CPU slices the result",
        ("convert-ktensor-to-kpu", "kpu-legalize-strides"),
        (stride_rule,),
    ),
    Construct(
        "matrix product with constant weights: MatMul, Gemm, FULLY_CONNECTED, of one or several rows",
        "a 1x1 layer on a map whose pixels are the rows, at least 4x4 of them",
        ("convert-ktensor-to-kpu",),
        (channel_rule, weight_loads_rule),
    ),
    Construct(
        "matrix product with a whole map, flattened",
        "one pixel of a 3x3 layer over copies of the map, moved so that every pixel is a neighbour of that one",
        ("kpu-legalize-flattened", "convert-ktensor-to-kpu", "kpu-cancel-crops"),
        (channel_rule, weight_loads_rule),
    ),
    Construct(
        "transposed conv, of any kernel, strides and output padding",
        "one convolution that makes all phases of the result as channels, interleaved as late as possible",
        ("ktensor-lower-transposed-convs", "ktensor-sink-depth-to-space"),
        (kernel_rule, channel_rule),
    ),
    Construct(
        "nearest upsampling in front of a conv, depth_to_space",
        "folded into the kernel's phases",
        ("ktensor-sink-depth-to-space",),
        (kernel_rule, channel_rule),
    ),
    Construct(
        "space_to_depth, spelled out as slices (Focus) or reshapes too, of maps and of inputs",
        "one-hot 3x3 layers that pick every second pixel",
        ("ktensor-fuse-depth-and-space", "kpu-legalize-space-to-depth"),
        (line_start_rule,),
    ),
    Construct(
        "max or mean pool 2x2 and 4x4, of strides of its size or 1",
        "a pool code of the layer in front, or of an identity layer; below 4x4 padded and cropped",
        ("kpu-fuse-pools", "kpu-legalize-pools", "kpu-split-diagonals"),
        (depthwise_pool_rule, output_size_rule),
    ),
    Construct(
        "mean of up to 3x3 pixels, of other strides or with padding that counts",
        "a depthwise convolution",
        ("ktensor-lower-average-pools", "convert-ktensor-to-kpu"),
        (kernel_rule, channel_rule),
    ),
    Construct(
        "max pool of any square window, padded in any way, of strides 1, 2 and 4: 3x3 of stride 2, SPP",
        "2x2 maxima one after another, of identity layers and the layer in front",
        ("kpu-legalize-pools", "kpu-split-diagonals"),
        (channel_rule, band_rule),
    ),
    Construct(
        "maximum over a whole map",
        "2x2 maxima of stride 2, and of stride 1, of identity layers and the layer in front",
        ("kpu-legalize-pools", "kpu-split-diagonals"),
        (channel_rule, band_rule),
    ),
    Construct(
        "mean over a whole map, alone or in front of a matrix product",
        "depthwise layers that add neighbours, the last of them part of the matrix product; rows folded into channels, "
        "mean pools in front, zeros behind maps of odd sizes",
        ("kpu-legalize-global-pools",),
        (input_size_rule, line_start_rule),
    ),
    Construct(
        "the one pixel per channel that a matrix product leaves, at the end of a classifier",
        "layers that pick it of up to 64 channels, or of more where that is faster; else the CPU crops",
        ("kpu-pack-pixels",),
        (border_rule,),
    ),
    Construct(
        "functions of one variable behind a conv: ReLU, LeakyReLU, sigmoid, tanh, hard-swish, mish, GELU, clamp, "
        "arithmetic with a number, chains of them",
        "the layer's activation table",
        ("ktensor-fuse-activations", "kpu-fuse-activations"),
    ),
    Construct(
        "batch norm, factors and addends per channel behind or in front of a conv",
        "folded into its weights",
        ("ktensor-fold-batch-norm",),
    ),
    Construct(
        "functions of one variable standing alone, factors and addends per channel, chains of them",
        "a depthwise 1x1 layer: factors are its weights, addends its bias, functions its activation",
        ("kpu-legalize-elementwise",),
        (input_size_rule, channel_rule),
    ),
    Construct(
        "PReLU with a slope per channel",
        "x and -x through ReLU as twice the channels, joined by the weights of the next conv or a 1x1 layer",
        ("kpu-legalize-prelu",),
        (input_size_rule, channel_rule),
    ),
    Construct(
        "add and sub of maps (residuals), of two or more, scaled or not",
        "the maps next to each other in KPU RAM, read by a 1x1 layer of identities, in blocks of channels where that "
        "is faster",
        ("kpu-legalize-adds",),
        (input_size_rule, channel_rule),
    ),
    Construct(
        "concat, slice, split and shuffle of channels",
        "a place in KPU RAM and the order of the next conv's weights; in front of all else a 1x1 layer that selects",
        ("kpu-legalize-concats",),
        (line_start_rule, channel_rule),
    ),
    Construct(
        "kernels 2x2, 1x3, 3x1 and others within 3x3",
        "a 3x3 layer with zero taps",
        ("convert-ktensor-to-kpu",),
        (kernel_rule,),
    ),
    Construct(
        "kernels larger than 3x3: 5x5, 7x7, 10x4, 1xN; depthwise too",
        "one 3x3 layer over copies of the map, moved by layers; depthwise: a sum of layers on copies",
        ("kpu-legalize-kernels", "convert-ktensor-to-kpu"),
        (input_size_rule, channel_rule, band_rule),
    ),
    Construct(
        "dilated conv, also of one row or column, also depthwise",
        "as larger kernels; or an ordinary one on the phases of the map, which the CPU sorts, where that is faster",
        ("kpu-legalize-kernels", "convert-ktensor-to-kpu"),
        (input_size_rule, channel_rule, band_rule),
    ),
    Construct(
        "more than 1024 output channels, or more than 64 weight loads; more than 1024 input channels",
        "several layers with their results next to each other; partial sums of some inputs each, added by another",
        ("convert-ktensor-to-kpu", "kpu-sink-concats"),
        (channel_rule, weight_loads_rule),
    ),
    Construct(
        "grouped conv, depth multiplier above 1",
        "layers for some groups each, or one with block-diagonal weights; several depthwise layers",
        ("kpu-legalize-groups", "convert-ktensor-to-kpu"),
        (groups_rule, weight_loads_rule),
    ),
    Construct(
        "maps below 4x4",
        "padded at the end, the results outside dropped",
        ("convert-ktensor-to-kpu", "kpu-sink-crops", "kpu-cancel-crops", "kpu-shift-borders"),
        (input_size_rule,),
    ),
)
"""All constructs, in the order of the page."""
