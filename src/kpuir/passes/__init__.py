"""All passes by name.

To add one: put the ModulePass into a file of its own in this package and a line
`"ktensor-do-something": ("kpuir.passes.ktensor_do_something", "KTensorDoSomethingPass"),` into `PASSES`, which is kept
in alphabetical order. The name is the `name` of the class; the module is imported only when the pass is asked for.
"""

PASSES: dict[str, tuple[str, str]] = {
    "ktensor-absorb-layouts": ("kpuir.passes.ktensor_absorb_layouts", "KTensorAbsorbLayoutsPass"),
    "ktensor-sink-transposes": ("kpuir.passes.ktensor_sink_transposes", "KTensorSinkTransposesPass"),
}
"""Name of a pass -> (module, class)."""
