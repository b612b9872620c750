"""Datasets: folders of images, .npy and .npz files, samples in memory, as the arrays a model takes. Knows no IR.

A sample is a dictionary from input name to an array of the model's own shape and layout. Images are resized to the
input, made RGB or grey as it needs, scaled to 0..1 and then normalized with `(x - mean) / std`; arrays are taken as
they are, in the model's own values.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kpuir.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_KINDS = "a folder of images (png, jpg, bmp), a .npy or a .npz file"


class Codes(NamedTuple):
    """How a quantized source model stores an input or output: numpy type, `real = (code - zero_point) * scale`."""

    type: str
    scale: float
    zero_point: int

    def real(self, array: "NDArray[Any]") -> "NDArray[Any]":
        """Codes as the real numbers they stand for; an array of any other type holds these already."""
        import numpy as np

        if array.dtype != np.dtype(self.type):
            return array
        return ((array.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


PIXELS = Codes("uint8", 1.0, 0)
"""Those of an input that takes bytes and computes with them as whole numbers."""


class InputSpec(NamedTuple):
    """One input of a model: its name, shape (batch included), layout (`NCHW`, `NHWC` or `flat`) and numpy type.

    A `uint8` input takes bytes as they are: the pixels of an image, 0..255. An input with `codes` takes those as well.
    """

    name: str
    shape: tuple[int, ...]
    layout: str = "NCHW"
    dtype: str = "float32"
    codes: Codes | None = None

    def real(self, array: "NDArray[Any]") -> "NDArray[Any]":
        """An array as the input takes it."""
        return array if self.codes is None else self.codes.real(array)

    def takes_pixels(self, mean: object, std: object) -> bool:
        """Whether pixels 0..255 go in as they are: into bytes, and unless told how into what is bytes in the model."""
        return self.dtype == "uint8" or (self.codes == PIXELS and mean is None and std is None)


Sample = dict[str, "NDArray[Any]"]


def load_dataset(
    path: "str | Path | Sequence[Mapping[str, NDArray[Any]]]",
    inputs: Iterable[InputSpec | tuple[str, tuple[int, ...], str]],
    *,
    samples: int | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
) -> list[Sample]:
    """The samples of a dataset, each one contiguous array per input, of exactly its shape and type.

    `path` may be samples in memory instead: a list of mappings from input name to array.
    `samples` limits their number, spread evenly over the dataset. `mean` and `std` (one value, or one per channel, in
    units of 0..1 pixels) apply to images only. Raises InvalidInputError for a dataset that is missing, empty, of the
    wrong shape (naming both), unreadable, or holds a NaN or an infinity.
    """
    specs = [one if isinstance(one, InputSpec) else InputSpec(*one) for one in inputs]
    if not isinstance(path, str | Path):
        return _of_memory(path, specs, samples)
    where = Path(path)
    if not where.exists():
        raise InvalidInputError("no such file or folder", location=str(path), hint=f"a dataset is {_KINDS}")
    if where.is_dir():
        loaded = _load_images(where, specs, samples, mean, std)
    elif where.suffix == ".npz":
        loaded = _load_npz(where, specs, samples)
    elif where.suffix == ".npy":
        loaded = _load_npy(where, specs, samples)
    else:
        raise InvalidInputError("not a dataset", location=str(path), hint=f"a dataset is {_KINDS}")
    _check_finite(loaded, str(path))
    return loaded


def chosen(count: int, samples: int | None) -> list[int]:
    """The indices of `samples` of `count` things, spread evenly: a sorted dataset keeps all of its classes.

    Raises UsageError for less than 1.
    """
    if samples is not None and samples < 1:
        raise UsageError(f"{samples} samples of the dataset are too few", hint="ask for 1 at least")
    wanted = count if samples is None else min(samples, count)
    return [index * count // wanted for index in range(wanted)]


def _of_memory(given: Any, specs: Sequence[InputSpec], samples: int | None) -> list[Sample]:
    """Samples in memory. Raises InvalidInputError for anything but a list of mappings with an array for each input."""
    import numpy as np

    where = "the dataset in memory"
    if not hasattr(given, "__len__") or not all(isinstance(sample, Mapping) for sample in given):
        raise InvalidInputError(
            "is no list of samples, each a mapping from input name to array",
            location=where,
            hint="give [{'input': array, ...}, ...], or save arrays as .npy or .npz and give the path",
        )
    if not len(given):
        raise InvalidInputError("the dataset is empty: it has no samples", location=where)
    loaded: list[Sample] = []
    for index in chosen(len(given), samples):
        sample: Mapping[str, Any] = given[index]
        missing = [spec.name for spec in specs if spec.name not in sample]
        if missing:
            there = ", ".join(map(str, sample)) or "none"
            raise InvalidInputError(
                f"sample {index} has no array for input '{missing[0]}'; it has {there}", location=where
            )
        arrays = {spec.name: _stack(np.asarray(sample[spec.name]), spec, where) for spec in specs}
        for name, array in arrays.items():
            if len(array) != 1:
                raise InvalidInputError(
                    f"sample {index} holds {len(array)} samples of input '{name}'",
                    location=where,
                    hint="give a mapping for each sample",
                )
        loaded.append({name: array[0] for name, array in arrays.items()})
    _check_finite(loaded, where)
    return loaded


def _load_images(
    folder: Path,
    specs: Sequence[InputSpec],
    samples: int | None,
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
) -> list[Sample]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InvalidInputError("the dataset is empty: the folder has no png, jpg or bmp image", location=str(folder))
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise InvalidInputError(
            f"images are for one input, the model has {len(specs)}: {names}",
            location=str(folder),
            hint="give a .npz with one array per input",
        )
    channels, height, width = _image_size(specs[0], str(folder))
    normalize = _normalizer(specs[0], channels, mean, std)
    pixels = (_read_image(files[index], channels, height, width) for index in chosen(len(files), samples))
    return [{specs[0].name: normalize(image)} for image in pixels]


def _image_size(spec: InputSpec, location: str) -> tuple[int, int, int]:
    """Channels, height and width of an image input."""
    shape = dimensions(spec.shape)
    if len(spec.shape) == 4 and spec.shape[0] == 1 and spec.layout in ("NCHW", "NHWC"):
        channels, height, width = _by_channels(spec)
        if channels in (1, 3):
            return channels, height, width
    raise InvalidInputError(
        f"input '{spec.name}' of shape {shape} ({spec.layout}) is not an image of 1 or 3 channels",
        location=location,
        hint="give a .npy or .npz with arrays in the model's own shape",
    )


def _by_channels(spec: InputSpec) -> tuple[int, int, int]:
    _, first, second, third = spec.shape
    return (third, first, second) if spec.layout == "NHWC" else (first, second, third)


def _read_image(path: Path, channels: int, height: int, width: int) -> "NDArray[np.uint8]":
    """The pixels, (height, width, channels), of an image resized to fit."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            fitting = _eight_bits(image).convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"cannot be read as an image: {error}", location=str(path)) from None
    if fitting.size != (width, height):
        fitting = fitting.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(fitting, np.uint8).reshape(height, width, channels)


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """The upper halves of 16-bit grey values, which Pillow would clip at 255 instead."""
    import numpy as np
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))


def _normalizer(
    spec: InputSpec, channels: int, mean: Sequence[float] | float | None, std: Sequence[float] | float | None
) -> "Callable[[NDArray[np.uint8]], NDArray[Any]]":
    """What turns pixels (H, W, C) into the input's array."""
    import numpy as np

    shift = per_channel("mean", 0.0 if mean is None else mean, channels)
    scale = per_channel("std", 1.0 if std is None else std, channels)
    wrong = scale[~((scale > 0) & np.isfinite(scale))]
    if wrong.size:
        hint = "std divides: give the standard deviation of 0..1 pixels"
        raise InvalidInputError(f"std is {wrong.min():g}, but must be above 0 and finite", hint=hint)

    as_they_are = spec.takes_pixels(mean, std)

    def normalize(pixels: "NDArray[np.uint8]") -> "NDArray[Any]":
        values = pixels if as_they_are else (pixels / 255.0 - shift) / scale
        ordered = values if spec.layout == "NHWC" else values.transpose(2, 0, 1)
        return np.require(ordered.reshape(spec.shape), spec.dtype, "C")

    return normalize


def per_channel(name: str, values: Sequence[float] | float, channels: int) -> "NDArray[np.float64]":
    """`values`, one or one per channel, as an array. Raises InvalidInputError for any other number of them."""
    import numpy as np

    array = np.atleast_1d(np.asarray(values, np.float64))
    if array.size not in (1, channels):
        raise InvalidInputError(
            f"{name} has {array.size} values, the input has {channels} channels", hint=f"give one or {channels}"
        )
    return array


def _load_npy(path: Path, specs: Sequence[InputSpec], samples: int | None) -> list[Sample]:
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise InvalidInputError(
            f"one array, but the model has {len(specs)} inputs: {names}",
            location=str(path),
            hint="give a .npz with one array per input",
        )
    array = _read_arrays(path)
    return _split({specs[0].name: array}, specs, samples, str(path))


def _load_npz(path: Path, specs: Sequence[InputSpec], samples: int | None) -> list[Sample]:
    arrays: Mapping[str, NDArray[Any]] = _read_arrays(path)
    missing = [spec.name for spec in specs if spec.name not in arrays]
    if missing and len(specs) == 1 and len(arrays) == 1:
        arrays = {specs[0].name: next(iter(arrays.values()))}
    elif missing:
        raise InvalidInputError(
            f"has no array for input '{missing[0]}'; it has {', '.join(arrays) or 'none'}",
            location=str(path),
            hint=f"name the arrays {', '.join(spec.name for spec in specs)}",
        )
    return _split(arrays, specs, samples, str(path))


def _read_arrays(path: Path) -> Any:
    """The array of a .npy, the arrays of a .npz by name."""
    import zipfile
    import zlib

    import numpy as np

    try:
        loaded = np.load(path, allow_pickle=False)
        return dict(loaded) if path.suffix == ".npz" else np.asarray(loaded)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInputError(f"is not a readable {path.suffix} file: {reason}", location=str(path)) from None


def _split(
    arrays: "Mapping[str, NDArray[Any]]", specs: Sequence[InputSpec], samples: int | None, location: str
) -> list[Sample]:
    """One dictionary per sample out of arrays with the samples first."""
    stacked = {spec.name: _stack(arrays[spec.name], spec, location) for spec in specs}
    counts = {name: len(array) for name, array in stacked.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise InvalidInputError(f"the inputs have different numbers of samples: {listed}", location=location)
    count = next(iter(counts.values()))
    if count == 0:
        raise InvalidInputError("the dataset is empty: it has no samples", location=location)
    return [{name: array[index] for name, array in stacked.items()} for index in chosen(count, samples)]


def _stack(array: "NDArray[Any]", spec: InputSpec, location: str) -> "NDArray[Any]":
    """`array` as (samples, *shape of the input), of the input's type."""
    import numpy as np

    array = spec.real(array)
    ones = next((axis for axis, size in enumerate(spec.shape) if size != 1), len(spec.shape))
    accepted = {spec.shape[axis:] for axis in range(ones + 1)}
    if array.shape in accepted:  # one sample
        array = array[np.newaxis]
    if array.ndim == 0 or array.shape[1:] not in accepted:
        raise InvalidInputError(
            f"the array has shape {dimensions(array.shape)}, input '{spec.name}' takes Nx{dimensions(spec.shape)}",
            location=location,
            hint="samples first, each in the model's own shape and layout",
        )
    dtype = np.dtype(spec.dtype)
    if array.dtype.kind not in "fiub" or (dtype == np.uint8 and array.dtype != np.uint8):
        raise InvalidInputError(
            f"the array's type is {array.dtype}, input '{spec.name}' takes {spec.dtype}", location=location
        )
    return np.ascontiguousarray(array, dtype).reshape(len(array), *spec.shape)


def _check_finite(loaded: Sequence[Sample], location: str) -> None:
    import numpy as np

    for number, sample in enumerate(loaded):
        for name, array in sample.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                what = "a NaN" if np.isnan(array).any() else "an infinity"
                raise InvalidInputError(f"sample {number} of input '{name}' holds {what}", location=location)


def dimensions(shape: Iterable[int]) -> str:
    """A shape in words: `1x3x32x32`, `scalar` where there is none."""
    return "x".join(map(str, shape)) or "scalar"
