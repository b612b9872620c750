"""What a tensor function of kmodel v5 is made of; its text tests are in tests/filecheck."""

from typing import Any

from kpuir.dialects import kbuf
from kpuir.target.stackvm import DataType
from tests.dialects.test_kbuf import floats, module_of

PAD: dict[str, Any] = {
    "dt": DataType.FLOAT32,
    "sh": (1, 2),
    "st": (2, 1),
    "std": (4, 1),
    "pads": ((0, 0, 0), (1, 1, 0)),
    "mode": 0,
}


def test_the_values_of_a_tensor_function() -> None:
    x, y = floats(2), floats(4)
    op = kbuf.V5TensorOp([x, y], function="pad", fields=PAD, numbers={"value": 0.5})
    module_of(x, y, op).verify()
    assert op.values() == {"function": "pad", "fields": PAD, "numbers": {"value": 0.5}}
    assert [name for name, _ in op.buffers()] == ["in", "out"]
    assert (op.sources, op.destinations) == ((x.result,), (y.result,))
