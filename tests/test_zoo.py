"""The networks people run on the chip, small: all of their layers on the KPU, their outputs those of the float model.

`benchmarks/bench_zoo.py` measures them at the sizes people run.
"""

import onnx
import pytest

import kpuir
from kpuir.errors import DoesNotFitError
from kpuir.importers.onnx import import_onnx
from tests.zoo.builder import smooth
from tests.zoo.measure import measure
from tests.zoo.models import SMALL, yolo_mobilenet


@pytest.mark.parametrize("name", SMALL)
def test_network(name: str) -> None:
    build, arguments = SMALL[name]
    found = measure(build(**arguments))
    assert found.problems == []
    assert found.left == []
    assert found.mean >= 0.98
    assert found.between < 0.98


def compiled(model: onnx.ModelProto) -> kpuir.CompiledModel:
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    return kpuir.compile(import_onnx(model.SerializeToString()), dataset=[{"image": smooth(shape, 0)}])


def test_a_network_that_is_too_large_names_the_layer_and_both_sizes() -> None:
    """32 and 64 channels of 120x160, in rows of three lines."""
    with pytest.raises(DoesNotFitError) as error:
        compiled(yolo_mobilenet(channels=1.0))
    assert error.value.location == "conv4+clip5"
    assert str((32 + 64) * 120 * 3 * 64) in error.value.message
    assert "2097152" in error.value.message
