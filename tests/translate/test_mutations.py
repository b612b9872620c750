"""Damaged kmodels are refused or read; what is read is written again, and runs or is refused there."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

import kpuir
from tests.mutations import REFUSED, RUN, mutated, outcome
from tests.networks import Net


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = Net(image=(1, 2, 9, 8))
    x = net.op("Relu", net.conv("image", 2, 4))
    x = net.op(
        "Add", net.op("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1]), net.conv("image", 2, 4, 2, pads=[0] * 4)
    )
    x = net.dense(net.op("Flatten", net.op("GlobalAveragePool", x)), 4, 3)
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    onnx.save(net.model(net.op("Softmax", x, axis=1)), path)
    return path


@pytest.mark.parametrize("version", ["v3", "v4", "v5"])
def test_damaged_kmodels(network: Path, version: str) -> None:
    rng = np.random.default_rng(0)
    samples = [{"image": rng.normal(size=(1, 2, 9, 8)).astype(np.float32)}]
    data = kpuir.compile(network, kmodel=version, dataset=samples).kmodel_bytes
    assert outcome(data, execute=True) == RUN
    dice = random.Random(0)
    found = Counter(outcome(mutated(data, dice), execute=True) for _ in range(120))
    assert min(found[REFUSED], found[RUN]) > 5
