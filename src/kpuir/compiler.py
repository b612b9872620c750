"""Compiling a model end to end: the Python API."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from kpuir.errors import DoesNotFitError, UsageError
from kpuir.named_pipelines import PIPELINES
from kpuir.target.runtimes import RUNTIMES
from kpuir.versions import check_inputs, release_for, version_for

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.passes import ModulePass

    from kpuir.analysis.coverage import Placement
    from kpuir.analysis.layer_errors import LayerError
    from kpuir.mixed_precision import MixedPrecision
    from kpuir.passes.dataset_pass import DatasetPass
    from kpuir.quantization.calibration_record import CalibrationRecord
    from kpuir.runtime import LoadedModel, Port
    from kpuir.target.firmware import Demands

Dataset: TypeAlias = "str | Path | Sequence[Mapping[str, NDArray[Any]]] | None"

CALIBRATIONS = ("auto", "minmax", "mse", "kl", "percentile")
EFFORTS = ("normal", "high")
INPUT_TYPES = ("uint8", "float32")
LAYOUTS = ("model", "NCHW", "NHWC")


@dataclass(frozen=True)
class Report:
    """The figures of a compilation; bytes and milliseconds (estimated, at 400 MHz), seconds for the stages."""

    kmodel_bytes: int
    version: str
    kpu_layers: int
    cpu_ops: dict[str, int]
    uploads: int
    downloads: int
    kpu_ram_peak: int
    main_ram_peak: int
    constants_bytes: int
    estimated_ms: float
    estimated_ms_by_place: dict[str, float]
    """`kpu`, `cpu` and `transfer`, which add up to `estimated_ms`."""
    stages: dict[str, float]


@dataclass(frozen=True)
class CompiledModel:
    """A kmodel, the IR it was written from, what its users need to know of it, and figures."""

    kmodel_bytes: bytes
    sidecar: dict[str, Any]
    module: "ModuleOp"
    report: Report
    layers: "tuple[LayerError, ...]" = ()
    """How far each layer is from its float values on a few samples of the dataset; empty without one."""
    candidates: tuple[str, ...] = ()
    """The convolutions and matrix products that `float_layers` could keep on the CPU."""
    mixed: "MixedPrecision | None" = None
    """What `min_cosine` took."""

    def save(self, path: "str | Path", also: "Mapping[Path, bytes] | None" = None) -> None:
        """Write `path` and, beside it, the .json that describes it; with `also`, all of these files or none.

        Raises UsageError where that is not possible.
        """
        import json

        where = Path(path)
        description = json.dumps(self.sidecar, indent=1).encode()
        write_atomically({where: self.kmodel_bytes, where.with_suffix(".json"): description, **(also or {})})

    def run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        """Run one sample, given and returned as the model's own arrays, in the byte-exact interpreter."""
        return self.loaded().run(inputs)

    @property
    def estimated_ms(self) -> float:
        """The estimated time of one inference."""
        return self.report.estimated_ms

    @property
    def coverage(self) -> "list[Placement]":
        """Where each instruction runs, why not on the KPU, and what that costs."""
        from kpuir.analysis.coverage import placement

        return placement(self.module)

    @property
    def demands(self) -> "Demands":
        """What it asks of a firmware (`kpuir.target.firmware`)."""
        from kpuir.analysis.demands import demands

        return demands(self.module, len(self.kmodel_bytes))

    def loaded(self, *, check: bool = False) -> "LoadedModel":
        """The model ready to run many samples."""
        from kpuir.runtime import from_module

        return from_module(self.module, sidecar=self.sidecar, check=check)


def write_atomically(files: "Mapping[Path, bytes]") -> None:
    """Write files under temporary names, then rename all of them. Raises UsageError where that is not possible."""
    import errno
    import os
    import tempfile

    made: list[tuple[str, Path]] = []
    where = next(iter(files), Path())
    try:
        for where, data in files.items():
            if where.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            handle, name = tempfile.mkstemp(dir=where.parent, prefix=f".{where.name}.")
            made.append((name, where))
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
        for name, where in made:
            os.replace(name, where)
    except OSError as error:
        for name, _ in made:
            with suppress(OSError):
                os.unlink(name)
        raise UsageError(f"cannot write: {error.strerror}", location=str(where)) from None


def compile(  # the name users expect: kpuir.compile
    model: "str | Path | ModuleOp",
    *,
    dataset: "Dataset" = None,
    kmodel: str | None = None,
    firmware: str | None = None,
    runtime: str | None = None,
    weights_bits: Literal[8, 16] = 8,
    samples: int | None = None,
    calibration: str = "auto",
    calibration_effort: Literal["normal", "high"] = "normal",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_type: Literal["uint8", "float32"] | None = None,
    input_layout: Literal["model", "NCHW", "NHWC"] | None = None,
    output_layout: Literal["model", "NCHW", "NHWC"] | None = None,
    passes: str | None = None,
    require_kpu: bool = False,
    float_layers: Sequence[str] = (),
    min_cosine: float | None = None,
    allocation_seconds: float | None = None,
    suggest_input_size: bool = False,
    dump_ir: "str | Path | None" = None,
    load_ranges: "str | Path | Sequence[str | Path]" = (),
    save_ranges: "str | Path | None" = None,
    input_shapes: "Mapping[str, Sequence[int]] | None" = None,
    outputs: Sequence[str] = (),
    progress: "Callable[[str, int, int], None] | None" = None,
) -> CompiledModel:
    """Compile an .onnx or .tflite file (or a `ktensor` module) to a kmodel.

    `kmodel` is one of `kpuir.versions.VERSIONS`, `firmware` one of `kpuir.target.firmware`: it chooses the version if
    none is given, and its rules are checked. `runtime` is a release of the v5 runtime (that of the firmware, or the
    newest). `weights_bits` are those of the KPU's layers: 16 takes kmodel v3.
    `dataset` is a path (see `kpuir.dataset`) or samples, each a mapping from input name to an array of the model's own
    shape; `calibration` one of CALIBRATIONS, `calibration_effort` how long to search for better weights; `mean` and
    `std` normalize images of a dataset and become part of the input's scale. `input_type` is uint8 for inputs that
    reach the KPU, unless 8 bits change the results too much, and float32 for others unless given.
    `input_layout` is NCHW, what the camera delivers, unless given; `output_layout` the model's. `passes` replaces the
    pipeline `kpu-default`. `require_kpu` makes any convolution or matrix product left on the CPU an error that names
    all of them (UnsupportedError). `float_layers` are names of layers, or patterns, to keep on the CPU in
    float; with `min_cosine` more of them are, until the outputs on the samples are that close to the float model's
    (CheckFailedError where that is not possible). `allocation_seconds` is about how long places in each RAM may be
    searched for; it stands for a number of steps, so the result does not depend on the machine. With
    `suggest_input_size` the hint of a DoesNotFitError is the largest input size that fits. `dump_ir` gets the text of
    every stage. `load_ranges` are files of what earlier calibrations saw, which counts as well (with these
    there need be no dataset); what they and this one saw goes to the file `save_ranges`. `input_shapes` gives sizes to
    inputs that leave them open, and `outputs` names values or layers to end at, instead of the model's outputs.
    `progress(stage, done, total)` is told how far a stage is. Raises KpuirError: InvalidInputError, UnsupportedError,
    UsageError, DoesNotFitError or CheckFailedError.
    """
    given = {name: value for name, value in locals().items() if name not in ("model", "min_cosine", "float_layers")}
    import time

    from kpuir.fitting import DryRun, written
    from kpuir.importers.files import TFLITE, content_of, read_source
    from kpuir.passes.dataset_pass import DatasetPass
    from kpuir.passes.dataset_pass import load_ranges as read_ranges
    from kpuir.passes.kbuf_allocate import search_nodes
    from kpuir.passes.layer_comparison import LayerComparison
    from kpuir.pipelines import Stage, dump, make_context, parse_passes, run_passes
    from kpuir.runtime import tensor_ports

    if min_cosine is not None:
        return _compile_mixed(
            _imported(model, input_shapes, outputs),
            min_cosine,
            tuple(float_layers),
            partial(compile, model, **given),
            given,
        )
    version = version_for(kmodel, firmware, weights_bits)
    runtime = release_for(version, runtime, firmware)
    for what, value, choices in (
        ("calibration", calibration, CALIBRATIONS),
        ("calibration effort", calibration_effort, EFFORTS),
        ("input type", input_type or "uint8", INPUT_TYPES),
        ("input layout", input_layout or "NCHW", LAYOUTS),
        ("output layout", output_layout or "model", LAYOUTS),
    ):
        if value not in choices:
            raise UsageError(f"there is no {what} '{value}'", hint=f"choose {', '.join(choices)}")
    if not RUNTIMES[version].float_input:
        input_type = input_type or "uint8"
    stages: dict[str, float] = {}
    start = time.perf_counter()
    module = _imported(model, input_shapes, outputs)
    own = tensor_ports(module)
    check_inputs(firmware, len(own[0]))
    source = None if not isinstance(model, str | Path) else Path(model)
    is_channels_last = source is not None and content_of(read_source(source)) == TFLITE
    stages["import"] = time.perf_counter() - start
    files = [load_ranges] if isinstance(load_ranges, str | Path) else load_ranges
    of_dataset = {
        "dataset": str(dataset) if isinstance(dataset, str | Path) else "",
        "samples": samples,
        "mean": None if mean is None else tuple(float(value) for value in mean),
        "std": None if std is None else tuple(float(value) for value in std),
        "ranges": tuple(str(path) for path in files),
    }
    record = read_ranges(files)
    nodes = None if allocation_seconds is None else search_nodes(allocation_seconds)
    options = {
        "ktensor-split-inputs": {**of_dataset, "parts": 1 if input_type == "uint8" else None},
        "kpu-equalize": of_dataset,
        "kpu-calibrate": {**of_dataset, "method": calibration},
        "kpu-round-weights": {**of_dataset, "effort": calibration_effort, "weight_bits": weights_bits},
        "kpu-select-registers": {"weight_bits": weights_bits},
        "convert-kpu-to-kbuf": {"version": version},
        "kbuf-legalize-v5": {"release": runtime},
        "kpu-pack-pixels": {"pixels": "crop"} if RUNTIMES[version].takes_pixels else {},
        "kpu-quantize": {"input_type": input_type},
        "ktensor-absorb-layouts": {"outputs": output_layout == "NCHW"},
        "kpu-reorder-ports": {
            "inputs": input_layout,
            "outputs": "NHWC" if output_layout == "NHWC" else None,
            "source": "NHWC" if is_channels_last else "NCHW",
        },
        "kpu-explain": {"require": require_kpu},
        "ktensor-keep-float": {"layers": tuple(float_layers) or None},
        "kpu-tile": {"sent": RUNTIMES[version].sent_pixels},
        "kbuf-spill": {"nodes": nodes, "sent": RUNTIMES[version].sent_pixels},
        "kbuf-allocate": {"nodes": nodes},
    }
    chosen = [
        configured(one, options.get(one.name, {})) for one in parse_passes(passes or "kpu-default", lambda: PIPELINES)
    ]
    if require_kpu and not any(one.name == "kpu-explain" for one in chosen):
        raise UsageError("the pipeline cannot tell what is left on the CPU", hint="let it run kpu-explain")
    if float_layers and not any(one.name == "ktensor-keep-float" for one in chosen):
        raise UsageError("the pipeline cannot keep layers in float", hint="let it run ktensor-keep-float")
    seen: dict[Any, list[Any]] = {}
    chosen = [
        _with_samples(one, dataset, seen, record, progress) if isinstance(one, DatasetPass) else one for one in chosen
    ]
    total = len(chosen)
    errors, dry = LayerComparison(chosen, module), DryRun(chosen, version, weights_bits, firmware)

    def after(stage: Stage, current: "ModuleOp") -> None:
        stages[stage.name] = stages.get(stage.name, 0.0) + stage.seconds
        if dump_ir is not None:
            dump(Path(dump_ir), stage.index, stage.name, current)
        if progress is not None:
            progress(stage.name, stage.index, total)
        errors.after(stage.name, current)

    if dump_ir is not None:
        dump(Path(dump_ir), 0, "import", module)

    def before(one: "ModulePass") -> None:
        if one is dry.first:
            dry.check(module)

    try:
        # Verifying between passes is kpu-opt's business: here it would take a third of the time.
        run_passes(make_context(), module, chosen, verify=False, before=before, after=after)
        module.verify()
        stages["compare-layers"] = errors.seconds
        if save_ranges is not None:
            write_atomically({Path(save_ranges): record.to_text().encode()})
        start = time.perf_counter()
        data = written(module, version, firmware)
    except DoesNotFitError as error:
        if suggest_input_size:
            import_with = partial(_resized, model, input_shapes or {}, outputs)
            error.hint = dry.suggestion(own[0], import_with)
        raise
    stages["write"] = time.perf_counter() - start
    report = _report(module, data, version, stages)
    sidecar = _sidecar(module, source, own, report, mean, std)
    sidecar["firmware"] = firmware
    for kind, layout, ports in (("inputs", input_layout, own[0]), ("outputs", output_layout, own[1])):
        for entry, port in zip(sidecar[kind], ports, strict=True):
            wanted = port.layout if layout == "model" else layout
            if wanted == "NHWC" and entry["layout"] == entry["kmodel_layout"] == "NCHW":
                entry["layout"] = entry["kmodel_layout"] = "NHWC"  # as in the source model, so nothing says so
    if input_shapes or outputs:
        shapes = {name: list(sizes) for name, sizes in (input_shapes or {}).items()}
        sidecar["source"].update({"input_shapes": shapes, "outputs": list(outputs)})
    sidecar["layers"] = errors.described(module)
    return CompiledModel(data, sidecar, module, report, tuple(errors.found), tuple(errors.candidates))


def _compile_mixed(
    source: "ModuleOp",
    min_cosine: float,
    float_layers: tuple[str, ...],
    compile_with: Callable[..., CompiledModel],
    options: Mapping[str, Any],
) -> CompiledModel:
    """Compile with those layers in float that it takes to reach a cosine."""
    from kpuir.mixed_precision import compile_mixed

    def trial(names: tuple[str, ...]) -> CompiledModel:
        suggest = options["suggest_input_size"] and not names
        of_all = (*float_layers, *names)
        return compile_with(float_layers=of_all, dump_ir=None, save_ranges=None, suggest_input_size=suggest)

    of_samples = {name: options[name] for name in ("samples", "mean", "std")}
    result = compile_mixed(source, min_cosine, options["dataset"], of_samples, trial)
    found = compile_with(float_layers=(*float_layers, *(one.layer for one in result.kept)))
    return replace(found, mixed=result, sidecar={**found.sidecar, "mixed_precision": asdict(result)})


def configured(one: "ModulePass", options: "Mapping[str, Any]") -> "ModulePass":
    """A pass with options set where its pipeline text leaves them at their defaults and a value is given."""
    default = type(one)()
    given = {
        name: value
        for name, value in options.items()
        if value is not None and getattr(one, name) == getattr(default, name)
    }
    return replace(one, **given) if given else one


def _imported(
    model: "str | Path | ModuleOp",
    input_shapes: "Mapping[str, Sequence[int]] | None",
    outputs: Sequence[str],
    resize: bool = False,
) -> "ModuleOp":
    if not isinstance(model, str | Path):
        if input_shapes or outputs:
            raise UsageError("shapes and outputs can be given for model files only, not for a module")
        return model.clone()
    from kpuir.importers import import_model

    return import_model(model, input_shapes=input_shapes, outputs=outputs, resize=resize)


def _resized(
    model: "str | Path | ModuleOp",
    input_shapes: "Mapping[str, Sequence[int]]",
    outputs: Sequence[str],
    sizes: "Mapping[str, Sequence[int]]",
) -> "ModuleOp":
    return _imported(model, {**input_shapes, **sizes}, outputs, resize=True)


def _with_samples(
    one: "DatasetPass",
    dataset: "Dataset",
    seen: dict[Any, list[Any]],
    record: "CalibrationRecord",
    progress: "Callable[[str, int, int], None] | None",
) -> "ModulePass":
    """A pass that runs a dataset, told where samples in memory are and whom to tell how far it is.

    `seen` keeps what was loaded: photographs take longer to decode and resize than to run. `record` is that of all
    passes.
    """
    from kpuir.passes.dataset_pass import dataset_inputs

    class WithSamples(type(one)):
        """The pass on the caller's samples."""

        def record(self) -> "CalibrationRecord":
            """That of all passes."""
            return record

        @property
        def has_dataset(self) -> bool:
            """Whether the caller gave any."""
            return dataset is not None

        def load(self, module: "ModuleOp") -> "list[Any]":
            """The caller's samples, else the dataset's."""
            key = (tuple(dataset_inputs(module)), self.dataset, self.samples, self.mean, self.std)
            if key not in seen:
                if dataset is None or isinstance(dataset, str | Path):
                    seen[key] = super().load(module)
                else:
                    seen[key] = self.arranged(module, dataset)
            return seen[key]

        def told(self, done: int, total: int) -> None:
            """Tell the caller."""
            if progress is not None:
                progress(self.name, done, total)

    settings: dict[str, Any] = {field.name: getattr(one, field.name) for field in fields(one)}
    return cast("type[ModulePass]", WithSamples)(**settings)


def _report(module: "ModuleOp", data: bytes, version: str, stages: dict[str, float]) -> Report:
    from kpuir.analysis.coverage import coverage, milliseconds_by_place, placement
    from kpuir.analysis.memory import memory
    from kpuir.dialects import kbuf

    use, counts = memory(module), coverage(module)
    split = milliseconds_by_place(placement(module))
    return Report(
        kmodel_bytes=len(data),
        version=version,
        kpu_layers=counts.kpu_layers,
        cpu_ops=counts.cpu_ops,
        uploads=counts.uploads,
        downloads=counts.downloads,
        kpu_ram_peak=use.peak(kbuf.Space.KPU),
        main_ram_peak=use.peak(kbuf.Space.MAIN),
        constants_bytes=use.constant_bytes,
        estimated_ms=round(sum(split.values()), 3),
        estimated_ms_by_place={place.value.lower(): round(spent, 3) for place, spent in split.items()},
        stages={name: round(seconds, 4) for name, seconds in stages.items()},
    )


def _sidecar(
    module: "ModuleOp",
    source: Path | None,
    own: "tuple[Sequence[Port], Sequence[Port]]",
    report: Report,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> dict[str, Any]:
    """What the kmodel's users need to know and the kmodel does not hold."""
    from importlib.metadata import version as installed

    from kpuir.runtime import kbuf_ports

    inputs, outputs = kbuf_ports(module)
    preprocessing = {"mean": _list(mean), "std": _list(std)}
    return {
        "kpuir": installed("kpuir"),
        "source": None if source is None else {"file": source.name, "sha256": _sha256(source)},
        "kmodel": report.version,
        "inputs": [
            {**_described(port, of_source), **preprocessing} for port, of_source in zip(inputs, own[0], strict=True)
        ],
        "outputs": [
            {**_described(port, of_source), "mean": None, "std": None}
            for port, of_source in zip(outputs, own[1], strict=True)
        ],
        **file_description(module, report.kmodel_bytes),
    }


def file_description(module: "ModuleOp", kmodel_bytes: int) -> dict[str, Any]:
    """What a side-car says of the file itself: the layer of each instruction, and memory in bytes."""
    from kpuir.analysis.memory import memory
    from kpuir.dialects import kbuf
    from kpuir.ir.locations import layer_name

    use = memory(module)
    return {
        "instructions": [
            {
                "op": op.function.data if isinstance(op, kbuf.V5TensorOp) else op.name.removeprefix("kbuf."),
                "layer": layer_name(op),
                "where": "KPU" if isinstance(op, kbuf.KpuConv2dOp) else "CPU",
            }
            for op in module.walk()
            if isinstance(op, kbuf.InstructionOp)
        ],
        "memory": {
            "kpu_ram_peak": use.peak(kbuf.Space.KPU),
            "main_ram_peak": use.peak(kbuf.Space.MAIN),
            "constants_bytes": use.constant_bytes,
            "kmodel_bytes": kmodel_bytes,
        },
    }


def _list(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _described(port: "Port", of_source: "Port") -> dict[str, Any]:
    """An input or output: name, shape and layout are the source model's own, the rest is the kmodel's."""
    shape = list(of_source.shape)
    return {
        "name": port.name,
        "shape": shape,
        "layout": port.layout if len(shape) == 4 else "flat",
        "kmodel_shape": list(port.kmodel_shape),
        "kmodel_layout": port.kmodel_layout,
        "type": port.type,
        "scale": port.scale,
        "zero_point": port.zero_point,
        "codes": None if of_source.codes is None else of_source.codes._asdict(),
    }
