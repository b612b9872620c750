"""Memory maps and summaries of hand-made analyses."""

import re
import xml.etree.ElementTree as ET

import pytest

from kpuir.analysis.coverage import Place, Placement
from kpuir.analysis.memory import BufferUse, MemoryUse
from kpuir.dialects.kbuf import Space
from kpuir.reports.memory_map import json_map, svg_map, text_map
from kpuir.reports.summary import summary_lines

USE = MemoryUse(
    (
        BufferUse("conv2", Space.KPU, 0, 131_072, 1, 3),
        BufferUse("conv1 <a&b>", Space.KPU, 131_072, 1_048_576, 0, 1),
        BufferUse("scores", Space.MAIN, 64, 40, 3, 3),
        BufferUse("nothing", Space.MAIN, 0, 0, 0, 0),
    ),
    steps=4,
    constant_bytes=72,
)
SVG = "{http://www.w3.org/2000/svg}"


def test_text_map() -> None:
    assert text_map(USE).splitlines() == [
        "KPU RAM: 1179648 of 2097152 bytes (56.2 %)",
        "  offset     size  steps  buffer",
        "       0   131072    1-3  conv2",
        "  131072  1048576    0-1  conv1 <a&b>",
        "",
        "main RAM: 104 of 6291456 bytes (0.0 %)",
        "  offset  size  steps  buffer",
        "      64    40    3-3  scores",
    ]


def test_json_map() -> None:
    found = json_map(USE)
    assert (found["instructions"], found["constants_bytes"]) == (4, 72)
    assert {ram: (found[ram]["peak"], found[ram]["capacity"]) for ram in ("kpu", "main")} == {
        "kpu": (1_179_648, 2_097_152),
        "main": (104, 6_291_456),
    }
    assert found["main"]["buffers"] == [{"name": "scores", "offset": 64, "size": 40, "first": 3, "last": 3}]


def test_nothing_in_use() -> None:
    empty = MemoryUse((), 0, 0)
    assert text_map(empty) == ""
    assert ET.fromstring(svg_map(empty, Space.MAIN)).tag == f"{SVG}svg"


def test_svg_draws_buffers_to_scale() -> None:
    root = ET.fromstring(svg_map(USE, Space.KPU))
    rectangles = [r for r in root.findall(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert [r.findtext(f"{SVG}title") for r in rectangles] == [
        "conv2: 131072 bytes at 0, steps 1 to 3",
        "conv1 <a&b>: 1048576 bytes at 131072, steps 0 to 1",
    ]
    low, high = ({name: float(r.attrib[name]) for name in ("x", "y", "width", "height")} for r in rectangles)
    assert high["height"] == pytest.approx(8 * low["height"], rel=0.01)
    assert high["y"] + high["height"] == pytest.approx(low["y"], abs=0.11)  # one above the other
    assert low["width"] == pytest.approx(1.5 * high["width"], rel=0.01)
    assert low["x"] == pytest.approx(high["x"] + high["width"] / 2, abs=0.11)
    assert [r.attrib["stroke-width"] for r in rectangles] == ["0.5", "2"]
    (peak,) = [line for line in root.findall(f"{SVG}line") if line.attrib["stroke"] == "#06c"]
    assert float(peak.attrib["y1"]) == pytest.approx(high["y"], abs=0.11)
    (capacity,) = [line for line in root.findall(f"{SVG}line") if "stroke-dasharray" in line.attrib]
    floor = low["y"] + low["height"]
    assert floor - float(capacity.attrib["y1"]) == pytest.approx(16 * low["height"], rel=0.01)


def test_svg_of_a_nearly_empty_ram_says_that_its_capacity_is_not_to_scale() -> None:
    picture = svg_map(USE, Space.MAIN)
    assert "capacity 6291456, not to scale" in picture
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" fill="hsl', picture)]
    assert heights[0] > 50


def test_summary() -> None:
    conv = [Placement(f"conv{i}", "kbuf.kpu_conv2d", Place.KPU, milliseconds=0.5) for i in range(7)]
    cpu = [
        Placement("prob", "ktensor.softmax", Place.CPU, milliseconds=0.25),
        *[Placement(f"add{i}", "ktensor.binary", Place.CPU, "the KPU adds nothing") for i in range(5)],
    ]
    upload = [Placement("x", "kpu.upload", Place.TRANSFER, milliseconds=2.0)]
    assert summary_lines([*conv, *cpu, *upload], USE, 1234) == [
        "7 layers on the KPU, 6 operations on the CPU",
        "  softmax (prob)",
        "  binary x5 (add0, add1, add2, add3 and 1 more): the KPU adds nothing",
        "KPU RAM: 1179648 of 2097152 bytes (56.2 %)",
        "main RAM: 104 of 6291456 bytes (0.0 %)",
        "constants: 72 bytes",
        "kmodel: 1234 bytes",
        "estimated time: 5.8 ms at 400 MHz (3.5 on the KPU, 0.2 on the CPU, 2.0 in transfers)",
    ]
    short = summary_lines(conv[:1], USE, 1)
    assert short[0] == "1 layer on the KPU, 0 operations on the CPU"
    assert short[-2] == "kmodel: 1 bytes"
