"""kmodel v3 files as kbuf modules: what the real driver gave for them, byte for byte, and the same file again."""

import zipfile
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp, StringAttr

from kpuir.dialects import kbuf
from kpuir.errors import InvalidInputError
from kpuir.interpreters.kbuf import Machine
from kpuir.ir.printing import module_text
from kpuir.kmodel import v3
from kpuir.runtime import parse_module
from kpuir.translate import check_loadable, read_kmodel, write_kmodel
from kpuir.translate.kmodel_v3 import from_v3, to_v3
from tests.kmodel.check_v3 import check
from tests.kmodel.vectors import is_the_runtimes
from tests.shared import shared_file


def vectors() -> dict[str, dict[str, bytes]]:
    """The files of each vector."""
    found: dict[str, dict[str, bytes]] = {}
    with zipfile.ZipFile(shared_file("vectors/v3.zip")) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            found.setdefault(path.parts[0], {})[path.name] = archive.read(name)
    return found


def test_vectors() -> None:
    """Those that the driver runs come back as files and give its results; the others are refused or complained of."""
    for name, files in vectors().items():
        if "out0.bin" not in files:
            try:
                assert check_loadable(read_kmodel(files["model.kmodel"])), name
            except InvalidInputError:
                continue
            continue
        module = read_kmodel(files["model.kmodel"])
        assert write_kmodel(module) == files["model.kmodel"], name
        inputs = [files[one] for one in sorted(files) if one.startswith("in")]
        outputs = [files[one] for one in sorted(files) if one.startswith("out")]
        for found, wanted in zip(Machine(module).run(inputs), outputs, strict=True):
            assert is_the_runtimes(found, wanted, by_library=name in ("softmax", "logistic")), name


def shipped() -> bytes:
    return shared_file("models/face-detect-v3.kmodel").read_bytes()


def test_a_shipped_model_comes_back_through_text() -> None:
    data = shipped()
    module = read_kmodel(data)
    module.verify()
    assert check_loadable(module) == check(data) == []
    assert write_kmodel(parse_module(module_text(module).encode(), "text")) == data


def test_the_checker_finds_what_is_wrong() -> None:
    model = v3.read(shipped())
    first, *others = model.layers
    assert isinstance(first, v3.K210Conv)
    wrong = replace(first.registers, wb_group=2)
    broken = {
        "register 8": replace(model, layers=(replace(first, registers=wrong), *others)),
        "does not send": replace(model, layers=model.layers[:3], outputs=()),
        "outside of main memory": replace(model, main_bytes=64),
        "takes no input": replace(model, layers=tuple(others[-1:])),
        "max_start_address": replace(model, first_line=0),
    }
    for message, changed in broken.items():
        assert any(message in problem for problem in check(v3.write(changed))), message


def module() -> ModuleOp:
    return read_kmodel(shipped())


def test_what_a_file_cannot_hold() -> None:
    other = module()
    other.attributes["kbuf.version"] = StringAttr("v4")
    with pytest.raises(InvalidInputError, match=r"kbuf\.version is v4"):
        to_v3(other)
    mixed = module()
    layer = next(op for op in mixed.walk() if isinstance(op, kbuf.KpuConv2dOp))
    weights = layer.values()["weights"].astype(np.uint16)
    layer.properties["weights"] = kbuf.property_kinds(kbuf.KpuConv2dOp)["weights"].to_attribute(weights)
    with pytest.raises(InvalidInputError, match="8 and 16 bits"):
        to_v3(mixed)
    model = v3.read(shipped())
    layers = tuple(replace(one, flags=1) if isinstance(one, v3.K210Conv) else one for one in model.layers)
    small = replace(model, main_bytes=8, layers=layers)
    with pytest.raises(InvalidInputError, match=r"layer 0: bytes 0\.\.\d+ lie outside of the 8 bytes of main"):
        from_v3(small)


def test_the_width_of_no_weights_comes_back() -> None:
    weights, numbers = np.ones(4, np.float32), np.zeros(2, np.float32)
    layer = v3.FullyConnected(0, 0, 8, 2, 2, 0, weights, numbers)
    for bits in (8, 16):
        data = v3.write(v3.Model(((8, 8),), 16, (layer,), weight_bits=bits))
        assert write_kmodel(parse_module(module_text(read_kmodel(data)).encode(), "text")) == data


def test_a_register_that_only_the_runtime_should_set_comes_back() -> None:
    """Bit 0 of the last register: the runtime sets it where the layer's flag says so, and never takes it back."""
    model = v3.read(shipped())
    first, *others = model.layers
    assert isinstance(first, v3.K210Conv)
    assert not first.flags & v3.SENDS
    sends = replace(first, registers=replace(first.registers, send_data_out=1))
    data = v3.write(replace(model, layers=(sends, *others)))
    module = read_kmodel(data)
    assert write_kmodel(parse_module(module_text(module).encode(), "text")) == data
    assert check_loadable(module) == ["layer 0: kbuf.kpu_conv2d: register send_data_out is 1, but the layer needs 0"]
