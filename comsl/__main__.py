"""`comsl`: one command for all tools, `comsl <tool> --help`; a tool is a module of comsl.bin."""

import ast
import importlib
import sys
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError

FOLDER = Path(__file__).parent / "bin"


def tools() -> dict[str, str]:
    """Name of each tool -> what it does, the first line of its module, which isn't imported."""
    modules = sorted(FOLDER.glob("[a-z]*.py"))
    texts = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in modules)
    return {path.stem: text.splitlines()[0] for path, text in zip(modules, texts, strict=True)}


@command
def main() -> None:
    """Command-line entry."""
    name, *words = sys.argv[1:] or ["--help"]
    known = tools()
    if name in ("--help", "-h"):
        print("usage: comsl TOOL [OPTION VALUE]...    comsl TOOL --help lists a tool's options\n")
        for tool, text in known.items():
            print(f"  {tool:18} {text}")
        return
    tool = name.replace("-", "_")
    if tool not in known:
        raise DataError(f"comsl has no tool '{name}': comsl --help lists them")
    sys.argv = [f"comsl {tool}", *words]
    importlib.import_module(f"comsl.bin.{tool}").main()


if __name__ == "__main__":
    main()
