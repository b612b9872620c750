"""Analyses: IR in, dataclasses out. Nothing here changes a module, writes a file or prints."""
