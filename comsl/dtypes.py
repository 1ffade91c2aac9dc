"""Number formats in which a model computes (comsl/precision.py, which takes longer to import)."""

DTYPES = ("float32", "bfloat16", "int8")
