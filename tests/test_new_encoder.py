"""What comsl/encoders/base.py asks of a speech encoder is enough: one with another frame rate,
window and network, which is a class and a line in the table, goes through the tools. The class is
the worked example of docs/extending.md."""

import kaldiio
import pytest
import soundfile
import torch
from conftest import run_tool
from stretch_encoder import StretchEncoder
from test_speech_encoder import batch_of, cached_below, check_alone_equals_batch, tone

from comsl.corpora.kaldi import read_table, write_table
from comsl.encoders.base import SpeechEncoder
from comsl.encoders.cached import CachedStates
from comsl.encoders.choices import ENCODERS


@pytest.fixture(autouse=True)
def toy(monkeypatch) -> SpeechEncoder:
    monkeypatch.setitem(ENCODERS, "stretches", StretchEncoder)
    return StretchEncoder("stretches").eval()


def test_states_are_those_of_the_utterance_alone(toy):
    check_alone_equals_batch(toy, [tone(n) for n in (4003, 16000, 23456)])


def test_top_blocks_run_on_cached_states(toy):
    waves = [tone(n) for n in (4003, 16000)]
    top = CachedStates(model="stretches", top_blocks=2).eval()
    missing, _ = top.load_state_dict(toy.state_dict(), strict=False)
    assert not missing
    found, *_ = top(*cached_below(toy, 2, waves))
    torch.testing.assert_close(found, toy(*batch_of(waves))[0], atol=1e-5, rtol=0)


def test_stage_5_writes_its_states(toy, tmp_path):
    wave = tone(16000)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    write_table(tmp_path / "raw/train/wav.scp", {"a": str(tmp_path / "a.wav")})
    options = ("--raw", tmp_path / "raw", "--sets", "train", "--speech_encoder", "stretches")
    run_tool("extract_features", *options, "--out", tmp_path / "states")
    states = kaldiio.load_scp(str(tmp_path / "states/train/feats.scp"))["a"]
    expected, lengths, _ = toy(*batch_of([wave]))
    torch.testing.assert_close(torch.tensor(states), expected[0].detach(), atol=1e-3, rtol=0)
    assert (
        read_table(tmp_path / "states/train/speech_shape")
        == {"a": str(int(lengths))}
        == {"a": "37"}
    )
    soundfile.write(tmp_path / "a.wav", tone(33000), 16000)
    failed = run_tool("extract_features", *options, "--out", tmp_path / "other", check=False)
    assert "utterance 'a': 2.06 s exceed the 2 s that the speech encoder hears" in failed.stderr
