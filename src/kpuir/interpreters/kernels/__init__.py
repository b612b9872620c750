"""Arithmetic on numpy arrays: float references and the exact integers of the chip and its runtime. Knows no IR."""
