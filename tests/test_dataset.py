"""Datasets: what is read, and what is refused with both values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kpuir.dataset import InputSpec, chosen, load_dataset
from kpuir.errors import InvalidInputError, UsageError

GREY = InputSpec("image", (1, 1, 4, 6), "NCHW")
COLOUR = InputSpec("image", (1, 4, 6, 3), "NHWC")


def save_image(folder: Path, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def refusal(path: Any, *inputs: InputSpec, **options: object) -> str:
    with pytest.raises(InvalidInputError) as caught:
        load_dataset(path, inputs or [GREY], **options)  # pyright: ignore[reportArgumentType]  # negative cases
    assert caught.value.exit_status == 1
    return str(caught.value)


def test_images_become_the_input(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 4, 6, 3), np.uint8)
    save_image(tmp_path, "b.png", pixels[1])
    save_image(tmp_path, "a.bmp", pixels[0])
    (tmp_path / "notes.txt").write_text("not an image")
    loaded = load_dataset(tmp_path, [COLOUR])
    assert [sample["image"].dtype for sample in loaded] == [np.float32] * 2
    np.testing.assert_allclose(loaded[0]["image"], pixels[:1] / 255, atol=1e-7)
    np.testing.assert_allclose(loaded[1]["image"], pixels[1:] / 255, atol=1e-7)

    mean, std = [0.5, 0.25, 0.0], [0.5, 2.0, 1.0]
    planar = load_dataset(tmp_path, [("image", (1, 3, 4, 6), "NCHW")], mean=mean, std=std)
    expected = ((pixels[0] / 255 - mean) / std).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(planar[0]["image"], expected, atol=1e-6)

    raw = load_dataset(tmp_path, [InputSpec("image", (1, 3, 4, 6), "NCHW", "uint8")], mean=0.5)
    np.testing.assert_array_equal(raw[0]["image"], pixels[:1].transpose(0, 3, 1, 2))


def test_images_are_resized_and_made_grey(tmp_path: Path) -> None:
    save_image(tmp_path, "x.png", np.full((9, 20, 3), (255, 255, 255), np.uint8))
    (sample,) = load_dataset(tmp_path, [GREY], mean=0.5, std=[0.25])
    assert sample["image"].shape == (1, 1, 4, 6)
    np.testing.assert_allclose(sample["image"], 2.0)


@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_grey_images_of_16_bits_keep_their_upper_half(tmp_path: Path, spec: InputSpec) -> None:
    values = np.array([0, 255, 256, 32768, 65279, 65535], np.uint16)
    save_image(tmp_path, "x.png", np.tile(values, (4, 1)))
    (sample,) = load_dataset(tmp_path, [spec])
    expected = np.array([0, 0, 1, 128, 254, 255]) / 255
    row = sample["image"][0, 0, 0] if spec is GREY else sample["image"][0, 0, :, 0]
    np.testing.assert_allclose(row, expected, atol=1e-7)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1"])
def test_images_of_other_kinds_are_read(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.array([[0, 255] * 3] * 4, np.uint8))
    grey.convert(mode).save(tmp_path / "x.png")
    for spec in (GREY, COLOUR):
        image = load_dataset(tmp_path, [spec])[0]["image"]
        np.testing.assert_array_equal(np.unique(image), [0, 1])


@pytest.mark.parametrize("std", [0.0, [1.0, -0.5, 1.0]])
def test_deviations_are_positive(tmp_path: Path, std: object) -> None:
    save_image(tmp_path, "x.png", np.zeros((4, 6, 3), np.uint8))
    assert "but must be above 0" in refusal(tmp_path, COLOUR, std=std)


def test_arrays_with_and_without_the_leading_one(tmp_path: Path) -> None:
    arrays = np.random.default_rng(2).normal(size=(5, 1, 4, 6))
    for stored in (arrays, arrays[:, None], arrays[:1], arrays[0]):
        np.save(tmp_path / "x.npy", stored)
        loaded = load_dataset(tmp_path / "x.npy", [GREY])
        assert len(loaded) == (5 if len(stored) == 5 else 1)
        assert loaded[0]["image"].shape == GREY.shape
        np.testing.assert_array_equal(loaded[0]["image"][0], arrays[0].astype(np.float32))


def test_samples_are_spread() -> None:
    assert chosen(10, 4) == [0, 2, 5, 7]
    assert chosen(3, 10) == [0, 1, 2]
    assert chosen(3, None) == [0, 1, 2]


def test_npz_by_input_name(tmp_path: Path) -> None:
    two = [InputSpec("a", (1, 2)), InputSpec("b", (3,), "flat")]
    path = tmp_path / "x.npz"
    np.savez(path, b=np.ones((4, 3)), a=np.zeros((4, 1, 2)), label=np.arange(4))
    loaded = load_dataset(path, two, samples=2)
    assert [sample["b"].shape for sample in loaded] == [(3,), (3,)]
    np.savez(path, whatever=np.zeros((2, 1, 4, 6)))
    assert len(load_dataset(path, [GREY])) == 2
    np.savez(path, a=np.zeros((4, 2)), c=np.zeros((4, 3)))
    assert "has no array for input 'b'; it has a, c" in refusal(path, *two)
    np.savez(path, a=np.zeros((4, 2)), b=np.zeros((3, 3)))
    assert "different numbers of samples: a: 4, b: 3" in refusal(path, *two)


def test_refusals_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((10, 3, 32, 32)))
    assert "shape 10x3x32x32, input 'image' takes Nx1x1x4x6" in refusal(path)
    np.save(path, np.zeros((0, 1, 4, 6)))
    assert "the dataset is empty" in refusal(path)
    broken = np.zeros((3, 1, 4, 6))
    broken[2, 0, 1, 1] = np.nan
    np.save(path, broken)
    assert "sample 2 of input 'image' holds a NaN" in refusal(path)
    np.save(path, np.full((3, 1, 4, 6), np.inf))
    assert "holds an infinity" in refusal(path)
    np.save(path, np.zeros((3, 1, 4, 6)))
    assert "type is float64, input 'image' takes uint8" in refusal(path, GREY._replace(dtype="uint8"))
    np.save(path, np.full((3, 1, 4, 6), "x"))
    assert "input 'image' takes float32" in refusal(path)
    assert "one array, but the model has 2 inputs: image, image" in refusal(path, GREY, GREY)
    path.write_bytes(path.read_bytes()[:100])
    assert "is not a readable .npy file" in refusal(path)
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 and nothing else")
    assert "is not a readable .npz file" in refusal(tmp_path / "x.npz")


def test_refusals_of_folders(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "absent")
    folder = tmp_path / "images"
    folder.mkdir()
    assert "the dataset is empty" in refusal(folder)
    save_image(folder, "x.png", np.zeros((4, 6), np.uint8))
    assert "images are for one input, the model has 2: image, image" in refusal(folder, GREY, GREY)
    assert "of shape 1x7x4x6 (NCHW) is not an image" in refusal(folder, InputSpec("x", (1, 7, 4, 6)))
    assert "mean has 3 values, the input has 1 channels" in refusal(folder, mean=[1, 2, 3])
    assert "std is 0" in refusal(folder, std=0.0)
    (folder / "y.jpg").write_bytes((folder / "x.png").read_bytes()[:30])
    assert "y.jpg: cannot be read as an image" in refusal(folder)
    (tmp_path / "x.txt").write_text("1 2 3")
    assert "not a dataset" in refusal(tmp_path / "x.txt")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "the dataset is empty"),
        (np.zeros((5, 1, 4, 6)), "is no list of samples, each a mapping from input name to array"),
        (({} for _ in range(2)), "is no list of samples"),
        ([{"other": np.zeros(GREY.shape)}], "sample 0 has no array for input 'image'; it has other"),
        ([{"image": np.zeros((2, *GREY.shape))}], "sample 0 holds 2 samples of input 'image'"),
        ([{"image": np.zeros((1, 1, 4, 7))}], "the array has shape 1x1x4x7, input 'image' takes Nx"),
        ([{"image": np.full(GREY.shape, np.nan)}], "sample 0 of input 'image' holds a NaN"),
    ],
)
def test_samples_in_memory_that_are_refused(given: Any, message: str) -> None:
    assert message in refusal(given)


def test_samples_in_memory_are_limited_as_those_of_files() -> None:
    given = [{"image": np.full(GREY.shape, index)} for index in range(10)]
    found = load_dataset(given, [GREY], samples=2)
    assert [(one["image"].dtype, one["image"].flat[0]) for one in found] == [(np.float32, 0), (np.float32, 5)]
    with pytest.raises(UsageError, match="0 samples of the dataset are too few"):
        load_dataset(given, [GREY], samples=0)
