"""Who may import whom, how long files are, and that every pass and operation has its text tests.

The rules are those of docs/architecture.md. Imports are read from the source, those inside functions included; what
stands under `if TYPE_CHECKING:` binds nothing at run time, and counts only for the packages that are usable alone.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from kpuir.passes import PASSES
from kpuir.universe import DIALECTS, KPUIR_UNIVERSE

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
TEXT_TESTS = ROOT / "tests" / "filecheck"
LONGEST = 600

ALONE = {
    "errors": set[str](),
    "target": set[str](),
    "memory": set[str](),
    "quantization": set[str](),
    "kmodel": {"errors", "target"},
    "kernels": {"errors", "kmodel", "target"},
}
"""The packages without IR, and what of kpuir they may know."""

MAY_KNOW = ALONE | {
    "ir": {"errors"},
    "plugins": {"errors"},
    "dialects": {"ir", "target", "kmodel"},
    "interpreters": {"kernels", "dialects", "ir", "errors", "kmodel", "target"},
    "analysis": {"dialects", "errors", "ir", "target", "quantization", "interpreters", "kernels"},
    "dataset": {"errors"},
    "passes": {
        *("dialects", "analysis", "quantization", "memory", "target", "ir", "errors", "kmodel"),
        *("interpreters", "kernels", "dataset"),
    },
    "importers": {"dialects", "ir", "errors", "plugins", "kernels"},
    "translate": {"dialects", "ir", "errors", "kmodel", "target"},
    "universe": {"passes"},
    "pipelines": {"universe", "ir", "errors"},
    "named_pipelines": set[str](),
    "comparison": {"errors"},
    "versions": {"errors", "target"},
    "runtime": {"dataset", "dialects", "errors", "importers", "interpreters", "ir", "pipelines", "translate"},
    "mixed_precision": {"comparison", "dataset", "errors", "runtime"},
    "fitting": {"analysis", "dialects", "errors", "ir", "passes", "pipelines", "target", "translate", "versions"},
    "compiler": {
        *("analysis", "dialects", "errors", "fitting", "importers", "ir", "mixed_precision", "named_pipelines"),
        *("passes", "pipelines", "runtime", "target", "versions"),
    },
    "conversion": {
        *("compiler", "dialects", "errors", "fitting", "ir", "named_pipelines", "pipelines", "target", "translate"),
        "versions",
    },
    "onnx_backend": {"compiler", "errors", "importers", "runtime"},
    "reports": {"analysis", "dialects"},
    "kpuir": set[str](),
}
"""What each package may import while the program runs. `tools` may import everything."""


def files() -> list[Path]:
    return sorted((SOURCE / "kpuir").rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """`kernels` for the interpreters' kernels, the name below kpuir for other modules of ours, else the top name."""
    parts = module.split(".")
    if parts[0] != "kpuir" or len(parts) == 1:
        return parts[0]
    return "kernels" if parts[1:3] == ["interpreters", "kernels"] else parts[1]


def statements(node: ast.AST) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import of a tree, and whether it is for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, False
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from ((inner, True) for inner in ast.walk(child) if isinstance(inner, ast.Import | ast.ImportFrom))
        else:
            yield from statements(child)


@cache
def imports() -> dict[str, list[tuple[str, bool]]]:
    """For each module of kpuir what it imports, and whether for type checkers only."""
    modules = {module_of(path): path for path in files()}
    found: dict[str, list[tuple[str, bool]]] = {}
    for module, path in modules.items():
        found[module] = []
        for statement, typing_only in statements(ast.parse(path.read_text())):
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            else:
                assert statement.level == 0, f"{path}: a relative import"
                origin = str(statement.module)
                within = [f"{origin}.{alias.name}" for alias in statement.names]
                names = [name if name in modules else origin for name in within]
            found[module] += [(name, typing_only) for name in names]
    return found


def test_the_reader_of_imports_sees_all_of_them() -> None:
    text = "import a\ndef f():\n    from b import c\nif TYPE_CHECKING:\n    import d\nelse:\n    import e\n"
    found = [(ast.unparse(node), typing_only) for node, typing_only in statements(ast.parse(text))]
    assert found[:3] == [("import a", False), ("from b import c", False), ("import d", True)]
    assert ("kpuir.target.k210", False) in imports()["kpuir.dialects.kpu.attributes"]


def test_packages_import_what_they_may() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, names in imports().items()
        for name, typing_only in names
        if (package := package_of(module)) != "tools"
        and not typing_only
        and name.startswith("kpuir")
        and package_of(name) not in MAY_KNOW[package] | {package}
    ]
    assert not wrong


def test_permissions_are_used_and_name_packages() -> None:
    used = {
        (package_of(module), package_of(name))
        for module, names in imports().items()
        for name, typing_only in names
        if not typing_only
    }
    assert not {(package, known) for package, names in MAY_KNOW.items() for known in names} - used


def test_packages_without_ir_know_none() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, names in imports().items()
        for name, _ in names
        if package_of(module) in ALONE
        and (name.startswith("xdsl") or (name.startswith("kpuir") and package_of(name) not in ALONE))
    ]
    assert not wrong


def test_nothing_knows_the_tools() -> None:
    for module, names in imports().items():
        assert package_of(module) == "tools" or not any(package_of(name) == "tools" for name, _ in names), module


def test_there_are_no_circles() -> None:
    modules = imports().keys()
    graph = {
        module: {name for name, typing_only in names if not typing_only and name in modules and name != "kpuir"}
        for module, names in imports().items()
        if module != "kpuir"
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_files_are_short() -> None:
    every = [
        path for part in ("src", "tests", "tools", "benchmarks", "examples") for path in (ROOT / part).rglob("*.py")
    ]
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in every}
    assert not {name: lines for name, lines in long.items() if lines > LONGEST}


def test_nothing_is_left_to_do() -> None:
    assert not [str(path) for path in files() if re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text())]


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_has_a_file_and_a_text_test(name: str) -> None:
    stem = name.replace("-", "_")
    assert PASSES[name][0] == f"kpuir.passes.{stem}"
    test = TEXT_TESTS / "passes" / f"{stem}.mlir"
    assert re.search(rf"^// RUN: .*\b{name}\b", test.read_text(), re.MULTILINE)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_operation_has_text_tests(dialect: str) -> None:
    texts = {path.stem: path.read_text() for path in (TEXT_TESTS / "dialects").glob(f"{dialect}*.mlir")}
    bad = "".join(text for stem, text in texts.items() if stem.endswith("_invalid"))
    good = "".join(text for stem, text in texts.items() if not stem.endswith("_invalid"))
    names = [operation.name for operation in KPUIR_UNIVERSE.all_dialects[dialect]().operations]
    assert names
    assert not [name for name in names if not re.search(rf"{re.escape(name)}\b", good)], "no round trip"
    assert not [name for name in names if not re.search(rf"{re.escape(name)}\b", bad)], "no invalid case"
