"""Thin command-line mains, one a tool: `python -m comsl.bin.<tool>`."""
