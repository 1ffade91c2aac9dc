"""Bad input of the decoding command; what it decodes is tested by the recipe in miniature."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import run_tool

from comsl.corpora.kaldi import write_table
from comsl.encoders.whisper import WhisperEncoder
from comsl.inference import SpeechTranslator


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A French test set of one clip."""
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(16000), 16000)
    write_table(tmp_path / "test_fr/wav.scp", {"fr_a-1": str(tmp_path / "a.wav")})
    return tmp_path


def refuse(raw: Path, *options: str) -> str:
    """The last line of the command's complaint; there must be no output."""
    folders = ["--model", raw / "nowhere/model.pth", "--raw", raw, "--out", raw / "out"]
    result = run_tool("decode", *folders, *options, check=False)
    assert result.returncode == 1
    assert not (raw / "out").exists()
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--langs", "fr xx"], "unknown language code 'xx'"),
        (["--langs", "fr", "--tasks", "st tts"], "--tasks 'st tts': known are st asr mt"),
        (["--langs", "fr it"], "test_it/wav.scp: no such file; run the stage that makes it first"),
        (["--langs", "fr"], "test_fr/text.src: no such file"),
        (["--langs", "fr", "--tasks", "st"], "nowhere/model.pth: no such file; train the model"),
    ],
)
def test_wrong_options(raw, options, complaint):
    assert complaint in refuse(raw, *options)


@pytest.mark.parametrize(
    ("samples", "rate", "complaint"),
    [
        (8000, 8000, "has 8000 Hz; 16000 wanted"),
        (0, 16000, "is empty"),
        (None, 16000, "can't be read"),
    ],
)
def test_unusable_audio_is_named(raw, samples, rate, complaint):
    if samples is None:
        (raw / "a.wav").write_bytes((raw / "a.wav").read_bytes()[:20])
    else:
        soundfile.write(raw / "a.wav", np.zeros(samples), rate)
    line = refuse(raw, "--langs", "fr", "--tasks", "st")
    assert line.startswith("error: utterance 'fr_a-1': ")
    assert complaint in line


def test_audio_beyond_the_window_is_named(raw, monkeypatch):
    """Before anything is decoded, by the window of the model's own encoder: here 2 s."""
    dims = {"n_mels": 80, "n_ctx": 100, "n_state": 16, "n_head": 2, "n_layer": 1}
    translator = SpeechTranslator.__new__(SpeechTranslator)
    translator.model = SimpleNamespace(speech_encoder=WhisperEncoder(dims=dims))
    monkeypatch.setattr(SpeechTranslator, "from_pretrained", lambda *_: translator)
    soundfile.write(raw / "a.wav", np.zeros(2 * 16000 + 1), 16000)
    line = refuse(raw, "--langs", "fr", "--tasks", "st")
    assert "utterance 'fr_a-1': 2.00 s exceed the 2 s that the speech encoder hears" in line
