"""Running what a model became: `kpuir.load` gives any kmodel, module or source model as an object with a `run`.

A kmodel holds neither names nor layouts nor the quantization of its inputs and outputs. `kpu-compile` therefore writes
a JSON file beside it; where that is there, arrays are the source model's own (float, its names, order and layout) and
are converted to exactly the bytes the board would get. Where it is not, arrays are of the kmodel's own type and shape.
"""

import dataclasses
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kpuir.dataset import Codes, InputSpec, dimensions
from kpuir.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xdsl.dialects.builtin import ModuleOp

    from kpuir.dialects import kbuf

_STALE = "it belongs to another kmodel: compile again, or remove it"

Layout = Literal["NCHW", "NHWC", "flat"]


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output: how the model's users see it, and how the kmodel does.

    `shape` and `layout` are the source model's own, `kmodel_shape`, `kmodel_layout` and `type` those of the bytes.
    With a `scale` the bytes stand for `(byte - zero_point) * scale`, and users give and get float32; without one they
    give and get the bytes. `mean` and `std` tell what preprocessing the scale carries; nothing is computed with them.
    `codes` is how a quantized source model stores it: arrays of that type are taken as codes.
    """

    name: str
    shape: tuple[int, ...]
    layout: Layout
    kmodel_shape: tuple[int, ...]
    kmodel_layout: Layout
    type: str
    scale: float | None = None
    zero_point: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    codes: Codes | None = None

    @property
    def spec(self) -> InputSpec:
        """What a dataset must provide for this input."""
        return InputSpec(
            self.name, self.shape, self.layout, self.dtype, self.codes if self.dtype == "float32" else None
        )

    @property
    def dtype(self) -> str:
        """The numpy type of the arrays that users give and get."""
        return "float32" if self.scale is not None else self.type

    def to_kmodel(self, array: "NDArray[Any]") -> "NDArray[Any]":
        """The array the kmodel gets for an array of the model's shape: `kmodel_shape`, of its type.

        Leading axes of size 1 may be left out.

        Raises InvalidInputError for another shape or type, naming both.
        """
        import numpy as np

        array = self.spec.real(array)
        if (1,) * (len(self.shape) - array.ndim) + array.shape == self.shape:
            array = array.reshape(self.shape)
        if array.shape != self.shape:
            raise self._wrong(f"shape {dimensions(array.shape)}", dimensions(self.shape))
        if array.dtype.kind not in "fiub" or (self.dtype != "float32" and array.dtype != self.dtype):
            raise self._wrong(f"type {array.dtype}", self.dtype)
        values = np.asarray(array, self.dtype)
        ordered = reorder(values, self.layout, self.kmodel_layout).reshape(self.kmodel_shape)
        if self.scale is None or self.type != "uint8":
            return np.require(ordered, requirements="C")
        quantized = np.rint(ordered / np.float64(self.scale)) + (self.zero_point or 0)
        return np.require(np.clip(quantized, 0, 255).astype(np.uint8), requirements="C")

    def from_kmodel(self, array: "NDArray[Any]") -> "NDArray[Any]":
        """The array users get for the array (of any shape) that the kmodel gives."""
        import numpy as np

        values = array.astype(np.float32) if self.scale is None and self.type == "float32" else array
        if self.scale is not None and self.type == "uint8":
            values = ((array.astype(np.float64) - (self.zero_point or 0)) * self.scale).astype(np.float32)
        planar = _permuted_shape(self.shape, self.layout, self.kmodel_layout)
        return np.require(reorder(values.reshape(planar), self.kmodel_layout, self.layout), requirements="C")

    def _wrong(self, given: str, wanted: str) -> InvalidInputError:
        return InvalidInputError(f"input '{self.name}' has {given}, the model takes {wanted}")


_ORDERS = {("NHWC", "NCHW"): (0, 3, 1, 2), ("NCHW", "NHWC"): (0, 2, 3, 1)}


def reorder(array: "NDArray[Any]", source: Layout, target: Layout) -> "NDArray[Any]":
    """A rank-4 array moved from one layout to another; any other array as it is."""
    order = _ORDERS.get((source, target))
    return array.transpose(order) if order and array.ndim == 4 else array


def _permuted_shape(shape: tuple[int, ...], source: Layout, target: Layout) -> tuple[int, ...]:
    order = _ORDERS.get((source, target))
    return tuple(shape[axis] for axis in order) if order and len(shape) == 4 else shape


class Engine(Protocol):
    """What executes a model on arrays in its own order, types and shapes."""

    def run(self, inputs: "Sequence[NDArray[Any]]") -> "list[NDArray[Any]]":
        """The outputs for one sample."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What was wrong during the runs so far, each thing once."""
        ...


class LoadedModel:
    """A model that runs: its IR, its inputs and outputs, and its interpreter."""

    def __init__(self, module: "ModuleOp", inputs: Sequence[Port], outputs: Sequence[Port], engine: Engine) -> None:
        self.module = module
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._engine = engine

    @property
    def warnings(self) -> list[str]:
        """What checked runs complained about so far: reads of bytes never written and the like."""
        return list(self._engine.warnings)

    def to_kmodel(self, inputs: "Mapping[str, NDArray[Any]]") -> "list[NDArray[Any]]":
        """The arrays the kmodel gets, in its order, for arrays by input name. Raises InvalidInputError."""
        missing = [port.name for port in self.inputs if port.name not in inputs]
        if missing:
            raise InvalidInputError(
                f"there is no array for input '{missing[0]}'",
                hint=f"the inputs are {', '.join(port.name for port in self.inputs)}",
            )
        return [port.to_kmodel(inputs[port.name]) for port in self.inputs]

    def run_raw(self, inputs: "Sequence[NDArray[Any]]") -> "list[NDArray[Any]]":
        """Run the kmodel on arrays of its own types and shapes."""
        return self._engine.run(inputs)

    def from_kmodel(self, outputs: "Sequence[NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        """The arrays users get, by output name, for those the kmodel gives."""
        return {port.name: port.from_kmodel(array) for port, array in zip(self.outputs, outputs, strict=True)}

    def run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        """Run one sample: an array per input name, each of its port's shape; an array per output name comes back.

        Raises InvalidInputError for a missing input, and for a wrong shape or type, naming both.
        """
        return self.from_kmodel(self.run_raw(self.to_kmodel(inputs)))


def load(
    path: "str | Path",
    *,
    check: bool = False,
    input_shapes: "Mapping[str, Sequence[int]] | None" = None,
    outputs: Sequence[str] = (),
) -> LoadedModel:
    """Load a .kmodel (with the .json beside it, if it is there), .mlir of any level, .onnx or .tflite file to run it.

    `input_shapes` and `outputs` are those of `kpuir.compile`, for a .onnx file.

    With `check`, running a kmodel collects `warnings` about reads of bytes never written, writes outside of a buffer
    and layers whose input and output overlap. Raises InvalidInputError for what is not a model.
    """
    where = Path(path)
    if not where.is_file():
        reason = "is a directory" if where.is_dir() else "no such file"
        raise InvalidInputError(reason, location=str(path))
    if where.suffix.lower() == ".kmodel":
        return from_module(kmodel_module(where.read_bytes(), str(path)), sidecar=read_sidecar(where), check=check)
    if where.suffix == ".mlir":
        return from_module(parse_module(where.read_bytes(), str(path)), check=check)
    from kpuir.importers import import_model

    return from_module(import_model(where, input_shapes=input_shapes, outputs=outputs), check=check)


def from_module(module: "ModuleOp", *, sidecar: Mapping[str, Any] | None = None, check: bool = False) -> LoadedModel:
    """A module of any level as something that runs; `sidecar` is what `kpu-compile` writes beside a kmodel."""
    if is_kbuf(module):
        from kpuir.interpreters.kbuf import Machine

        inputs, outputs = kbuf_ports(module)
        if sidecar is not None:
            inputs = sidecar_ports(sidecar, "inputs", inputs)
            outputs = sidecar_ports(sidecar, "outputs", outputs)
        return LoadedModel(module, inputs, outputs, Machine(module, check=check))
    inputs, outputs = tensor_ports(module)
    return LoadedModel(module, inputs, outputs, _FloatEngine(module))


class _FloatEngine:
    """The interpreter of the `ktensor` and `kpu` levels, which has nothing to warn about."""

    warnings: Sequence[str] = ()

    def __init__(self, module: "ModuleOp") -> None:
        self.module = module

    def run(self, inputs: "Sequence[NDArray[Any]]") -> "list[NDArray[Any]]":
        """The outputs for one sample."""
        from kpuir.interpreters.run import run

        return run(self.module, inputs)


@contextmanager
def naming(file: str) -> Generator[None]:
    """Errors about the content of a file get its name in front."""
    try:
        yield
    except InvalidInputError as error:
        where = f"{file}: {error.location}" if error.location else file
        raise InvalidInputError(error.message, location=where, hint=error.hint) from None


def kmodel_module(data: bytes, name: str) -> "ModuleOp":
    """The module of a kmodel's bytes. Raises InvalidInputError, with the place in the file, for one that is damaged."""
    from kpuir.translate import read_kmodel

    with naming(name):
        return read_kmodel(data)


def parse_module(text: bytes, name: str) -> "ModuleOp":
    """The module of IR text, verified. Raises InvalidInputError for bytes that are no text, else xDSL's errors."""
    from xdsl.parser import Parser

    from kpuir.pipelines import make_context, verify_module

    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise InvalidInputError("is not a text file", location=name) from None
    module = Parser(make_context(), decoded, name).parse_module()
    verify_module(module)
    return module


def module_ports(module: "ModuleOp") -> tuple[list[Port], list[Port]]:
    """The inputs and outputs of a module of any level."""
    return kbuf_ports(module) if is_kbuf(module) else tensor_ports(module)


def is_kbuf(module: "ModuleOp") -> bool:
    """Whether a module is at the `kbuf` level: its attributes say which kmodel version it is."""
    return "kbuf.version" in module.attributes


def kbuf_ports(module: "ModuleOp") -> tuple[list[Port], list[Port]]:
    """The inputs and outputs of a kmodel as its bytes have them; those without a name are input0, output0 ..."""
    from kpuir.dialects import kbuf

    inputs = sorted((op for op in module.walk() if isinstance(op, kbuf.InputOp)), key=_index)
    outputs = sorted((op for op in module.walk() if isinstance(op, kbuf.OutputOp)), key=_index)
    return [_kbuf_port(op, "input") for op in inputs], [_kbuf_port(op, "output") for op in outputs]


def _index(op: "kbuf.InputOp | kbuf.OutputOp") -> int:
    return op.index.value.data


def _kbuf_port(op: "kbuf.InputOp | kbuf.OutputOp", kind: str) -> Port:
    from kpuir.ir.arrays import dtype_of

    buffer: Any = op.buffer.type
    shape = tuple(buffer.get_shape()) if op.shape is None else tuple(op.shape.get_values())
    inner: Layout = "NCHW" if len(shape) == 4 else "flat"
    outer: Any = inner if op.layout is None else op.layout.data
    if op.layout is not None and outer == "NCHW":
        inner = "NHWC"  # the attribute says what differs
    return Port(
        name=f"{kind}{op.index.value.data}" if op.port_name is None else op.port_name.data,
        shape=_permuted_shape(shape, inner, outer),
        layout=outer,
        kmodel_shape=shape,
        kmodel_layout=inner,
        type=dtype_of(buffer.get_element_type()).name,
        scale=None if op.scale is None else op.scale.value.data,
        zero_point=None if op.zero_point is None else op.zero_point.value.data,
    )


def tensor_ports(module: "ModuleOp") -> tuple[list[Port], list[Port]]:
    """The inputs and outputs of `@main` of a module at the `ktensor` or `kpu` level, as the source model has them."""
    from kpuir.ir.functions import argument_attributes, entry_function, result_attributes

    function = entry_function(module)
    kinds = function.function_type
    inputs = [
        _tensor_port(kind, argument_attributes(function, index), f"input{index}")
        for index, kind in enumerate(kinds.inputs.data)
    ]
    outputs = [
        _tensor_port(kind, result_attributes(function, index), f"output{index}")
        for index, kind in enumerate(kinds.outputs.data)
    ]
    return inputs, outputs


def _tensor_port(kind: Any, attributes: Mapping[str, Any], default: str) -> Port:
    from kpuir.dialects import ktensor
    from kpuir.ir.functions import LAYOUT, NAME, codes_of

    name = attributes[NAME].data if NAME in attributes else default
    shape = tuple(kind.get_shape())
    inner: Layout = "NCHW" if len(shape) == 4 else "flat"
    layout: Layout = attributes[LAYOUT].data if LAYOUT in attributes else inner
    outer = _permuted_shape(shape, inner, layout)
    element = kind.get_element_type()
    found = codes_of(attributes)
    codes = None if found is None else Codes(*found)
    if isinstance(element, ktensor.QuantizedType):
        return Port(
            name, outer, layout, shape, inner, "uint8", element.scale_value, element.zero_point_value, codes=codes
        )
    if layout == "NCHW" and shape[3] in (1, 3) and shape[1] not in (1, 3):
        layout = inner = "NHWC"  # a source model as imported: a picture's channels are last
    return Port(name, outer, layout, shape, inner, "float32", codes=codes)


def sidecar_of(kmodel: Path) -> dict[str, Any] | None:
    """What kpuir once wrote beside a kmodel of that name, or None where there is no such file.

    Raises InvalidInputError for a file that is no JSON.
    """
    path = kmodel.with_suffix(".json")
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"is not readable JSON: {error}", location=str(path)) from None
    return content if isinstance(content, dict) and "kpuir" in content else None  # else it is somebody else's


def read_sidecar(kmodel: Path) -> dict[str, Any] | None:
    """What `kpu-compile` wrote beside a kmodel, or None where there is no such file. Raises InvalidInputError."""
    content = sidecar_of(kmodel)
    if content is None:
        return None
    memory = content.get("memory")
    described, found = memory.get("kmodel_bytes") if isinstance(memory, dict) else None, kmodel.stat().st_size
    if described not in (None, found):
        raise InvalidInputError(
            f"describes a kmodel of {described} bytes, {kmodel.name} has {found}",
            location=str(kmodel.with_suffix(".json")),
            hint=_STALE,
        )
    return content


def sidecar_ports(sidecar: Mapping[str, Any], kind: Literal["inputs", "outputs"], own: Sequence[Port]) -> list[Port]:
    """The ports a side-car describes. Raises InvalidInputError where it does not fit the kmodel's `own`."""
    entries = sidecar.get(kind)
    if not isinstance(entries, list) or len(entries) != len(own):
        count = len(entries) if isinstance(entries, list) else "no"
        raise InvalidInputError(
            f"the .json beside the kmodel has {count} {kind}, the kmodel has {len(own)}",
            hint=_STALE,
        )
    return [_sidecar_port(entry, port) for entry, port in zip(entries, own, strict=True)]


def _sidecar_port(entry: Any, own: Port) -> Port:
    try:
        port = Port(
            name=str(entry["name"]),
            shape=_sizes(entry["shape"]),
            layout=_layout(entry["layout"]),
            kmodel_shape=_sizes(entry["kmodel_shape"]),
            kmodel_layout=_layout(entry["kmodel_layout"]),
            type=entry["type"],
            scale=_scale(entry.get("scale")),
            zero_point=_byte(entry.get("zero_point")),
            mean=_numbers(entry.get("mean")),
            std=_numbers(entry.get("std")),
            codes=_codes(entry.get("codes")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(f"the .json beside the kmodel is damaged: {error!r}") from None
    if port.type != own.type:
        raise InvalidInputError(
            f"the .json beside the kmodel says '{port.name}' is {port.type}, the kmodel says {own.type}",
            hint=_STALE,
        )
    for shape in (port.shape, port.kmodel_shape):
        if prod(shape) != prod(own.kmodel_shape):
            raise InvalidInputError(
                f"the .json beside the kmodel says '{port.name}' is {dimensions(shape)}, "
                f"the kmodel says {dimensions(own.kmodel_shape)}",
                hint=_STALE,
            )
    if port.type == "float32" and port.scale is not None:
        return dataclasses.replace(port, scale=None, zero_point=None)
    return port


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size > 0 for size in value):
        raise ValueError(f"{value!r} is no shape")
    return tuple(value)


def _layout(value: Any) -> Layout:
    if value not in ("NCHW", "NHWC", "flat"):
        raise ValueError(f"{value!r} is no layout")
    return value


def _number(value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise ValueError(f"{value!r} is no number")
    return value


def _scale(value: Any) -> float | None:
    scale = _number(value)
    if scale is not None and not (isfinite(scale) and scale > 0):
        raise ValueError(f"{value!r} is no scale")
    return scale


def _byte(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value <= 255):
        raise ValueError(f"{value!r} is no byte")
    return value


def _codes(value: Any) -> Codes | None:
    if value is None:
        return None
    scale = _scale(value["scale"])
    if (
        value["type"] not in ("int8", "uint8", "int16", "uint16")
        or scale is None
        or type(value["zero_point"]) is not int
    ):
        raise ValueError(f"{value!r} are no codes")
    return Codes(value["type"], scale, value["zero_point"])


def _numbers(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    found = [_number(one) for one in (value if isinstance(value, list) else [value])]
    return tuple(one for one in found if one is not None)
