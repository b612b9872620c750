"""A kmodel as a package for the K210's flashing tool (`firmware.md` 2.4). Knows no IR."""

import io
import json
import zipfile

DEFAULT_ADDRESS = 0x300000
"""Where MaixPy looks for a model in flash, by convention."""
FLASH_BYTES = 16 << 20
SECTOR = 4096
_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: the same kmodel gives the same package."""


def kfpkg(data: bytes, name: str, address: int = DEFAULT_ADDRESS) -> bytes:
    """A zip of `data` as the file `name` and of a list that says where in flash it goes.

    Raises ValueError for an address that is no multiple of a flash sector, or too near to the end of 16 MiB of flash.
    """
    if address % SECTOR or address < 0:
        raise ValueError(f"address {address:#x} is no multiple of {SECTOR:#x}, a sector of the flash")
    if address + len(data) > FLASH_BYTES:
        raise ValueError(f"{len(data)} bytes from {address:#x} on end behind the {FLASH_BYTES >> 20} MiB of the flash")
    files = [{"address": address, "bin": name, "sha256Prefix": False}]
    listing = json.dumps({"version": "0.1.0", "files": files}, indent=1).encode()
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in (("flash-list.json", listing), (name, data)):
            archive.writestr(zipfile.ZipInfo(entry, _NO_TIME), content, zipfile.ZIP_DEFLATED)
    return package.getvalue()
