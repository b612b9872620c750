"""Which kmodels the known firmwares load, and what else they want of a model.

Rules are functions that say what is wrong; figures come with where they are from. Bytes throughout. Nobody publishes
how much memory an application leaves: where a source gives a range, the lower end counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from kpuir.target.runtimes import RUNTIMES
from kpuir.target.stackvm import RELEASES

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Firmware:
    """A firmware, and what it demands.

    `loads` are the versions of kmodels, `preferred` is the one to make for it. `memory` is for the file and its working
    memory together, `memory_source` says where the figure is from. `most_layers` and `first` are of kmodel v3: the
    number of layers, and what the first one must be among (what any v3 runtime wants where it is None). `release` is
    that of the runtime for v5 which comes with it.
    `has_typed_list`: scripts get outputs whose type the firmware infers, and give images or lists of floats.
    """

    name: str
    description: str
    loads: tuple[str, ...]
    preferred: str
    memory: int
    memory_source: str
    single_input: bool = True
    most_layers: int | None = None
    first: tuple[str, ...] | None = None
    release: str | None = None
    has_typed_list: bool = False


_SDK_SOURCE = "the chip's data sheet: 5 to 5.9 MB beside an application"
_SDK = partial(Firmware, memory=5_000_000, memory_source=_SDK_SOURCE)

FIRMWARES = {
    firmware.name: firmware
    for firmware in (
        Firmware(
            "maixpy-minimum",
            "MaixPy v1, the builds called minimum",
            loads=("v3",),
            preferred="v3",
            memory=3460 * 1024,
            memory_source="3460 KB were free on an M5StickV before a model was loaded (MaixPy-v1 #180)",
            most_layers=255,
            has_typed_list=True,
        ),
        Firmware(
            "maixpy",
            "MaixPy v1, full builds and those with kmodel v4 support",
            loads=("v3", "v4"),
            preferred="v4",
            memory=2 * 1024 * 1024,
            memory_source="2 to 2.8 MB beside a garbage-collected heap of 512 KB",
            most_layers=255,
            has_typed_list=True,
        ),
        Firmware(
            "canmv",
            "CanMV K210, main branch",
            loads=("v3", "v4"),
            preferred="v4",
            memory=2 * 1024 * 1024,
            memory_source="not published; as much as MaixPy's full builds, which it is made like",
        ),
        _SDK(
            "sdk-0.5.6",
            "Kendryte standalone SDK 0.5.4 to 0.5.6",
            loads=("v3",),
            preferred="v3",
        ),
        _SDK(
            "sdk-0.5.7",
            "Kendryte standalone SDK 0.5.7",
            loads=("v3", "v4"),
            preferred="v4",
        ),
        _SDK(
            "sdk-develop",
            "Kendryte standalone SDK, develop branch",
            loads=("v3", "v4", "v5"),
            preferred="v4",
            release="1.0-beta",
        ),
        _SDK(
            "freertos",
            "Kendryte FreeRTOS SDK",
            loads=("v3",),
            preferred="v3",
            first=("k210_conv",),
        ),
        _SDK(
            "arduino",
            "Maixduino for Arduino (Maix_KPU)",
            loads=("v3",),
            preferred="v3",
            memory_source=f"{_SDK_SOURCE}; camera and display buffers come off",
        ),
    )
}
"""The firmwares by name."""


@dataclass(frozen=True)
class Demands:
    """What firmwares look at of a kmodel: its version, the names of its instructions, types and shapes, and memory.

    `memory` counts the file, its working memory, and what the runtime allocates while it runs. `releases` are those of
    the runtime for v5 that have its functions.
    """

    version: str
    instructions: Sequence[str]
    input_shapes: Sequence[Sequence[int]]
    output_types: Sequence[str]
    memory: int
    releases: Sequence[str] = RELEASES


def broken_rules(firmware: Firmware, demands: Demands) -> list[str]:
    """What the firmware would not take of a kmodel, other than its size: sentences; empty where it takes it."""
    if demands.version not in firmware.loads:
        return [f"it loads {' and '.join(firmware.loads)}, this is {demands.version}"]
    found: list[str] = []
    unknown = sorted(set(demands.instructions) - RUNTIMES[demands.version].instructions)
    if unknown:
        return [f"no runtime of {demands.version} executes {', '.join(unknown)}"]
    if not demands.instructions:
        return ["there is nothing in it to execute"]
    if firmware.single_input and len(demands.input_shapes) != 1:
        found.append(f"it gives a model 1 input, this one has {len(demands.input_shapes)}")
    if demands.version == "v5" and firmware.release is not None and firmware.release not in demands.releases:
        found.append(f"it comes with runtime {firmware.release}, this is for {', '.join(demands.releases)}")
    count = len(demands.instructions)
    if demands.version == "v3" and firmware.most_layers is not None and count > firmware.most_layers:
        found.append(f"it counts up to {firmware.most_layers} layers, there are {count}")
    first = firmware.first or RUNTIMES[demands.version].first
    if first is not None and demands.instructions[0] not in first:
        found.append(f"its models begin with {' or '.join(sorted(first))}, this one with {demands.instructions[0]}")
    return found + (_list_rules(demands) if firmware.has_typed_list else [])


def _list_rules(demands: Demands) -> list[str]:
    """Of MaixPy: what scripts can give and get."""
    found: list[str] = []
    if demands.version == "v4":
        if "uint8" in demands.output_types:
            found.append("it reads every output as float32, there is one of uint8")
        return found
    for shape in demands.input_shapes:
        if demands.instructions[0] == "k210_conv" and shape[1] not in (1, 3):
            found.append(f"its images have 1 or 3 channels, the input has {shape[1]}")
    # It takes the type of every output from the last layer.
    seen = "uint8" if demands.instructions[-1] == "k210_conv" else "float32"
    others = sorted(set(demands.output_types) - {seen})
    if others:
        found.append(f"it reads every output as {seen}, what the last layer gives, there is one of {others[0]}")
    return found


def spare_memory(firmware: Firmware, demands: Demands) -> int:
    """The bytes that are left beside a model, negative where it does not fit."""
    return firmware.memory - demands.memory


def fit_line(firmware: Firmware, demands: Demands) -> str:
    """Whether a firmware takes a kmodel, how much memory is left, or why it does not take it."""
    rules, spare = broken_rules(firmware, demands), spare_memory(firmware, demands)
    if rules:
        return f"fits {firmware.name}: no, {'; '.join(rules)}"
    if spare < 0:
        return f"fits {firmware.name}: no, {-spare / MEGABYTE:.1f} MB too large ({firmware.memory_source})"
    return f"fits {firmware.name}: yes, {spare / MEGABYTE:.1f} MB spare"
