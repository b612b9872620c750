"""The documentation: the tutorial runs, the reference pages are what the code says, links lead somewhere."""

import doctest
import importlib.util
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    return (Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8")))


def run_command(line: str) -> str:
    """What a command of the documentation prints, on stdout and then on stderr."""
    tool, *arguments = shlex.split(line)
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = import_module(f"kpuir.tools.{tool.replace('-', '_')}").main(arguments)
    assert status == 0, err.getvalue()
    out.seek(0)
    return out.read() + err.getvalue()


def pattern_of(expected: str) -> str:
    """A regular expression of expected lines: `...` alone is any lines, inside of a line any text."""
    parts = [
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r" *\n"
        for line in expected.splitlines()
    ]
    return "".join(parts)


def check_console(text: str) -> None:
    """Run each `$ command` and compare what it prints with the lines below it."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        printed = run_command(command)
        if expected:
            collapsed = re.sub(r"(?<=\S) +", " ", printed)
            wanted = re.sub(r"(?<=\S) +", " ", expected)
            assert re.fullmatch(pattern_of(wanted), collapsed), f"$ {command}\n{printed}\n--- is not\n{expected}"


def check_session(text: str, names: dict[str, Any]) -> None:
    """Run a `>>>` session in a name space."""
    test = doctest.DocTestParser().get_doctest(text, names, "tutorial", "docs/tutorial.md", 0)
    test.globs = names
    report = io.StringIO()
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=report.write, clear_globs=False)
    assert not report.getvalue(), report.getvalue()


def test_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples" / "digits", tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    seen: set[str] = set()
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        seen.add(block.language)
        if block.language == "console":
            check_console(block.text)
        elif block.language == "pycon":
            check_session(block.text, names)
        elif block.language == "python":
            exec(compile(block.text, "tutorial", "exec"), names)
    assert seen == {"console", "pycon", "python"}


def test_expectations_can_fail() -> None:
    assert re.fullmatch(pattern_of("a\n...\nb ... c\n"), "a\nx\ny\nb 1 c\n")
    assert not re.fullmatch(pattern_of("a\n...\nb ... c\n"), "a\nx\ny\nb 1 d\n")
    with pytest.raises(AssertionError, match=r"Expected:\n +3\n +Got:\n +2"):
        check_session(">>> 1 + 1\n3\n", {})


def test_readme_commands_are_commands() -> None:
    """Every command of the README and the guides has options that its parser knows."""
    known = {"kpu-compile", "kpu-run", "kpu-opt", "kpu-translate"}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    commands = [
        shlex.split(line[2:])
        for page in pages
        for block in blocks(page)
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ kpu-")
    ]
    assert len(commands) > 8
    for tool, *arguments in commands:
        assert tool in known
        help_text = run_command(f"{tool} --help")
        options = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
        assert [option for option in options if option not in help_text] == []


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "tools" / "generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_reference_pages_are_current() -> None:
    assert generator().stale() == [], "run `make docs` and commit docs/reference/"


def test_links_lead_somewhere() -> None:
    broken: list[str] = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not (page.parent / link).exists():
                broken.append(f"{page.name}: {link}")
    assert broken == []
