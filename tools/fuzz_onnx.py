"""Import damaged ONNX models: each must become a module or one clear error, in time.

    python tools/fuzz_onnx.py [COUNT [FIRST SEED]]

The models are ONNX's own node tests, their parameters made constants; what is damaged are bytes, attributes, sizes,
names and types. Each batch runs in a process of its own, so that one that dies is noticed too.
"""

import multiprocessing
import random
import signal
import sys
import traceback
import warnings
from typing import Any

import numpy as np
import onnx

from kpuir.errors import KpuirError, UnsupportedError
from kpuir.importers.onnx import import_onnx
from kpuir.importers.onnx.ops import converters
from kpuir.onnx_backend import with_constants
from tests.importers.backend import SLOW, arrays, cases, in_scope

BATCH = 50
SECONDS = 20
NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 255, 65536, 2**31, 2**62)


def sources() -> list[onnx.ModelProto]:
    """The models to damage."""
    found: list[onnx.ModelProto] = []
    for _, case in sorted(cases(SLOW, functions=False).items()):
        if in_scope(case) and case.model.graph.input:
            inputs = arrays(case.data_sets[0][0])
            names = [value.name for value in case.model.graph.input]
            found.append(with_constants(case.model, dict(zip(names[1:], inputs[1:], strict=True))))
    return found


def damaged(model: onnx.ModelProto, rng: random.Random) -> bytes:
    """One model with one to three things changed."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _ in range(rng.randint(1, 3)):
        rng.choice(CHANGES)(changed, rng)
    data = bytearray(changed.SerializeToString())
    for _ in range(rng.choice((0, 0, 1, 3))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def change_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    """Another number, or another length, in an attribute."""
    attributes = [one for node in model.graph.node for one in node.attribute]
    if not attributes:
        return
    one = rng.choice(attributes)
    if one.ints:
        if rng.random() < 0.3:
            one.ints.append(rng.choice(NUMBERS))
        else:
            one.ints[rng.randrange(len(one.ints))] = rng.choice(NUMBERS)
    elif one.type == onnx.AttributeProto.INT:
        one.i = rng.choice(NUMBERS)
    elif one.type == onnx.AttributeProto.FLOAT:
        one.f = rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    elif one.type == onnx.AttributeProto.STRING:
        one.s = rng.choice((b"", b"linear", b"SAME_UPPER", b"\xff"))


def change_dimension(model: onnx.ModelProto, rng: random.Random) -> None:
    """Another size of the input."""
    value = rng.choice(list(model.graph.input))
    dims = value.type.tensor_type.shape.dim
    if dims and rng.random() < 0.7:
        rng.choice(list(dims)).dim_value = rng.choice((0, 1, 2, 3, 5, 17, 100_000))
    else:
        dims.add().dim_value = 2


def change_constant(model: onnx.ModelProto, rng: random.Random) -> None:
    """Another value or shape of a constant."""
    if not model.graph.initializer:
        return
    one = rng.choice(list(model.graph.initializer))
    array = onnx.numpy_helper.to_array(one).copy()
    if array.size and array.dtype.kind in "iuf" and rng.random() < 0.6:
        with np.errstate(all="ignore"):
            array.reshape(-1)[rng.randrange(array.size)] = np.array(rng.choice(NUMBERS)).astype(array.dtype)
    else:
        array = np.resize(array, [rng.choice((0, 1, 2, 4)) for _ in range(rng.randint(0, 4))])
    one.CopyFrom(onnx.numpy_helper.from_array(array, one.name))


def change_node(model: onnx.ModelProto, rng: random.Random) -> None:
    """Another op, an operand too few or the wrong one."""
    node = rng.choice(list(model.graph.node))
    what = rng.randrange(3)
    if what == 0:
        node.op_type = rng.choice(OPS)
    elif what == 1 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*node.input, *node.output, ""])


def change_types(model: onnx.ModelProto, rng: random.Random) -> None:
    """Another element type of the input, or another opset."""
    if rng.random() < 0.5:
        rng.choice(list(model.graph.input)).type.tensor_type.elem_type = rng.randint(0, 24)
    else:
        model.opset_import[0].version = rng.randint(7, 24)


OPS = sorted(converters())
CHANGES = (change_attribute, change_attribute, change_dimension, change_constant, change_node, change_types)


def check(data: bytes) -> str:
    """What becomes of a model; a text that starts with `BROKEN` for anything but a module or a clear error."""
    signal.alarm(SECONDS)
    try:
        import_onnx(data).verify()
    except KpuirError as error:
        lines = error.message.count("\n")
        return "refused" if not lines or isinstance(error, UnsupportedError) else f"BROKEN message: {error}"
    except BaseException:  # whatever it is, it is to be reported
        return f"BROKEN {traceback.format_exc()}"
    finally:
        signal.alarm(0)
    return "imported"


def run_batch(models: list[onnx.ModelProto], first: int, count: int, queue: Any) -> None:
    """Check the models of some seeds."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
    for seed in range(first, first + count):
        queue.put((seed, "DIED"))
        rng = random.Random(seed)
        queue.put((seed, check(damaged(rng.choice(models), rng))))


def main(count: int = 2500, first: int = 0) -> int:
    """Print what became of the models; the exit status says whether any is broken."""
    models = sources()
    outcomes: dict[int, str] = {}
    seed = first
    while seed < first + count:
        queue: Any = multiprocessing.SimpleQueue()
        batch = min(BATCH, first + count - seed)
        process = multiprocessing.Process(target=run_batch, args=(models, seed, batch, queue))
        process.start()
        while process.is_alive() or not queue.empty():
            if not queue.empty():
                one, outcome = queue.get()
                outcomes[one] = outcome
            else:
                process.join(0.01)
        seed = max(outcomes) + 1
    broken = {one: text for one, text in outcomes.items() if text not in ("imported", "refused")}
    for one, text in broken.items():
        print(f"seed {one}: {text}")
    counts = {kind: list(outcomes.values()).count(kind) for kind in ("imported", "refused")}
    print(f"{len(outcomes)} models: {counts['imported']} imported, {counts['refused']} refused, {len(broken)} broken")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
