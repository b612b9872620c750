"""The kmodel file formats: bytes to dataclasses and back. Knows no IR."""
