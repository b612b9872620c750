"""How layers are chosen for float, on compilations that are made up."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kpuir.analysis.layer_errors import LayerError
from kpuir.errors import CheckFailedError, DoesNotFitError
from kpuir.mixed_precision import Compiled, reach
from kpuir.runtime import LoadedModel

WORTH = {"a": 0.001, "b": 0.02, "c": 0.0, "d": 0.01}
NOISE = {"a": 30.0, "b": 20.0, "c": 10.0, "d": 25.0}


@dataclass(frozen=True)
class Made:
    """A compilation with some layers in float, each of which is worth something."""

    names: tuple[str, ...]

    @property
    def candidates(self) -> tuple[str, ...]:
        return () if set(self.names) == set(WORTH) else tuple(name for name in WORTH if name not in self.names)

    @property
    def layers(self) -> tuple[LayerError, ...]:
        return tuple(LayerError(i, f"{n}+{n}.relu", "conv2d", (), own_snr=s) for i, (n, s) in enumerate(NOISE.items()))

    @property
    def estimated_ms(self) -> float:
        return 1.0 + 2 * len(self.names)

    def loaded(self) -> LoadedModel:
        raise NotImplementedError


def measure(compiled: Compiled) -> float:
    assert isinstance(compiled, Made)
    return 0.95 + sum(WORTH[name] for name in compiled.names)


def recording(tried: list[tuple[str, ...]], refused: str = "") -> Callable[[tuple[str, ...]], Made]:
    def compile_with(names: tuple[str, ...]) -> Made:
        tried.append(names)
        if refused in names:
            raise DoesNotFitError("too large")
        return Made(names)

    return compile_with


def test_nothing_where_it_is_good_enough() -> None:
    tried: list[tuple[str, ...]] = []
    assert reach(0.95, recording(tried), measure).kept == ()
    assert tried == [()]


def test_noisy_layers_first_and_useless_ones_given_back() -> None:
    tried: list[tuple[str, ...]] = []
    found = reach(0.975, recording(tried), measure)
    assert tried[2:5] == [("c",), ("c", "b"), ("c", "b", "d")]
    assert [one.layer for one in found.kept] == ["b", "d"]
    assert found.without == 0.95
    assert found.reached == pytest.approx(0.98)
    assert [one.gain for one in found.kept] == pytest.approx([0.02, 0.01])
    assert {one.cost_ms for one in found.kept} == {2.0}


def test_what_does_not_fit_is_passed_over() -> None:
    found = reach(0.96, recording([], refused="b"), measure)
    assert [one.layer for one in found.kept] == ["d"]


def test_out_of_reach() -> None:
    tried: list[tuple[str, ...]] = []
    with pytest.raises(CheckFailedError, match=r"0\.99 is not reached: it is 0\.950000 .* 0\.981000 with 4") as caught:
        reach(0.99, recording(tried), measure)
    assert caught.value.exit_status == 4
    assert len(tried) == 2
    with pytest.raises(CheckFailedError, match="with 3 of them in float"):
        reach(0.99, recording([], refused="b"), measure)
