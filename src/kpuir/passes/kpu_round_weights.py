"""`kpu-round-weights`: the weights of layers are rounded to their 8 bits so that the outputs change least.

Before: `kpu.conv2d` on feature maps, with float weights, just before their registers are selected. After: weights that
are multiples of a scale per output channel, which the attribute `kpu.weight_scale` gives, and a bias without the mean
error that the rounding adds.

    %y = kpu.conv2d %x, %w, %b : (!kpu.fmap<...>, ...
      =>
    %y = kpu.conv2d %x, %rounded, %corrected {kpu.weight_scale = dense<...> : tensor<8xf64>} : (!kpu.fmap<...>, ...

The inputs that the layers get for the samples of a dataset say which errors matter and which cancel
(`kpuir.quantization.rounding`), and at which scale least is left of them. `effort=high` looks at more of the samples
and then searches for codes that are better still (`kpuir.quantization.code_descent`). Without a dataset the module is
left as it is, and so it is for 16-bit weights: all weights go to the nearest code, which is 256 times nearer then.
Layers of a quantized model keep the scales they were stored with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from kpuir.analysis.calibration import Region, computed_pixels
from kpuir.dialects import kpu, ktensor
from kpuir.ir.arrays import to_dense
from kpuir.ir.functions import entry_function
from kpuir.passes.dataset_pass import DatasetPass
from kpuir.passes.layers import constants_of, set_constants

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kpuir.quantization.weights import QuantizedWeights

    Doubles: TypeAlias = NDArray[np.float64]
    Codes: TypeAlias = NDArray[np.uint8]
    Samples: TypeAlias = list[list[NDArray[np.float32]]]

_FEWEST, _MOST = 4, 16
"""How many samples are run: the fewer, the larger they are."""
_MOST_NUMBERS = 1 << 20
"""Of inputs, over all samples, unless those are too few then."""
_WINDOWS = 2048
"""At how many places a layer's input is looked at, over all samples."""
_MOST_TOGETHER = 576
"""Weights of one output that are chosen together: time grows with the cube of it."""


_SCALES = (1.0, 0.97, 0.94, 0.91, 0.88, 0.84, 0.8, 0.75)
"""Parts of the scale that is best for rounding to nearest: the other way, clipping may pay more."""
_THOROUGHLY = 8
"""So many times as many numbers and places are looked at with high effort."""


@dataclass(frozen=True)
class _Layer:
    """A convolution, its weight and bias, the nearest codes of the weight, and around which pixels it computes."""

    conv: kpu.Conv2dOp
    source: kpu.FeatureMapType
    weight: "Doubles"
    bias: "Doubles"
    nearest: "QuantizedWeights"
    pixels: tuple[range, range]

    @staticmethod
    def of(conv: kpu.Conv2dOp, known: dict[SSAValue, Region]) -> "_Layer | None":
        """None for layers whose weights need no rounding: those that move pixels or add maps."""
        import numpy as np

        from kpuir.quantization.weights import quantize_weights

        constants, source = constants_of(conv), conv.input.type
        if constants is None or not isinstance(source, kpu.FeatureMapType):
            return None
        nearest = quantize_weights(constants[0])
        exact = np.array_equal(nearest.real.astype(np.float32), constants[0].astype(np.float32))
        return None if exact else _Layer(conv, source, *constants, nearest, computed_pixels(conv, known))

    def windows(self, codes: "Codes", places: int) -> "Codes":
        """About so many windows [P, C, taps] of an input [N, C, H, W], spread evenly over what is computed and kept."""
        import numpy as np

        kernel, zero = self.conv.kernel_size, self.source.zero_point_value
        border = (kernel // 2,) * 2
        padded = np.pad(codes, ((0, 0), (0, 0), border, border), constant_values=zero)
        views = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
        rows, columns = (np.array(axis) for axis in self.pixels)
        size = len(codes), len(rows), len(columns)
        total = size[0] * size[1] * size[2]
        # An odd step does not follow the columns of a picture.
        image, row, column = np.unravel_index(np.arange(0, total, total // places | 1), size)
        taken = views[image, :, rows[row], columns[column]]
        return taken.reshape(*taken.shape[:2], -1)

    def round(self, windows: "Codes", thorough: bool) -> None:
        """Replace weight and bias of the convolution, given the windows of all samples."""
        import numpy as np

        scales = self.nearest.scale[:, None] * _SCALES
        found = self._rounded(windows, scales, thorough=False)
        best = np.arange(len(scales)), found.error.argmin(axis=1)
        scale, weight, shift = scales[best], found.weight[best], found.shift[best]
        if thorough:
            found = self._rounded(windows, scale[:, None], thorough=True)
            weight, shift = found.weight[:, 0], found.shift[:, 0]
        bias = self.bias - shift * self.source.scale_value
        set_constants(self.conv, weight.reshape(self.weight.shape), bias)
        self.conv.attributes[kpu.WEIGHT_SCALE] = to_dense(scale)

    def _rounded(self, windows: "Codes", scales: "Doubles", thorough: bool) -> "_Rounded":
        """What becomes of the weights with each of some scales per channel, [O, S]."""
        import numpy as np

        from kpuir.quantization.rounding import rounded_codes

        zero = self.nearest.zero_point
        wanted = self.weight.reshape(*self.weight.shape[:2], -1)
        count, tried = scales.shape
        rounded, shift, error = (
            np.empty((count, tried, *wanted.shape[1:])),
            np.zeros_like(scales),
            np.zeros_like(scales),
        )
        for part, inputs in _blocks(windows, self.conv.is_depthwise):
            groups, seen, taps = inputs.shape
            inputs -= self.source.zero_point_value
            mean = inputs.mean(axis=1)
            centred = inputs - mean[:, None]
            covariance = (centred.swapaxes(1, 2) @ centred).astype(np.float64)
            weight = np.repeat(wanted[:, part].reshape(count, 1, taps), tried, axis=1).reshape(groups, -1, taps)
            steps = scales.reshape(groups, -1)
            codes = rounded_codes(weight, steps, covariance, -zero, 255 - zero)
            expected = _expected(covariance, seen)
            if thorough:
                from kpuir.quantization.code_descent import improved_codes

                codes = improved_codes(codes, weight, steps, expected, -zero, 255 - zero)
            change = codes * steps[:, :, None] - weight
            shift += np.einsum("gok,gk->go", change, mean).reshape(shift.shape)
            error += np.einsum("gok,gok->go", change @ expected, change).reshape(error.shape)
            rounded[:, :, part] = (weight + change).reshape(rounded[:, :, part].shape)
        return _Rounded(rounded, shift, error)


class _Rounded(NamedTuple):
    """Weights [O, S, ...], what they add to the mean of the output, and to its mean square, [O, S], in input codes."""

    weight: "Doubles"
    shift: "Doubles"
    error: "Doubles"


def _expected(covariance: "Doubles", count: int) -> "Doubles":
    """The covariance [G, K, K] to expect of inputs of which so many were seen.

    The fewer there were, the more the inputs count as independent.
    """
    import numpy as np

    taps = covariance.shape[1]
    unknown = taps / (taps + count)
    variance = np.einsum("gkk->g", covariance) / taps
    return covariance * (1 - unknown) + unknown * variance[:, None, None] * np.eye(taps)


def _keeps_lattice(conv: kpu.Conv2dOp) -> bool:
    """Whether the weights of a layer are whole multiples of a scale per output channel, which is kept then."""
    from kpuir.quantization.weights import lattice_scale

    constants = constants_of(conv)
    scale = None if constants is None else lattice_scale(constants[0])
    if scale is not None:
        conv.attributes[kpu.WEIGHT_SCALE] = to_dense(scale)
    return scale is not None


def _blocks(windows: "Codes", depthwise: bool) -> "Iterator[tuple[slice, NDArray[np.float32]]]":
    """Blocks of input channels, and what is seen of each: [G, P, K], G channels where they are apart anyway."""
    import numpy as np

    count, channels, taps = windows.shape
    if depthwise:
        yield slice(None), windows.swapaxes(0, 1).astype(np.float32)
        return
    bounds = np.linspace(0, channels, -(-channels * taps // _MOST_TOGETHER) + 1).astype(int)
    for begin, end in pairwise(bounds):
        yield slice(begin, end), windows[None, :, begin:end].reshape(1, count, -1).astype(np.float32)


def _argument(value: SSAValue, sample: "NDArray[np.float32]") -> "NDArray[np.generic]":
    """A sample as the argument takes it: bytes, where it is quantized."""
    from kpuir.interpreters.kernels.floating import quantize

    kind = value.type if isinstance(value.type, kpu.FeatureMapType) else ktensor.element_of(value)
    if not isinstance(kind, kpu.FeatureMapType | ktensor.QuantizedType):
        return sample
    return quantize(sample, kind.scale_value, kind.zero_point_value)


def _observed(op: ModuleOp, layers: list[_Layer], samples: "Samples", windows: int) -> "list[Codes]":
    """About so many windows that each layer sees over the samples."""
    import numpy as np

    from kpuir.interpreters.run import Evaluator

    seen: list[list[Codes]] = [[] for _ in layers]
    readers: dict[SSAValue, list[int]] = {}
    for index, layer in enumerate(layers):
        readers.setdefault(layer.conv.input, []).append(index)
    places = max(windows // len(samples), 1)

    def observe(value: SSAValue, array: "Codes") -> None:
        for index in readers.get(value, ()):
            seen[index].append(layers[index].windows(array, places))

    evaluator = Evaluator(op, observe)
    for sample in samples:
        arguments = entry_function(op).body.block.args
        evaluator.run([_argument(value, array) for value, array in zip(arguments, sample, strict=True)])
    return [np.concatenate(one) for one in seen]


@dataclass(frozen=True)
class KpuRoundWeightsPass(DatasetPass):
    """Round weights with regard to the inputs they are multiplied with."""

    name = "kpu-round-weights"

    effort: Literal["normal", "high"] = "normal"
    weight_bits: Literal[8, 16] = 8

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Replace weights and biases in place."""
        from kpuir.interpreters.kernels.blas import one_blas_thread

        function = entry_function(op)
        convs = [conv for conv in function.walk() if isinstance(conv, kpu.Conv2dOp)]
        if kpu.OWN_SCALES in function.attributes:
            convs = [conv for conv in convs if not _keeps_lattice(conv)]
        if not self.has_dataset or self.weight_bits == 16:
            return
        known: dict[SSAValue, Region] = {}
        layers = [layer for layer in (_Layer.of(conv, known) for conv in convs) if layer is not None]
        if not layers:
            return
        samples = self.load(op)
        thorough = self.effort == "high"
        more = _THOROUGHLY if thorough else 1
        size = sum(array.size for array in samples[0])
        count = min(max(more * _MOST_NUMBERS // size, _FEWEST), more * _MOST)
        chosen = samples[:: -(-len(samples) // count)]
        with one_blas_thread():  # as in the interpreter
            for layer, windows in zip(layers, _observed(op, layers, chosen, more * _WINDOWS), strict=True):
                layer.round(windows, thorough)
