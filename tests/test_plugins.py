"""Plug-ins of other packages, good and broken."""

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from kpuir import plugins
from kpuir.errors import UsageError

TABLE = {"Foo": print}
NO_TABLE = [1, 2]


def install(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    def entry_points(group: str, name: str) -> list[EntryPoint]:
        found = [EntryPoint("onnx", value, "kpuir.plugins") for value in values]
        return [entry for entry in found if (entry.group, entry.name) == (group, name)]

    monkeypatch.setattr(plugins, "entry_points", entry_points)


def test_tables_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, f"{__name__}:TABLE")
    merged: dict[str, Any] = plugins.table("onnx")
    assert merged == TABLE
    assert plugins.table("reports") == {}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package.ops:TABLE", "No module named 'no_such_package'"),
        (f"{__name__}:MISSING", "AttributeError"),
        (f"{__name__}:NO_TABLE", "is a list, not a dictionary"),
    ],
)
def test_broken_plugins_are_named(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    install(monkeypatch, value)
    with pytest.raises(UsageError) as caught:
        plugins.table("onnx")
    assert f"'onnx = {value}'" in str(caught.value)
    assert reason in str(caught.value)
