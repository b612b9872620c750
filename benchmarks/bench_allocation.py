"""How well and how fast buffers are placed: hard problems by others, and networks as they lie in the KPU's RAM.

    python benchmarks/bench_allocation.py [FOLDER]

FOLDER holds the .csv files of MiniMalloc's challenging instances (github.com/google/minimalloc, in its folder
benchmarks/challenging), named NAME.CAPACITY.csv; without it only the networks are placed: 13 families in 16 resolutions
and some widths. For each the peak is compared with what is alive at once. Times are seconds of one core; compiling the
search, once for each installation, is measured apart.
"""

import argparse
import csv
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from kpuir.memory import Buffer, allocate, check, lower_bound
from kpuir.memory.exact import Searcher
from tests.memory.networks import sweep

KPU_RAM = 2 * 1024 * 1024
NODES = 20_000_000


def read(path: Path) -> list[Buffer]:
    """The buffers of an instance; its upper ends are excluded."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [Buffer(row["id"], int(row["size"]), int(row["lower"]), int(row["upper"]) - 1) for row in rows]


def seconds_of_compiling() -> float:
    """How long it takes until the search runs."""
    began = time.process_time()
    Searcher([Buffer("b", 8, 0, 0)], {"b": []}).search(8, 1)
    return time.process_time() - began


def bench_instances(folder: Path) -> int:
    """Place every instance below its capacity; return how many were not."""
    missed, total = 0, 0.0
    for path in sorted(folder.glob("*.csv")):
        buffers, capacity = read(path), int(path.name.split(".")[1])
        began = time.process_time()
        allocation = allocate(buffers, capacity, NODES)
        seconds = time.process_time() - began
        check(buffers, allocation)
        total += seconds
        missed += allocation.peak > capacity
        print(
            f"{path.name.split('.')[0]}  {len(buffers):3} buffers  peak / capacity {allocation.peak / capacity:.3f}"
            f"  {allocation.nodes:8} nodes  {seconds:6.2f} s",
            flush=True,
        )
    print(f"total {total:.2f} s, {missed} above the capacity")
    return missed


def bench_networks() -> int:
    """Place every network that could fit; return how many are above the lower bound."""
    times: list[float] = []
    above: list[str] = []
    for name, buffers in sweep():
        if lower_bound(buffers) > KPU_RAM:
            continue
        began = time.process_time()
        allocation = allocate(buffers, KPU_RAM)
        times.append(time.process_time() - began)
        check(buffers, allocation)
        if allocation.peak > lower_bound(buffers):
            above.append(f"{name}: {allocation.peak} above {lower_bound(buffers)}")
    print(f"{len(times)} networks, median {1000 * statistics.median(times):.2f} ms, worst {1000 * max(times):.1f} ms")
    print(f"{len(above)} above the lower bound", *above, sep="\n  ")
    return len(above)


def main() -> int:
    """Exit status 1 where something could be better."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="MiniMalloc's instances")
    folder = parser.parse_args().folder
    print(f"compiling: {seconds_of_compiling():.2f} s")
    return int(bool(bench_networks() + (bench_instances(folder) if folder is not None else 0)))


if __name__ == "__main__":
    sys.exit(main())
