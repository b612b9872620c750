"""All passes by name.

To add one: put the ModulePass into a file of its own in this package and a line
`"ktensor-do-something": ("kpuir.passes.ktensor_do_something", "KTensorDoSomethingPass"),` into `PASSES`, which is kept
in alphabetical order. The name is the `name` of the class; the module is imported only when the pass is asked for.
"""

PASSES: dict[str, tuple[str, str]] = {}
"""Name of a pass -> (module, class)."""
