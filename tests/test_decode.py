"""Bad input of the decoding command; what it decodes is tested by the recipe in miniature."""

import pytest
from conftest import run_tool


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--langs", "fr xx"], "unknown language code 'xx'"),
        (["--langs", "fr", "--tasks", "st tts"], "--tasks 'st tts': known are st asr mt"),
        (["--langs", "fr"], "nowhere/model.pth: no such file; train the model first"),
    ],
)
def test_decode_refuses(tmp_path, options, complaint):
    folders = ["--model", tmp_path / "nowhere/model.pth", "--raw", tmp_path, "--out", tmp_path]
    result = run_tool("decode", *folders, *options, check=False)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert complaint in last
    assert not list(tmp_path.iterdir())
