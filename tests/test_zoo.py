"""The networks people run on the chip, small: all of their layers on the KPU, their outputs those of the float model.

`benchmarks/bench_zoo.py` measures them at the sizes people run.
"""

import pytest

from tests.zoo.measure import measure
from tests.zoo.models import SMALL


@pytest.mark.parametrize("name", SMALL)
def test_network(name: str) -> None:
    build, arguments = SMALL[name]
    found = measure(build(**arguments))
    assert found.problems == []
    assert found.left == []
    assert found.mean >= 0.98
    assert found.between < 0.98
