"""`comsl`: one command for all tools, `comsl <tool> --help`; a tool is a module of comsl.bin."""

import ast
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError

FOLDER = Path(__file__).parent / "bin"
USE = {"translate", "transcribe", "serve", "push"}  # for those who use a model, not make one


def tools() -> dict[str, str]:
    """Name of each tool -> what it does, the first line of its module, which isn't imported."""
    modules = sorted(FOLDER.glob("[a-z]*.py"))
    texts = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in modules)
    return {path.stem: text.splitlines()[0] for path, text in zip(modules, texts, strict=True)}


def lines(known: dict[str, str], names: Iterable[str]) -> list[str]:
    """Of the list of tools, in its order."""
    return [f"  {name:18} {text}" for name, text in known.items() if name in names]


@command
def main() -> None:
    """Command-line entry."""
    name, *words = sys.argv[1:] or ["--help"]
    known = tools()
    if name in ("--help", "-h"):
        print("usage: comsl COMMAND ...    comsl COMMAND --help lists its options\n")
        print("Use a model:", *lines(known, USE), "", sep="\n")
        print("Tools of the recipes:", *lines(known, known.keys() - USE), sep="\n")
        return
    tool = name.replace("-", "_")
    if tool not in known:
        raise DataError(f"comsl has no command '{name}': comsl --help lists them")
    sys.argv = [f"comsl {tool}", *words]
    importlib.import_module(f"comsl.bin.{tool}").main()


if __name__ == "__main__":
    main()
