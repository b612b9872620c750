"""The text of a module: exact and fast for files, elided for people.

xDSL prints a dense attribute by unpacking every element to find out whether it is a splat; comparing the bytes says the
same two orders of magnitude faster, and tells 0.0 from -0.0.
"""

from collections.abc import Iterable
from hashlib import sha256
from io import StringIO
from math import isfinite
from typing import Any, cast

from xdsl.dialects.builtin import AnyFloat, DenseIntOrFPElementsAttr
from xdsl.ir import Attribute, Dialect, Operation
from xdsl.printer import Printer

ELIDE_ABOVE = 16
"""Dense attributes of more elements are elided in dumps and diagnostics, unless they are splats."""

_DIGITS = {32: 9, 64: 17}
"""Decimal digits that tell all floats of so many bits apart."""

_HEX_ABOVE = 100
"""xDSL's own limit: longer dense attributes are printed as hexadecimal bytes."""


class ModulePrinter(Printer):
    """xDSL's printer, with a fast splat test and, with `elide`, a hash in the place of big constants."""

    elide = False

    def print_attribute(self, attribute: Attribute) -> None:
        """Print any attribute; dense ones in our own way, the same text as xDSL's."""
        if not isinstance(attribute, DenseIntOrFPElementsAttr):
            super().print_attribute(attribute)
            return
        dense = cast("DenseIntOrFPElementsAttr[Any]", attribute)
        self._print_dense(dense)
        self.print_string(" : ")
        super().print_attribute(dense.type)

    def print_float(self, value: float, type: AnyFloat) -> None:
        """Print a number so that every place takes it back: xDSL writes 16777217.0 as bits, and reads those as 1.26e9
        inside of a dense attribute and not at all inside of `array<f32: ...>`."""
        digits = _DIGITS.get(type.bitwidth)
        if digits is None or not isfinite(value) or float(f"{value:.5e}") == value or "." in f"{value:.{digits}g}":
            super().print_float(value, type)
        else:
            self.print_string(f"{value:.{digits - 1}e}")

    def _print_dense(self, dense: "DenseIntOrFPElementsAttr[Any]") -> None:
        data = dense.data.data
        count = len(dense)
        shown = dense
        if count > 1 and is_splat(data, count):
            shown = DenseIntOrFPElementsAttr(dense.type, type(dense.data)(data[: len(data) // count]))
        elif self.elide and count > ELIDE_ABOVE:
            self.print_string(f"dense_resource<__elided_{sha256(data).hexdigest()[:8]}__>")
            return
        if len(shown) > _HEX_ABOVE or _needs_bytes(shown):
            self.print_string(f'dense<"0x{shown.data.data.hex().upper()}">')
        else:
            shown.print_without_type(self)


def is_splat(data: bytes, count: int) -> bool:
    """Whether `data` is one element's bytes repeated `count` times."""
    return data == data[: len(data) // count] * count


def _needs_bytes(dense: "DenseIntOrFPElementsAttr[Any]") -> bool:
    """Whether xDSL's text would not come back the same: NaN, infinities, and all of 0.0 and -0.0 (no splat for us)."""
    values = dense.get_values()
    return (len(values) > 1 and not any(values)) or not all(map(isfinite, values))


def module_text(
    module: Operation,
    *,
    elide: bool = False,
    locations: bool = True,
    generic: bool = False,
    dialects: Iterable[Dialect] = (),
) -> str:
    """The text of `module`, ending in a newline.

    With `elide`, dense attributes of more than 16 elements appear as `dense_resource<__elided_1a2b3c4d__>` with the
    first eight digits of the sha256 of their bytes: for dumps and messages only, it cannot be compiled again.
    With `locations`, each operation is followed by its layer: `loc("conv1")`. `generic` prints xDSL's generic form,
    `dialects` is needed only where a foreign dialect uses resources.
    """
    stream = StringIO()
    printer = ModulePrinter(stream=stream, print_debuginfo=locations, print_generic_format=generic)
    printer.elide = elide
    printer.print_op(module)
    printer.print_metadata(dialects)
    stream.write("\n")
    return stream.getvalue()
