"""What runtimes execute is what the file formats define; what firmwares take, and why not."""

from dataclasses import replace
from typing import Any

import pytest

from kpuir.kmodel import v3, v4
from kpuir.target.firmware import FIRMWARES, Demands, broken_rules, fit_line, spare_memory
from kpuir.target.runtimes import RUNTIMES

SMALL = Demands("v3", ("k210_conv", "dequantize"), ((1, 3, 240, 320),), ("float32",), 500_000)
V4: dict[str, Any] = {"version": "v4", "instructions": ("kpu_conv2d", "dequantize")}
V5: dict[str, Any] = {"version": "v5", "instructions": ("kpu_conv2d", "dequantize")}


def test_runtimes_name_what_the_formats_define() -> None:
    assert RUNTIMES["v3"].instructions == {layer.mnemonic for layer in v3.LAYERS.values()}
    assert RUNTIMES["v4"].instructions == {node.mnemonic for node in v4.INSTRUCTIONS.values()}
    assert (RUNTIMES["v3"].first or set()) < RUNTIMES["v3"].instructions


@pytest.mark.parametrize("name", FIRMWARES)
def test_every_firmware_takes_a_small_model_of_its_preferred_version(name: str) -> None:
    firmware = FIRMWARES[name]
    assert firmware.preferred in firmware.loads
    demands = SMALL if firmware.preferred == "v3" else replace(SMALL, **V4)
    assert broken_rules(firmware, demands) == []
    assert spare_memory(firmware, demands) == firmware.memory - 500_000
    assert fit_line(firmware, demands).startswith(f"fits {name}: yes, ")


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("maixpy-minimum", {"version": "v4"}, "no, it loads v3, this is v4"),
        ("maixpy-minimum", {"memory": 5_000_000}, "no, 1.5 MB too large"),
        ("maixpy-minimum", {"instructions": ("k210_conv",) * 256}, "up to 255 layers, there are 256"),
        ("maixpy-minimum", {"input_shapes": ((1, 4, 8, 8),)}, "images have 1 or 3 channels, the input has 4"),
        ("maixpy-minimum", {"output_types": ("float32", "uint8")}, "as float32, what the last layer gives"),
        ("maixpy-minimum", {"instructions": ("k210_conv",)}, "as uint8, what the last layer gives"),
        ("maixpy", {**V4, "output_types": ("uint8",)}, "reads every output as float32"),
        ("sdk-0.5.7", {"version": "v4"}, "no, no runtime of v4 executes k210_conv"),
        ("sdk-0.5.7", {"instructions": ()}, "no, there is nothing in it to execute"),
        ("freertos", {"instructions": ("fully_connected",)}, "begin with k210_conv, this one with fully_connected"),
        ("arduino", {"instructions": ("add",)}, "begin with fully_connected or k210_conv, this one with add"),
        ("sdk-0.5.7", {"input_shapes": ((1, 3, 8, 8),) * 2}, "gives a model 1 input, this one has 2"),
        ("sdk-develop", {**V5, "releases": ("1.8", "1.9")}, "no, it comes with runtime 1.0-beta, this is for 1.8, 1.9"),
        ("sdk-develop", {**V5, "releases": ("1.0-beta", "1.0")}, "yes"),
    ],
)
def test_what_firmwares_refuse(name: str, change: dict[str, object], why: str) -> None:
    assert why in fit_line(FIRMWARES[name], replace(SMALL, **change))
