"""Property tests draw the same examples in every run, and take the time they take on a busy machine."""

from hypothesis import settings

settings.register_profile("kpuir", derandomize=True, deadline=None)
settings.load_profile("kpuir")
