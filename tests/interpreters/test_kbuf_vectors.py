"""The conformance vectors: small v4 kmodels and the bytes the real runtime gave for them."""

import re
import zipfile
from collections import defaultdict
from functools import cache

import pytest

from kpuir.interpreters.kbuf import Machine
from kpuir.translate import read_kmodel
from tests.kmodel.vectors import is_the_runtimes
from tests.shared import SHARED, shared_file

ARCHIVE = "vectors/v4.zip"
BY_LIBRARY = ("unary", "softmax", "nnil_unary_method")
"""Families with cos, exp, log and sin."""


@cache
def archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(shared_file(ARCHIVE))


@cache
def vectors() -> dict[str, dict[str, list[str]]]:
    """family -> vector -> the names of its files, in order."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(archive().namelist()):
        folder, _, file = name.rpartition("/")
        if file:
            found[family_of(folder.rpartition("/")[2])][folder].append(name)
    return found


def family_of(vector: str) -> str:
    """kpu_f3_dw0_pool4-001 is of kpu_f3_dw0, unary7-000 of unary, resize_mode0_dt1-003 of resize."""
    return re.sub(r"(_pool\d+|_mode\d+_dt\d+|\d+)?-\d+$", "", vector)


FAMILIES = {
    "binary": 12,
    "concat": 28,
    "conv2d": 14,
    "conv2d_transpose": 5,
    "cpu_conv2d": 14,
    "cpu_depthwise_conv2d": 14,
    "cpu_quantized_conv2d": 6,
    "cpu_quantized_depthwise_conv2d": 2,
    "cpu_reduce_window2d": 42,
    "dequantize": 14,
    "kpu_f1_dw0": 30,
    "kpu_f1_dw1": 30,
    "kpu_f3_dw0": 30,
    "kpu_f3_dw1": 30,
    "matmul": 14,
    "memory_copy": 28,
    "nnil_unary_method": 14,
    "pad": 27,
    "quantize": 14,
    "quantized_binary": 12,
    "quantized_conv2d": 14,
    "quantized_matmul": 14,
    "reduce": 56,
    "reduce_window2d": 56,
    "resize": 112,
    "softmax": 14,
    "strided_slice": 28,
    "table_lookup1d": 14,
    "transpose": 28,
    "unary": 10,
}


def differences(machine: Machine, files: list[str], family: str) -> list[str]:
    read = archive().read
    inputs = [read(name) for name in files if re.search(r"/in\d+\.bin$", name)]
    expected = [read(name) for name in files if re.search(r"/out\d+\.bin$", name)]
    outputs = machine.run(inputs)
    assert len(outputs) == len(expected)
    return [
        f"output {index}"
        for index, (output, raw) in enumerate(zip(outputs, expected, strict=True))
        if not is_the_runtimes(output, raw, by_library=family in BY_LIBRARY)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_those_of_the_runtime(family: str) -> None:
    folders = vectors()[family]
    assert len(folders) == FAMILIES[family]
    wrong: dict[str, list[str]] = {}
    for folder, files in folders.items():
        model = next(name for name in files if name.endswith("model.kmodel"))
        machine = Machine(read_kmodel(archive().read(model)), check=True)
        found = differences(machine, files, family)
        # memory_copy moves whole words, so these vectors end in bytes that nothing writes
        found += [warning for warning in machine.warnings if family != "memory_copy"]
        if found:
            wrong[folder] = found
    assert not wrong


@pytest.mark.skipif(not (SHARED / ARCHIVE).exists(), reason=f"NEEDS SHARED MATERIAL: {ARCHIVE}")
def test_no_family_is_left_out() -> None:
    assert {family: len(folders) for family, folders in vectors().items()} == FAMILIES
