"""The networks people run on the chip at the sizes they run, with weights drawn from a seed.

    PYTHONPATH=. python benchmarks/bench_zoo.py [NAME ...]

For each: layers on the KPU, instructions left for the CPU (without the conversion of outputs), uploads and downloads,
the estimated milliseconds at 400 MHz, the peaks of both RAMs and the kmodel (KiB), the cosine of the kmodel's output
with ONNX Runtime's over 16 samples (mean, lowest, and for comparison that of outputs of one sample and the next), and
the seconds of compiling. Below are convolutions and matrix products on the CPU and what the checks found, if anything.
A NAME chooses the networks whose names contain it.
"""

import argparse

from kpuir.errors import KpuirError
from tests.zoo.measure import Measured, measure
from tests.zoo.models import FULL

HEAD = ["network", "KPU", "up", "down", "ms", "KPU_RAM", "main_RAM", "kmodel", "cosine", "lowest", "others", "s", "CPU"]
ROW = "{:36}{:>5}{:>4}{:>5}{:>8}{:>9}{:>9}{:>7}{:>9}{:>8}{:>8}{:>6}  {}"


def row(name: str, found: Measured) -> str:
    report = found.compiled.report
    cpu = ", ".join(f"{count} {op}" for op, count in report.cpu_ops.items() if op != "dequantize")
    cosines = (f"{value:.4f}" for value in (found.mean, min(found.cosines)))
    sizes = (size // 1024 for size in (report.kpu_ram_peak, report.main_ram_peak, report.kmodel_bytes))
    numbers = (report.kpu_layers, report.uploads, report.downloads, f"{report.estimated_ms:.2f}", *sizes, *cosines)
    return ROW.format(name, *numbers, f"{found.between:.2f}", f"{found.seconds:.1f}", cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of the names of networks")
    chosen = parser.parse_args().names
    print(ROW.format(*HEAD))
    for name, (build, arguments) in FULL.items():
        if chosen and not any(part in name for part in chosen):
            continue
        try:
            found = measure(build(**arguments))
        except KpuirError as error:
            print(f"{name:36}{type(error).__name__}: {error}", flush=True)
            continue
        print(row(name, found), *(f"    {line}" for line in (*found.left, *found.problems)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
