"""The documentation: it builds without a warning, and what it quotes is what the code says."""

import ast
import logging
import re
from pathlib import Path

from conftest import ROOT

DOCS = ROOT / "docs"
OTHERS = {"CUDA out of memory"}  # messages that are not ours
QUOTE = re.compile(r'^```python title="(\S+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def test_the_site_builds_without_a_warning(tmp_path: Path):
    """Links, anchors, snippets and the names of the API reference are all there."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    logger, level = logging.getLogger("mkdocs"), logging.getLogger("mkdocs").level
    try:
        build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    finally:
        logger.setLevel(level)
    examples = (tmp_path / "extending/index.html").read_text("utf-8")
    for name in ("mean_distance", "StretchEncoder", "read_utterances"):
        assert f'">{name}</span>' in examples, name


def test_quoted_code_is_the_codes():
    quotes = [q for page in DOCS.glob("*.md") for q in QUOTE.findall(page.read_text("utf-8"))]
    assert len(quotes) > 5
    for file, code in quotes:
        assert unindented(code) in unindented((ROOT / file).read_text("utf-8")), (file, code)


def test_links_between_files_of_the_repository_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("[be]*/**/README.md")):
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert "://" in link or (page.parent / link).exists(), (page, link)


def texts(node: ast.AST) -> str:
    """What a string says, a gap for what an f-string puts in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(texts, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "\0"


def test_messages_of_troubleshooting_are_those_of_the_code():
    said = [
        texts(node)
        for file in (ROOT / "comsl").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    ]
    said += [file.read_text() for file in (ROOT / "run.sh", *ROOT.glob("local/*.sh"))]
    page = (DOCS / "troubleshooting.md").read_text("utf-8")
    messages = set(re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)) - OTHERS
    assert len(messages) > 30
    for message in messages:
        parts = re.split(r"\b(?:NAME|DIR|N)\b", message)
        assert any(all(part in text for part in parts) for text in said), message


def test_the_notebook_runs(monkeypatch):
    """On four prompts, with two updates."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("TUTORIAL_SHORT", "1")
    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(DOCS)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "4 prompts for training, 4 for test" in printed
    assert "2 updates" in printed
    assert sum("image/png" in output.get("data", ()) for output in outputs) == 2
