"""The package's own imports: they run downwards, and in no circle."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from conftest import ROOT

# From the ground up; those of a row know nothing of each other.
LAYERS = [
    "dimensions downloads dtypes errors precision read_ahead sequences table vocabulary",
    "checks files hub languages processes settings_file",
    "bleu cli made options overrides tokenizer",
    "corpora",
    "encoders parts recordings",
    "model",
    "inference training",
    "baselines evaluation journal planning",
    "serving",
    "bin",
    "__main__",
]


@cache
def modules() -> dict[str, Path]:
    """Module -> its file."""
    files = (ROOT / "comsl").rglob("*.py")
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def imports() -> dict[str, set[str]]:
    """Module -> the package's modules that it imports, inside functions too."""
    arrows = {}
    for module, file in modules().items():
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file}: a relative import"
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        arrows[module] = names & modules().keys() - {module, "comsl"}
    return arrows


def layer(module: str) -> int:
    part = module.split(".")[1]
    return next(number for number, row in enumerate(LAYERS) if part in row.split())


def test_no_import_goes_up_or_aside():
    wrong = [
        f"{module} -> {target}"
        for module, targets in imports().items()
        for target in targets
        if module.split(".")[1] != target.split(".")[1] and layer(module) <= layer(target)
    ]
    assert not wrong


def test_no_imports_in_a_circle():
    order = list(TopologicalSorter(imports()).static_order())
    assert len(order) == len(modules())


def test_every_module_is_in_one_layer():
    assert sorted(" ".join(LAYERS).split()) == sorted(
        {module.split(".")[1] for module in modules() if module != "comsl"}
    )
