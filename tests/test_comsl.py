"""`comsl`, the one command with all tools in it."""

from conftest import call

from comsl.__main__ import main, tools


def test_every_tool_is_listed_with_what_it_does():
    done = call(main, "--help")
    assert done.returncode == 0
    listed = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert dict(listed) == tools()
    assert "decode" in tools()
    assert all(text.strip() for text in tools().values())
    assert call(main).stdout == done.stdout


def test_a_tool_is_called_by_its_name(tmp_path):
    (tmp_path / "row.yaml").write_text("run: {silence: 1}\n")
    assert call(main, "overrides", tmp_path / "row.yaml").stdout == "silence=1\n"
    assert "usage: comsl validate_data" in call(main, "validate-data", "--help").stdout


def test_an_unknown_tool_is_one_line():
    done = call(main, "bogus")
    assert done.returncode == 1
    assert done.stderr == "error: comsl has no command 'bogus': comsl --help lists them\n"
