"""ONNX's standard backend interface on kpuir, so that any tool or test suite written for it can run models here.

    import kpuir.onnx_backend as backend
    outputs = backend.run_model(onnx_model, [x])
    prepared = backend.prepare(onnx_model, through="kbuf")

`through="ktensor"`, the default, runs the imported model in the float interpreter; `through="kbuf"` compiles it in
float to the instructions of a kmodel and runs these. The only device is "CPU".

Inputs that must be known at compile time, a new shape say, are in that interface inputs like others. So a model is
imported when it is first run: where it does not import with all inputs left open, scalars and vectors of integers of
the first run, and then all inputs but the first, are taken as constants.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray
from onnx.backend.base import Backend, BackendRep, namedtupledict

from kpuir.errors import InvalidInputError, KpuirError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from kpuir.runtime import Port

Array: TypeAlias = NDArray[Any]
_UNREAD = "kpuir.unread"
Through: TypeAlias = Literal["ktensor", "kbuf"]


class PreparedModel(BackendRep):
    """A model ready to run on arrays in the order of its inputs."""

    def __init__(self, model: onnx.ModelProto, through: Through = "ktensor") -> None:
        self.model = model
        self.through: Through = through
        initializers = {tensor.name for tensor in model.graph.initializer}
        self._names = [value.name for value in model.graph.input if value.name not in initializers]
        self._outputs = [(value.name, value.type.tensor_type.elem_type) for value in model.graph.output]
        self._runs: dict[frozenset[str], _Run] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, in order and by name, in the model's own types. Raises KpuirError for what is not supported."""
        if len(inputs) != len(self._names):
            raise InvalidInputError(f"{len(inputs)} inputs are given, the model has {len(self._names)}")
        given = dict(zip(self._names, map(_array, inputs), strict=True))
        run, feeds = self._bound(given)
        values = run(feeds)
        arrays = [_typed(values[name], element) for name, element in self._outputs]
        return namedtupledict("Outputs", [name for name, _ in self._outputs])(*arrays)

    def _bound(self, given: Mapping[str, Array]) -> "tuple[_Run, dict[str, Array]]":
        """What runs the model with as many inputs left open as possible, and their arrays."""
        empty = {name for name, array in given.items() if not array.size}  # of these at most the type matters
        small = {name for name, array in given.items() if array.ndim < 1 + (array.dtype.kind in "iub")}
        refusal: KpuirError | None = None
        for bound in dict.fromkeys((frozenset[str](), frozenset(small), frozenset(self._names[1:]))):
            constants = {name: array for name, array in given.items() if name in bound | empty}
            feeds = {name: array for name, array in given.items() if name not in constants}
            key = frozenset(feeds)
            try:
                if constants or key not in self._runs:
                    self._runs[key] = _Run(with_constants(self.model, constants), self.through)
                return self._runs[key], feeds
            except KpuirError as error:
                refusal = refusal or error
        assert refusal is not None
        raise refusal


class _Run:
    """An imported, perhaps compiled, model with the types of its inputs and outputs."""

    def __init__(self, model: onnx.ModelProto, through: Through) -> None:
        from kpuir.importers.onnx import import_onnx
        from kpuir.runtime import from_module, tensor_ports

        module: ModuleOp = import_onnx(model.SerializeToString())
        inputs, outputs = tensor_ports(module)
        self._inputs: list[Port] = inputs
        self._codes = {port.name: port.codes for port in outputs}
        if through == "kbuf":
            from kpuir.compiler import compile

            self._run = compile(module, passes="kpu-float").run
        else:
            self._run = from_module(module).run

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; codes where the model has codes."""
        arrays = {port.name: feeds.get(port.name, np.zeros((), np.float32)) for port in self._inputs}
        floats = {
            port.name: arrays[port.name] if port.codes else arrays[port.name].astype(np.float32)
            for port in self._inputs
        }
        results = self._run(floats)
        for name, codes in self._codes.items():
            if codes is not None:
                results[name] = np.rint(results[name] / codes.scale) + codes.zero_point
        return results


class KpuirBackend(Backend):
    """The backend: see the module."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> PreparedModel:
        """A model to run many times; `through` says in what. Raises ValueError for another device."""
        if not cls.supports_device(device):
            raise ValueError(f"there is no device {device!r}, only CPU")
        return PreparedModel(model, kwargs.get("through", "ktensor"))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Run a model once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node; `outputs_info` are its outputs' types and shapes, float32 unless given."""
        names = [name for name in node.input if name]
        arrays = dict(zip(names, map(np.asarray, inputs), strict=True))
        kinds = [dtype for dtype, _ in outputs_info or ()] or [np.dtype(np.float32)] * len(node.output)
        graph = onnx.helper.make_graph(
            [node],
            "node",
            [_value(name, array.dtype, array.shape) for name, array in arrays.items()],
            [_value(name, kind, None) for name, kind in zip(node.output, kinds, strict=True) if name],
        )
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
        return cls.run_model(model, list(arrays.values()), device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models can run on a device: the CPU it is."""
        return device == "CPU"


def with_constants(model: onnx.ModelProto, values: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with some inputs turned into initializers; it has one that it does not read if none is left."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [value for value in changed.graph.input if value.name not in values]
    del changed.graph.input[:]
    changed.graph.input.extend(kept or [_value(_UNREAD, np.dtype(np.float32), ())])
    changed.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in values.items())
    return changed


def _array(value: Any) -> Array:
    """An input; types that numpy lacks come as protocol buffers."""
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _typed(array: Array, element: int) -> Array:
    """An output in the model's own type, float32 where it says none."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(element) if element else np.dtype(np.float32)
    with np.errstate(invalid="ignore"):
        return array.astype(dtype)


def _value(name: str, dtype: "np.dtype[Any]", shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


prepare = KpuirBackend.prepare
run_model = KpuirBackend.run_model
run_node = KpuirBackend.run_node
supports_device = KpuirBackend.supports_device
