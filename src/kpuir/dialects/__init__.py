"""The three dialects, one per level: `ktensor`, `kpu`, `kbuf`. Importing them does not import numpy."""
