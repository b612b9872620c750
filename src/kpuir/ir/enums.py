"""Enum attributes in text."""

from typing import Any, cast

from xdsl.dialects.utils import EnumAttribute
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.str_enum import StrEnum


class InAngleBrackets:
    """Makes an enum attribute print as `#kbuf.space<main>`; xDSL's own form has no brackets and cannot be parsed."""

    def print_parameter(self, printer: Printer) -> None:
        """Print `<value>`."""
        with printer.in_angle_brackets():
            printer.print_string(cast("EnumAttribute[StrEnum]", self).data.value)

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Any:
        """Parse `<value>`."""
        with parser.in_angle_brackets():
            return parser.parse_str_enum(cast("type[EnumAttribute[StrEnum]]", cls).enum_type)
