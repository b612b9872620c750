"""How far the outputs of a model are from those of its reference. Knows no IR."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kpuir.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Difference:
    """One output over all samples: cosine similarity of each sample (mean, minimum) and the largest absolute error."""

    name: str
    cosine_mean: float
    cosine_min: float
    max_abs_error: float


def cosine(a: "NDArray[Any]", b: "NDArray[Any]") -> float:
    """The cosine of the angle between two arrays of equal size: 1 where both are zero, 0 where only one is."""
    import numpy as np

    left, right = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    lengths = float(np.sqrt(left @ left) * np.sqrt(right @ right))
    if lengths == 0:
        return float(not left.any() and not right.any())
    return float(left @ right) / lengths


def difference(name: str, actual: "Sequence[NDArray[Any]]", expected: "Sequence[NDArray[Any]]") -> Difference:
    """Compare an output sample by sample; the arrays of a pair have equal sizes."""
    import numpy as np

    pairs = [
        (a.astype(np.float64).ravel(), e.astype(np.float64).ravel()) for a, e in zip(actual, expected, strict=True)
    ]
    cosines = [cosine(a, e) for a, e in pairs]
    largest = max(float(np.abs(a - e).max(initial=0)) for a, e in pairs)
    return Difference(name, sum(cosines) / len(cosines), min(cosines), largest)


def match_outputs(own: Mapping[str, int], reference: Mapping[str, int]) -> dict[str, str]:
    """Which of our outputs belongs to each of the reference's: by name, or else in order; sizes must agree.

    Both map output names to numbers of elements. Raises InvalidInputError where they do not fit each other.
    """
    if len(own) != len(reference):
        raise InvalidInputError(
            f"the model has {len(own)} outputs ({', '.join(own)}), the reference {len(reference)} "
            f"({', '.join(reference)})"
        )
    same_names = set(own) == set(reference)
    pairs = {name: name for name in reference} if same_names else _by_size(own, reference)
    for name, ours in pairs.items():
        if own[ours] != reference[name]:
            raise InvalidInputError(
                f"output '{ours}' has {own[ours]} values, the reference's '{name}' has {reference[name]}"
            )
    return pairs


def _by_size(own: Mapping[str, int], reference: Mapping[str, int]) -> dict[str, str]:
    """In order; or by their sizes, where these tell all outputs apart."""
    sizes = {size: name for name, size in own.items()}
    if len(sizes) == len(own) and set(sizes) == set(reference.values()):
        return {name: sizes[size] for name, size in reference.items()}
    return dict(zip(reference, own, strict=True))
