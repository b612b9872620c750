"""Which version of kmodels is written, and whether a firmware takes what came out."""

from kpuir.errors import DoesNotFitError, InvalidInputError, UsageError
from kpuir.target.firmware import FIRMWARES, Demands, broken_rules, spare_memory
from kpuir.target.runtimes import RUNTIMES
from kpuir.target.stackvm import RELEASES

VERSIONS = ("v3", "v4", "v5")
"""The versions of kmodels that can be written."""

DEFAULT_VERSION = "v4"


def version_for(kmodel: str | None, firmware: str | None, weights_bits: int) -> str:
    """The version to write. Raises UsageError where there is none that is and does what was asked for."""
    if firmware is not None and firmware not in FIRMWARES:
        raise UsageError(f"there is no firmware '{firmware}'", hint=f"choose {', '.join(FIRMWARES)}")
    version = kmodel or (DEFAULT_VERSION if firmware is None else FIRMWARES[firmware].preferred)
    if firmware is not None and version not in FIRMWARES[firmware].loads:
        loads = " and ".join(FIRMWARES[firmware].loads)
        raise UsageError(f"{firmware} loads kmodels {loads}, not {version}", hint="leave the version out")
    check_version(version)
    if weights_bits not in RUNTIMES[version].weight_bits:
        others = [one for one in VERSIONS if weights_bits in RUNTIMES[one].weight_bits]
        hint = f"kmodel {' or '.join(others)} has them" if others else "choose 8 or 16"
        raise UsageError(f"kmodel {version} has no weights of {weights_bits} bits", hint=hint)
    return version


def check_version(version: str) -> None:
    """Raise UsageError for a version of kmodels that cannot be written."""
    if version not in VERSIONS:
        raise UsageError(f"kmodel version '{version}' cannot be written", hint=f"choose {', '.join(VERSIONS)}")


def check_release(version: str, release: str | None) -> None:
    """Raise UsageError unless there is such a release of the runtime, and the version asks for one."""
    if release is not None and version != "v5":
        raise UsageError(
            f"releases of the runtime differ for kmodel v5 only, not for {version}", hint="add --kmodel v5"
        )
    if release is not None and release not in RELEASES:
        raise UsageError(f"there is no release '{release}' of the runtime", hint=f"choose {', '.join(RELEASES)}")


def release_for(version: str, release: str | None, firmware: str | None) -> str | None:
    """The release of the runtime to write for; None for the newest. Raises UsageError for one a firmware is not of."""
    check_release(version, release)
    own = None if firmware is None or version != "v5" else FIRMWARES[firmware].release
    if own is not None and release not in (None, own):
        raise UsageError(
            f"{firmware} comes with runtime {own}, not {release}",
            hint="leave the release out; or the firmware, where its runtime has been replaced",
        )
    return release or own


def check_inputs(firmware: str | None, count: int) -> None:
    """Raise InvalidInputError, before anything is computed, for more inputs than a firmware gives a model."""
    if firmware is not None and FIRMWARES[firmware].single_input and count != 1:
        raise InvalidInputError(
            f"{firmware} gives a model 1 input, this one has {count}",
            hint="make one input of them, or leave --firmware out",
        )


def check_firmware(name: str, demands: Demands) -> None:
    """Raise InvalidInputError or DoesNotFitError where a firmware would not take a kmodel."""
    firmware = FIRMWARES[name]
    problems, spare = broken_rules(firmware, demands), spare_memory(firmware, demands)
    if problems:
        raise InvalidInputError(f"the kmodel is not for {firmware.name}: {'; '.join(problems)}")
    if spare < 0:
        raise DoesNotFitError(
            f"the kmodel and its working memory take {demands.memory} bytes, {firmware.name} has {firmware.memory}",
            hint=f"{firmware.memory_source}; use a smaller input or fewer weights",
        )
