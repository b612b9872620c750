"""Strided depthwise layers that exceed KPU RAM, some channels at a time."""

import pytest

from tests.passes.onnx_nets import Net, check, names
from tests.zoo.measure import measure
from tests.zoo.models import yolo_mobilenet


@pytest.mark.parametrize(
    ("channels", "size", "parts"), [(14, (256, 320), 4), (13, (256, 320), 2), (48, (120, 160), 2), (12, (256, 352), 3)]
)
def test_parts_compute_what_the_whole_does(channels: int, size: tuple[int, int], parts: int) -> None:
    net = Net()
    weight, bias = net.random(channels, 1, 3, 3), net.random(channels)
    x = net.op("Conv", net.input(1, channels, *size), weight, bias, pads=[1] * 4, strides=[2, 2], group=channels)
    module = check(net.model(net.op("Relu", x)), "kpu-legalize-strides", "kpu-split-depthwise")
    assert names(module).count("depthwise") == parts
    assert names(module).count("move") == parts
    assert names(module)[-1] == "concat"


def test_a_network_that_would_not_fit_otherwise() -> None:
    """48 channels of 120x160, in rows of three lines, take more than half of KPU RAM."""
    found = measure(yolo_mobilenet(channels=0.75), calibration=4, tests=2)
    assert found.problems == found.left == []
    assert found.mean > 0.9
