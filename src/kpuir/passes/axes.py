"""How the padding and stride of a convolution map onto a convolution of stride 1 that keeps the size of its map."""

from dataclasses import dataclass, replace

from kpuir.target import k210

_SMALLEST = k210.K210.MIN_HEIGHT


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a convolution, as done by one of stride 1 whose result is as large as its input.

    `pad_low`/`pad_high` rows are added before; of the result every `stride`-th row from `begin` on is wanted, up to and
    with `last`, after `crop_high` rows are dropped from the end. `padded` is the size of the stride-1 convolution.
    """

    pad_low: int
    pad_high: int
    begin: int
    last: int
    crop_high: int
    stride: int
    padded: int

    @staticmethod
    def plan(size: int, kernel: int, low: int, high: int, stride: int, own: int | None = None) -> "Axis":
        """Lowering-facts.md 1.3: what exceeds the convolution's own padding is padded, what falls short is cropped.

        `kernel` rows are covered by the (dilated) kernel, the first of them `own` rows above the one that is computed:
        in its middle unless given.
        """
        own = (kernel - 1) // 2 if own is None else own
        out = (size + low + high - kernel) // stride + 1
        pad_low, begin = max(low - own, 0), max(own - low, 0)
        last = begin + (out - 1) * stride
        pad_high = max(last + 1 - size - pad_low, 0)
        pad_high = max(pad_high, _SMALLEST - size - pad_low, 0)
        padded = pad_low + size + pad_high
        crop_high = padded - (last + 1)
        if stride > 1 and -(-(padded - begin) // stride) == out:
            crop_high = 0  # the slice stops early enough by itself
        return Axis(pad_low, pad_high, begin, last, crop_high, stride, padded)

    def whole_strides(self) -> "Axis":
        """The same, padded so that what is picked from `begin` on is a whole number of strides.

        The KPU drops what is left over, so somebody pads, and nobody for less than in front (`kpu-hardware.md` 7).
        """
        missing = -(self.padded - self.begin) % self.stride
        return replace(self, pad_high=self.pad_high + missing, padded=self.padded + missing)
