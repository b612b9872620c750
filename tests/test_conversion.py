"""kmodels moved to other versions give the same outputs: those that real runtimes recorded, and our own."""

import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import kpuir
from kpuir.conversion import convert
from kpuir.errors import InvalidInputError, UsageError
from kpuir.interpreters.kbuf import Machine
from kpuir.kmodel import kmodel_version, v3, v5
from kpuir.kmodel.info import describe
from kpuir.runtime import kbuf_ports, load
from kpuir.target.stackvm import DataType
from kpuir.translate import check_loadable, read_kmodel
from kpuir.versions import VERSIONS
from tests.kmodel import check_v3
from tests.networks import Net, mobilenet, resnet, yolo
from tests.shared import shared_file

Array = NDArray[Any]
DIGITS = Path(__file__).parents[1] / "examples/digits"
MOST = 2
"""So many vectors of a kind are converted."""

TRUNCATES = ("memory_copy", "resize_mode0_dt1", "quantized_binary", "quantized_add")
"""Where versions differ by more than last digits: bytes lost behind whole words, and what is cut off, not rounded."""


def vectors(archive: str) -> Iterator[tuple[str, bytes, list[bytes], list[bytes]]]:
    """Name, kmodel, inputs and outputs of a few vectors of each kind."""
    with zipfile.ZipFile(shared_file(f"vectors/{archive}.zip")) as files:
        folders: dict[str, list[str]] = defaultdict(list)
        for file in sorted(files.namelist()):
            folders[file.rpartition("/")[0]].append(file)
        taken: Counter[str] = Counter()
        for name, found in folders.items():
            outputs = [files.read(file) for file in found if "/out" in file]
            kind = name.rpartition("-")[0] or name
            taken[kind] += 1
            if outputs and taken[kind] <= MOST:
                inputs = [files.read(file) for file in found if "/in" in file]
                yield name, files.read(f"{name}/model.kmodel"), inputs, outputs


def outputs_of(data: bytes, inputs: Any) -> list[Array]:
    """What a kmodel gives; it must not read what nothing has written."""
    machine = Machine(read_kmodel(data), check=True)
    outputs = machine.run(inputs)
    assert machine.warnings == ()
    return outputs


def check_same(found: Array, expected: Array, what: str) -> None:
    """Bytes are equal, floats but for last digits."""
    if found.dtype == np.uint8:
        assert np.array_equal(found.ravel(), expected.ravel()), what
    else:
        spread = float(np.abs(expected).max())
        np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=1e-6, atol=1e-6 * spread, err_msg=what)


@pytest.mark.parametrize(
    ("archive", "version", "least"), [("v3", "v4", 38), ("v3", "v5", 38), ("v4", "v3", 86), ("v4", "v5", 134)]
)
def test_outputs_that_real_runtimes_gave(archive: str, version: str, least: int) -> None:
    """At least so many vectors can be converted; what cannot is refused for a reason that is given."""
    count, refused = 0, list[str]()
    for name, data, inputs, outputs in vectors(archive):
        if name == "nan":  # what the runtime of v3 makes of a softmax of -200, and no other
            continue
        try:
            converted = convert(data, version)
        except InvalidInputError as refusal:
            refused.append(str(refusal))
            continue
        count += 1
        assert kmodel_version(converted.kmodel_bytes) == int(version[1])
        assert check_loadable(converted.module) == []
        if name.startswith(TRUNCATES):
            continue
        for found, raw in zip(outputs_of(converted.kmodel_bytes, inputs), outputs, strict=True):
            check_same(found, np.frombuffer(raw, found.dtype), f"{name} as {version}")
    assert count >= least
    assert all(re.search("(node|layer) 0: |input: ", text) for text in refused)
    assert all({"v3", "v4", "v5"} & set(re.findall(r"v\d", text)) - {version} for text in refused)


def samples(module: Any) -> list[Array]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, port.kmodel_shape, np.uint8)
        if port.type == "uint8"
        else rng.normal(size=port.kmodel_shape).astype(np.float32)
        for port in kbuf_ports(module)[0]
    ]


def check_chain(data: bytes, *versions: str) -> list[bytes]:
    """Convert on and on: the outputs stay those of the first."""
    inputs = samples(read_kmodel(data))
    expected = outputs_of(data, inputs)
    files = [data]
    for version in versions:
        converted = convert(files[-1], version)
        files.append(converted.kmodel_bytes)
        assert check_loadable(converted.module) == []
        if version == "v3":
            assert check_v3.check(files[-1]) == []
        for found, one in zip(outputs_of(files[-1], inputs), expected, strict=True):
            check_same(found, one, version)
    return files


def test_a_real_v3_model() -> None:
    data = shared_file("models/face-detect-v3.kmodel").read_bytes()
    assert convert(data, "v3").kmodel_bytes == data
    files = check_chain(data, "v4", "v5", "v4", "v3")
    assert [len(file) for file in files[1:]] == [389416, 387840, 389416, 388776]
    assert files[1] == files[3]


def test_a_real_v4_model() -> None:
    """Sums and quotients of bytes are cut off in v4; in v5 they are floats, and a step off now and then."""
    data = shared_file("models/slim-320.kmodel").read_bytes()
    inputs = samples(read_kmodel(data))
    scores, boxes = outputs_of(data, inputs)
    found = outputs_of(convert(data, "v5").kmodel_bytes, inputs)
    check_same(found[1], boxes, "boxes")
    assert np.abs(found[0] - scores).max() < 1 / 255
    with pytest.raises(InvalidInputError, match=r"node 51: unary on the CPU; v3 has no such layer\n(.*\n)*.*kmodel v4"):
        convert(data, "v3")


def joined() -> Any:
    """A concat along rows, parts of it read again, a softmax along the channels, tanh and a square root."""
    net = Net(image=(1, 3, 16, 16))
    x = net.op("Tanh", net.conv("image", 3, 8))
    y = net.op("Sqrt", net.op("Sigmoid", x))
    both = net.op("Concat", x, net.op("Softmax", y, axis=1), axis=2)
    return net.model(both, net.op("ReduceMean", both, axes=[2]))


@pytest.mark.parametrize(
    ("network", "versions"),
    [
        (resnet, ("v5", "v4", "v3", "v5", "v3")),
        (mobilenet, ("v3", "v4", "v5", "v3")),
        (yolo, ("v5", "v3", "v4")),
        (joined, ("v5", "v4")),
    ],
)
def test_our_own_networks(network: Any, versions: tuple[str, ...], tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "net.onnx"
    onnx.save(network(), path)
    port = load(path).inputs[0]
    rng = np.random.default_rng(0)
    dataset = [{port.name: rng.normal(size=port.shape).astype(np.float32)} for _ in range(2)]
    check_chain(kpuir.compile(path, dataset=dataset).kmodel_bytes, *versions)


def test_three_versions_of_one_module() -> None:
    """The example, compiled once: the same layers on the KPU in each, and no version needs much more than another."""
    dataset = [{"image": np.random.default_rng(0).normal(size=(1, 1, 16, 16)).astype(np.float32)}]
    compiled = kpuir.compile(DIGITS / "digits.onnx", dataset=dataset, input_type="uint8").kmodel_bytes
    files = {version: convert(compiled, version).kmodel_bytes for version in VERSIONS}
    assert files["v4"] == compiled
    inputs = samples(read_kmodel(compiled))
    (expected,) = outputs_of(compiled, inputs)
    for version, data in files.items():
        check_same(outputs_of(data, inputs)[0], expected, version)
        places = [line.where for line in describe(data).instructions]
        assert (places.count("KPU"), places.count("CPU")) == (15, {"v3": 2, "v4": 2, "v5": 4}[version])
    sizes = [len(data) for data in files.values()]
    assert max(sizes) < 1.1 * min(sizes)


def test_for_other_releases_of_the_runtime() -> None:
    """Functions have other numbers there, or are missing: before 1.6 a softmax is made of other functions."""
    data = shared_file("vectors/v3.zip")
    with zipfile.ZipFile(data) as files:
        model, source = files.read("softmax/model.kmodel"), files.read("softmax/in0.bin")
        expected = files.read("softmax/out0.bin")
    newest = convert(model, "v5").kmodel_bytes
    assert convert(newest, "v5").kmodel_bytes == newest
    old = convert(newest, "v5", runtime="1.0-beta").kmodel_bytes
    assert v5.read(old).release == "1.0-beta"
    for file in (newest, old):
        (found,) = outputs_of(file, [source])
        check_same(found, np.frombuffer(expected, np.float32), "softmax")


def test_what_cannot_be() -> None:
    with zipfile.ZipFile(shared_file("vectors/v3.zip")) as files:
        words = files.read("conv16_9x5x5_9_k1dw_p0/model.kmodel")
    assert v3.read(words).weight_bits == 16
    with pytest.raises(InvalidInputError, match=r"layer 0: weights of 16 bits; v4 has layers with 8\nhint: .*v3"):
        convert(words, "v4")
    for version, runtime in (("v7", None), ("v4", "1.0"), ("v5", "2.0")):
        with pytest.raises(UsageError):
            convert(words, version, runtime=runtime)


def test_functions_that_only_v5_has() -> None:
    """They move to releases that have them, and are refused elsewhere."""
    shape, strides = (1, 4), (4, 1)
    fields = {"dt": DataType.FLOAT32, "sh": shape, "st": strides, "axis": 1}
    places = {"in": v5.Address(v5.Location.INPUT, 0), "out": v5.Address(v5.Location.OUTPUT, 0)}
    port = (v5.TensorType(DataType.FLOAT32, shape),)
    function = v5.Function(port, port, (v5.Operation("hardmax", fields, places),))
    data = v5.write(v5.Model((v5.Module(v5.STACKVM, (function,), b"", ((v5.Location.DATA, 0),)),)))
    older = convert(data, "v5", runtime="1.2").kmodel_bytes
    assert v5.read(older).modules[0].functions == (function,)
    (found,) = outputs_of(older, [np.array([1, 2, 4, 3], np.float32)])
    assert found.ravel().tolist() == [0, 0, 1, 0]
    with pytest.raises(InvalidInputError, match=r"hardmax: the runtime of release 1\.0-beta does not have"):
        convert(data, "v5", runtime="1.0-beta")
    with pytest.raises(InvalidInputError, match="hardmax, which only v5 has"):
        convert(data, "v4")
