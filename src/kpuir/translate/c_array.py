"""A file as C source, to link a kmodel into a firmware. Knows no IR."""

import re


def c_array(data: bytes, name: str) -> str:
    """C source that defines `data` as an array, aligned to 256 bytes as the v5 runtime wants, and its size.

    Both are called after `name`, in which everything that C does not take becomes an underscore.
    """
    identifier = re.sub(r"\W", "_", name, flags=re.ASCII)
    identifier = f"_{identifier}" if identifier[:1].isdigit() or not identifier else identifier
    lines = (data[start : start + 16].hex(",").replace(",", ", 0x") for start in range(0, len(data), 16))
    body = ",\n".join(f"    0x{line}" for line in lines)
    return (
        "#include <stdint.h>\n\n"
        f"const uint32_t {identifier}_size = {len(data)};\n"
        f"const uint8_t {identifier}[{len(data)}] __attribute__((aligned(256))) = {{\n{body}\n}};\n"
    )
