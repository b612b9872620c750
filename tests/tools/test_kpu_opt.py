"""kpu-opt: what it adds to xdsl-opt. Its output and messages as text are in tests/filecheck/tools."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from xdsl.context import Context
from xdsl.dialects.arith import AddiOp
from xdsl.dialects.builtin import ModuleOp, i32
from xdsl.ir import Attribute, Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from kpuir import pipelines
from kpuir.ir.locations import named
from kpuir.ir.rewriting import rewrite
from kpuir.tools import kpu_opt
from tests.tools.conftest import Invoke

ADD = '%0 = "test.op"() : () -> i32\n%1 = arith.addi %0, %0 : i32\n"test.op"(%1) : (i32) -> () loc("conv1")\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.mlir"
    path.write_text(ADD)
    return path


class Breaks(ModulePass):
    """A pass with a defect."""

    name = "breaks"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        raise IndexError("list index out of range")


class BreaksInPattern(ModulePass):
    """A pass whose pattern has a defect: xDSL notes the whole module on the exception."""

    name = "breaks-in-pattern"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        class Pattern(RewritePattern):
            def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
                raise KeyError("width")

        rewrite(op, Pattern())


class Spoils(ModulePass):
    """A pass that leaves a module that does not verify."""

    name = "spoils"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        incomplete = AddiOp.create(result_types=[i32])
        incomplete.location = named("conv7")
        op.body.block.add_op(incomplete)


@pytest.fixture
def broken_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    known = pipelines.available_passes()
    extended = {
        **known,
        "breaks": lambda: Breaks,
        "spoils": lambda: Spoils,
        BreaksInPattern.name: lambda: BreaksInPattern,
    }
    monkeypatch.setattr(kpu_opt, "available_passes", lambda: extended)


def test_output_appears_whole_or_not_at_all(invoke: Invoke, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mlir"
    assert invoke("kpu-opt", source, "-o", out).status == 0
    text = out.read_text()
    assert "arith.addi" in text
    source.write_text("nonsense")
    assert invoke("kpu-opt", source, "-o", out).status == 1
    assert out.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mlir", "source.mlir"]


def test_unwritable_output(invoke: Invoke, source: Path) -> None:
    ran = invoke("kpu-opt", source, "-o", "absent/out.mlir")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: absent/out.mlir: cannot write: there is no directory 'absent'\nhint: ")


def test_dumps_are_elided_and_numbered(invoke: Invoke, tmp_path: Path) -> None:
    source = tmp_path / "big.mlir"
    constant = f'arith.constant dense<"0x{bytes(range(64)).hex()}"> : tensor<64xi8>'
    source.write_text(f'%0 = {constant}\n"test.op"(%0) : (tensor<64xi8>) -> ()')
    ran = invoke("kpu-opt", source, "-p", "canonicalize,cse", "--dump-ir", "dumps", "--timing")
    assert ran.status == 0
    names = ["00-input.mlir", "01-canonicalize.mlir", "02-cse.mlir"]
    assert sorted(path.name for path in Path("dumps").iterdir()) == names
    for name in names:
        text = Path("dumps", name).read_text()
        assert "dense_resource<__elided_" in text
        assert "0x0001" not in text
    assert [line.split()[-1] for line in ran.err.splitlines()] == ["pass", "canonicalize", "cse", "total"]


def test_pipelines_by_name_in_parts(invoke: Invoke, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"tidy": ("canonicalize", "cse", "dce"), "twice": ("tidy", "canonicalize{}", "tidy")}
    monkeypatch.setattr(kpu_opt, "named_pipelines", lambda: table)

    def names(pipeline: str) -> list[str]:
        ran = invoke("kpu-opt", source, "-p", pipeline, "--print-ir-after")
        assert ran.status == 0, ran.err
        return [line.split()[4] for line in ran.err.splitlines() if line.startswith("// -----// IR after")]

    assert names("tidy") == ["canonicalize", "cse", "dce"]
    assert names("dce,tidy{until=cse}") == ["dce", "canonicalize", "cse"]
    assert names("tidy{from=cse}") == ["cse", "dce"]
    assert names("twice{from=cse until=canonicalize}") == ["cse", "dce", "canonicalize", "canonicalize"]
    listed = invoke("kpu-opt", "--list-pipelines").out
    assert "tidy\n    canonicalize,\n    cse,\n    dce\n" in listed
    assert "no pass 'licm'" in invoke("kpu-opt", source, "-p", "tidy{until=licm}").err
    assert "has no pass with an option 'depth'" in invoke("kpu-opt", source, "-p", "tidy{depth=3}").err


def test_options_of_a_pipeline_go_to_its_passes() -> None:
    pipeline = {"all": ("canonicalize", "kpu-quantize", "kpu-calibrate{samples=3}")}
    passes = pipelines.parse_passes('all{dataset="a b.npy" samples=7}', lambda: pipeline)
    assert [one.name for one in passes] == ["canonicalize", "kpu-quantize", "kpu-calibrate"]
    calibrate: Any = passes[2]
    assert (calibrate.dataset, calibrate.samples) == ("a b.npy", 3)


def test_print_after_one_pass(invoke: Invoke, source: Path) -> None:
    ran = invoke("kpu-opt", source, "-p", "canonicalize,cse", "--print-ir-after=cse")
    assert ran.err.count("IR after") == 1
    ran = invoke("kpu-opt", source, "-p", "canonicalize", "--print-ir-after=cse")
    assert (ran.status, ran.out) == (2, "")
    assert "the pipeline has no such pass" in ran.err


def test_a_spoiled_module_names_pass_and_layer(invoke: Invoke, source: Path, broken_passes: None) -> None:
    ran = invoke("kpu-opt", source, "-p", "canonicalize,spoils")
    assert ran.status == 1
    assert ran.err == "error: conv7: Operation does not verify: Expected 2 operands, but got 0 (after spoils)\n"


def test_an_internal_error_leaves_a_reproducer(
    invoke: Invoke, source: Path, broken_passes: None, tmp_path: Path
) -> None:
    ran = invoke("kpu-opt", source, "-p", "cse,breaks")
    assert ran.status == 70
    assert ran.err.startswith("error: breaks: internal error: IndexError: list index out of range\nhint: ")
    (reproducer,) = tmp_path.glob("kpuir-reproducer-*.mlir")
    assert reproducer.name in ran.err
    text = reproducer.read_text()
    assert text.startswith("// RUN: kpu-opt %s -p 'breaks'\n")
    assert 'loc("conv1")' in text
    assert "// IndexError: list index out of range" in text
    again = invoke("kpu-opt", reproducer, "-p", "breaks")
    assert (again.status, again.err.splitlines()[0]) == (70, ran.err.splitlines()[0])


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_weights_are_never_printed(invoke: Invoke, tmp_path: Path, broken_passes: None, debug: list[str]) -> None:
    source = tmp_path / "big.mlir"
    source.write_text(f'"test.op"() {{value = dense<"0x{bytes(range(200)).hex()}"> : tensor<200xi8>}} : () -> ()')
    ran = invoke("kpu-opt", source, "-p", BreaksInPattern.name, *debug)
    assert ran.status == 70
    assert "KeyError: 'width'" in ran.err
    assert "0x0001" not in ran.err
    (reproducer,) = tmp_path.glob("kpuir-reproducer-*.mlir")
    assert reproducer.read_text().count("0x0001") == 1


def test_debug_shows_the_traceback(invoke: Invoke, broken_passes: None, source: Path) -> None:
    assert "Traceback" in invoke("kpu-opt", source, "-p", "breaks", "--debug").err
    assert "Traceback" in invoke("kpu-opt", "absent.mlir", "--debug").err


def test_disabled_verification_ends_with_the_run(invoke: Invoke, source: Path) -> None:
    before = Attribute.__post_init__
    invoke("kpu-opt", source, "--disable-verify")
    assert Attribute.__post_init__ is before


def test_models_are_read(invoke: Invoke, digits: Path) -> None:
    ran = invoke("kpu-opt", digits / "digits.onnx", "-p", "canonicalize", "--print-debuginfo")
    assert ran.status == 0
    assert "ktensor.conv2d" in ran.out
    assert 'loc("conv3")' in ran.out


@pytest.mark.parametrize("suffix", ["onnx", "tflite", "kmodel"])
def test_files_that_are_no_models(invoke: Invoke, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    for content in (b"", b"\x00\x01\x02\x03 something else entirely"):
        path.write_bytes(content)
        ran = invoke("kpu-opt", path)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith("error: ")
        assert "Traceback" not in ran.err


def test_unknown_kind_of_file(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(ADD)
    ran = invoke("kpu-opt", "x.txt")
    assert ran.status == 1
    assert "kpu-opt reads .mlir, .onnx, .tflite, .kmodel" in ran.err
    assert invoke("kpu-opt", "x.txt", "-f", "mlir").status == 0


def test_messages_have_no_endless_lines(invoke: Invoke, tmp_path: Path) -> None:
    source = tmp_path / "long.mlir"
    source.write_text(f'%0 = arith.constant dense<"0x{"00" * 5000}"> : tensor<4xi8>\n')
    ran = invoke("kpu-opt", source)
    assert ran.status == 1
    assert max(map(len, ran.err.splitlines())) < 500


def test_tools_start_without_heavy_libraries() -> None:
    """What `--help` and a wrong command line cost is imports: none of the heavy ones."""
    heavy = ("numpy", "numba", "onnx", "tflite", "PIL", "rich", "kpuir.importers", "kpuir.dialects.kpu")
    program = (
        "import sys, json\n"
        "from kpuir.tools import kpu_compile, kpu_opt, kpu_run, kpu_translate\n"
        "for tool in (kpu_compile, kpu_opt, kpu_run, kpu_translate):\n"
        "    assert tool.main(['--help']) == 0\n"
        "    assert tool.main(['--no-such-option']) == 2\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_coverage_of_models_and_kmodels(invoke: Invoke, digits: Path) -> None:
    model = digits / "digits.onnx"
    ran = invoke("kpu-opt", model, "-p", "kpu-coverage")
    assert (ran.status, ran.err) == (0, "")
    head, *rows = ran.out.splitlines()
    assert head.split() == ["layer", "op", "where", "ms", "detour", "why"]
    layers = sum(row.split()[1:3] == ["kpu_conv2d", "KPU"] for row in rows)
    assert layers >= 5
    (softmax,) = [row for row in rows if row.split()[1:2] == ["softmax"]]
    assert softmax.split()[2] == "CPU"
    assert "the KPU has no division by a sum" in softmax
    compiled = invoke("kpu-compile", model, "--dataset", digits / "calibration", "--samples", "3")
    assert compiled.status == 0
    again = invoke("kpu-opt", "digits.kmodel", "-p", "kpu-coverage").out.splitlines()
    assert again[-2] == ran.out.splitlines()[-2]  # the totals
    assert sum(row.split()[2:4] == ["kpu_conv2d", "KPU"] for row in again) == layers


def test_coverage_in_other_forms(invoke: Invoke, digits: Path) -> None:
    model = digits / "digits.onnx"
    ran = invoke("kpu-opt", model, "-p", "kpu-coverage", "-t", "kpu-coverage{format=json}")
    table = json.loads(ran.out)
    assert table["totals"]["kpu_layers"] == sum(one["where"] == "KPU" for one in table["layers"]) >= 5
    assert {"layer", "op", "where", "reason", "hint", "estimated_ms", "detour_ms"} == set(table["layers"][0])
    page = invoke("kpu-opt", model, "-p", "kpu-coverage", "-t", "kpu-coverage{format=html}").out
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<tr") == len(table["layers"]) + 1
    assert invoke("kpu-opt", model, "-p", "kpu-coverage", "-o", "table.txt").status == 0
    assert Path("table.txt").read_text().startswith("layer ")
    ran = invoke("kpu-opt", model, "-t", "kpu-coverage{format=picture}")
    assert (ran.status, "picture" in ran.err) == (2, True)


def test_coverage_on_a_terminal(invoke: Invoke, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    ran = invoke("kpu-opt", digits / "digits.onnx", "-p", "kpu-coverage", "-t", "kpu-coverage{format=terminal}")
    lines = ran.out.splitlines()
    assert max(map(len, lines[:-1])) <= 100
    assert "softmax" in ran.out
