"""Ranges saved by one compilation and loaded by others: gone on with, joined, edited, refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import kpuir
from kpuir.errors import InvalidInputError
from tests.importers.nets import runtime
from tests.networks import mobilenet, signals

Samples = list[dict[str, NDArray[np.float32]]]
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network with layers to equalize."""
    path = tmp_path / "net.onnx"
    onnx.save(mobilenet(), path)
    return path


def samples_for(model: Path, count: int, seed: int = 3) -> Samples:
    rng = np.random.default_rng(seed)
    shapes = {
        one.name: [size.dim_value for size in one.type.tensor_type.shape.dim] for one in onnx.load(model).graph.input
    }
    return [{name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(count)]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def edited(path: Path, edit: Edit) -> Path:
    data = read(path)
    edit(data)
    result = path.with_name("edited.json")
    result.write_text(json.dumps(data))
    return result


@pytest.fixture
def ranges(model: Path) -> Path:
    """What 6 samples show."""
    path = model.with_name("ranges.json")
    kpuir.compile(model, dataset=samples_for(model, 6), save_ranges=path)
    return path


def test_loaded_ranges_are_those_that_were_saved(model: Path, ranges: Path) -> None:
    again = model.with_name("again.json")
    compiled = kpuir.compile(model, load_ranges=ranges, save_ranges=again)
    assert again.read_bytes() == ranges.read_bytes()
    samples = samples_for(model, 6)
    exact = kpuir.compile(model, dataset=samples, load_ranges=ranges)
    wanted = np.array([runtime(onnx.load(model), sample)[0].ravel() for sample in samples])
    for one in (compiled, exact):
        loaded = one.loaded()
        found = np.array([next(iter(loaded.run(sample).values())).ravel() for sample in samples])
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.99


def test_the_input_range_is_what_numpy_finds(model: Path, ranges: Path) -> None:
    name, first = next(iter(read(ranges)["tensors"].items()))
    arrays = [sample[name] for sample in samples_for(model, 6)]
    assert first["observer"]["range"] == [float(np.min(arrays)), float(np.max(arrays))]
    assert first["numbers"] == sum(array.size for array in arrays)


def test_parts_add_up_to_the_whole(model: Path, ranges: Path) -> None:
    samples = samples_for(model, 9, seed=8)
    start = edited(ranges, lambda data: data.update(tensors={}, samples=0))
    whole, on, joined = (model.with_name(name) for name in ("whole.json", "on.json", "joined.json"))
    parts = [model.with_name(f"part{index}.json") for index in range(3)]
    kpuir.compile(model, dataset=samples, load_ranges=start, save_ranges=whole)
    for index, part in enumerate(parts):
        kpuir.compile(model, dataset=samples[3 * index : 3 * index + 3], load_ranges=start, save_ranges=part)
    kpuir.compile(model, load_ranges=parts, save_ranges=joined)
    kpuir.compile(model, dataset=samples[6:], load_ranges=parts[:2], save_ranges=on)
    assert read(whole)["samples"] == 9
    wanted = read(whole)["tensors"]
    for path in (joined, on):
        found = read(path)
        assert found["samples"] == 9
        for name, tensor in found["tensors"].items():
            assert tensor["numbers"] == wanted[name]["numbers"]
            assert tensor["chosen"] == pytest.approx(wanted[name]["chosen"], rel=1e-3)
    assert joined.read_bytes() == on.read_bytes()


def test_a_range_that_was_edited_counts(model: Path, ranges: Path) -> None:
    name = list(read(ranges)["tensors"])[1]
    again = model.with_name("again.json")
    by_hand = edited(ranges, lambda data: data["tensors"].update({name: [-1, 77.5]}))
    kpuir.compile(model, dataset=samples_for(model, 2), load_ranges=by_hand, save_ranges=again)
    assert read(again)["tensors"][name] == [-1.0, 77.5]
    alone = model.with_name("alone.json")
    alone.write_text(json.dumps({"tensors": {name: [-1, 77.5]}}))
    kpuir.compile(model, dataset=samples_for(model, 2), load_ranges=alone, save_ranges=again)
    assert read(again)["tensors"][name] == [-1.0, 77.5]


def test_how_inputs_are_split_is_kept(tmp_path: Path) -> None:
    path, ranges = tmp_path / "net.onnx", tmp_path / "ranges.json"
    onnx.save(signals(), path)
    samples = samples_for(path, 4)
    first = kpuir.compile(path, dataset=samples, passes="kpu-default{parts=3}", save_ranges=ranges)
    assert [split["parts"] for split in read(ranges)["splits"].values()] == [3]
    again = kpuir.compile(path, load_ranges=ranges)
    assert again.report.cpu_ops == first.report.cpu_ops


@pytest.mark.parametrize(
    ("edit", "message", "hint"),
    [
        (lambda data: data.update(model="0"), "these ranges are of another model", "--save-ranges"),
        (lambda data: data.update(method="kl"), "these ranges were chosen by 'kl', but now 'auto'", "--calibration kl"),
        (lambda data: data["tensors"].update(imaeg=[0, 1]), "there is no tensor 'imaeg'", "did you mean image"),
        (lambda data: data["tensors"].popitem(), "there is no range for tensor", "--dataset"),
        (lambda data: data["tensors"].update(image=[1, 0]), "begins above its end", "--save-ranges"),
    ],
)
def test_refused(model: Path, ranges: Path, edit: Edit, message: str, hint: str) -> None:
    wrong = edited(ranges, edit)
    with pytest.raises(InvalidInputError, match=message) as caught:
        kpuir.compile(model, load_ranges=wrong)
    assert caught.value.location == str(wrong)
    assert hint in str(caught.value.hint)


def test_another_model(model: Path, ranges: Path) -> None:
    net = onnx.load(model)
    weight = next(one for one in net.graph.initializer if len(one.dims) == 4)
    weight.raw_data = bytes(4) + weight.raw_data[4:]
    other = model.with_name("other.onnx")
    onnx.save(net, other)
    with pytest.raises(InvalidInputError, match="these ranges are of another model"):
        kpuir.compile(other, load_ranges=ranges)
