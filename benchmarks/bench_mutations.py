"""Damaged kmodels through the readers: how many are refused, and whether one of them does harm.

    PYTHONPATH=. python benchmarks/bench_mutations.py [--count N] [--execute] v3|v4|v5 [FILE ...]

N mutations, drawn from a seed, of kmodels of a version: those of small networks, the conformance vectors and shipped
models of shared/, and the FILEs. Each is described, read to IR, verified and written again; with --execute what can be
read is run on zeros as well. Printed are how many of them came to what, the slowest (seconds of processor time), the
peak of memory, and each exception that is not a KpuirError, with the number by which `--first` finds it again.
One allocation of more than 200 MiB is an error, and so is a second of processor time.
"""

import argparse
import faulthandler
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from kpuir.kmodel import kmodel_version
from tests.mutations import mutated, outcome

LARGE = 64 << 10
"""Files of so many bytes are drawn rarely: reading one takes long."""
MOST_BYTES = 200 << 20
SHOWN = 20


def compiled(version: str) -> list[bytes]:
    """kmodels of the tests' networks, made in a process of their own, whose memory does not count."""
    with ProcessPoolExecutor(1) as other:
        return other.submit(compile_all, version).result()


def compile_all(version: str) -> list[bytes]:
    import numpy as np
    import onnx

    import kpuir
    from kpuir.errors import KpuirError
    from tests.networks import FLOATS, QUANTIZED

    found: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        for build in (*QUANTIZED.values(), *FLOATS.values()):
            path = Path(folder) / "network.onnx"
            onnx.save(build(), path)
            rng = np.random.default_rng(0)
            sample = {port.name: rng.normal(size=port.shape).astype(np.float32) for port in kpuir.load(path).inputs}
            try:
                found.append(kpuir.compile(path, kmodel=version, dataset=[sample]).kmodel_bytes)
            except KpuirError:
                continue
    return found


def shared(folder: Path, version: str) -> list[bytes]:
    found = [path.read_bytes() for path in sorted(folder.glob("models/*.kmodel"))]
    for archive in sorted(folder.glob("vectors/*.zip")):
        with zipfile.ZipFile(archive) as names:
            found += [names.read(name) for name in sorted(names.namelist()) if name.endswith(".kmodel")]
    return [data for data in found if f"v{kmodel_version(data)}" == version]


def limit() -> None:
    """One more large allocation fails; Python's loops end after a second, others after a minute."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used = int(status["VmData"].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + MOST_BYTES, resource.RLIM_INFINITY))

    def stop(*_: Any) -> None:
        raise TimeoutError("takes more than a second")

    signal.signal(signal.SIGVTALRM, stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("KPUIR_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    parser.add_argument("version", nargs="?", choices=("v3", "v4", "v5"), default="v4")
    parser.add_argument("files", nargs="*", type=Path, help="more kmodels of the version")
    parser.add_argument("--count", type=int, default=2000, help="mutations")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--execute", action="store_true", help="run what can be read")
    parser.add_argument("--shared", type=Path, default=default, help="where models/ and vectors/ are")
    arguments = parser.parse_args()
    groups = [compiled(arguments.version), shared(arguments.shared, arguments.version)]
    groups = [group for group in (*groups, [path.read_bytes() for path in arguments.files]) if group]
    for data in chain(*groups):
        if len(data) < LARGE:
            outcome(data, execute=arguments.execute)  # imports and compiles what will be used
    limit()
    counts, slowest, failures = Counter[str](), (0.0, -1), 0
    for number in range(arguments.first, arguments.first + arguments.count):
        dice = random.Random(number)
        group = dice.choice(groups)
        [data] = dice.choices(group, [1 if len(data) < LARGE else 0.02 for data in group])
        damaged = mutated(data, dice)
        if number % 100 == 0:
            faulthandler.dump_traceback_later(60, exit=True)
        start = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, 1)
        try:
            counts[outcome(damaged, execute=arguments.execute)] += 1
        except Exception:
            failures += 1
            if failures <= SHOWN:
                print(f"number {number}: {traceback.format_exc(limit=-4)}", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        slowest = max(slowest, (time.process_time() - start, number))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    files = sum(map(len, groups))
    print(f"{arguments.version}: {arguments.count} mutations of {files} kmodels: {kinds}, {failures} failed")
    print(f"    slowest {slowest[0]:.2f} s (number {slowest[1]}), peak {peak:.0f} MiB")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
