"""What comsl/encoders/base.py asks of a speech encoder is enough: one with another frame rate,
window and network, which is a class and a line in the table, goes through the tools."""

import kaldiio
import pytest
import soundfile
import torch
from conftest import run_tool
from test_speech_encoder import batch_of, cached_below, check_alone_equals_batch, tone
from torch import Tensor, nn

from comsl.corpora.kaldi import read_table, write_table
from comsl.encoders.base import SpeechEncoder, valid
from comsl.encoders.cached import CachedStates
from comsl.encoders.choices import ENCODERS

STATE = 640  # samples a state


class Toy(SpeechEncoder):
    """Stretches of the waveform, projected, and a Transformer."""

    frame_rate = 16000 / STATE
    window = 2.0
    shortest = STATE

    @classmethod
    def knows(cls, model: str) -> bool:
        return model == "toy"

    @classmethod
    def published(cls) -> list[str]:
        return ["toy"]

    @classmethod
    def published_width(cls, model: str) -> int | None:
        return 16

    def load(self, model: str, downloads: str, dims: dict | None) -> nn.Module:
        torch.manual_seed(0)
        encoder = nn.Module()
        encoder.project = nn.Linear(STATE, 16)
        blocks = (nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True) for _ in range(3))
        encoder.layers = nn.ModuleList(blocks)
        encoder.norm = nn.LayerNorm(16)
        return encoder

    def dims(self) -> dict:
        return {}

    def output_size(self) -> int:
        return 16

    def max_samples(self) -> int:
        return round(self.window * 16000)

    def count_states(self, samples: int) -> int:
        return samples // STATE

    def blocks(self) -> nn.ModuleList:
        return self.encoder.layers

    def output(self) -> nn.Module:
        return self.encoder.norm

    def drop_front_end(self) -> None:
        del self.encoder.project

    def front_end(self, speech: Tensor, samples: list[int]) -> Tensor:
        waves = [self.wave(row, n) for row, n in zip(speech, samples, strict=True)]
        pieces = [wave[: len(wave) // STATE * STATE].reshape(-1, STATE) for wave in waves]
        states = self.encoder.project(nn.utils.rnn.pad_sequence(pieces, batch_first=True))
        lengths = torch.tensor([len(piece) for piece in pieces])
        return states * valid(lengths, states.shape[1])[..., None]

    def run_block(self, block: nn.Module, states: Tensor, mask: Tensor | None) -> Tensor:
        return block(states, src_key_padding_mask=None if mask is None else ~mask)


@pytest.fixture(autouse=True)
def toy(monkeypatch) -> SpeechEncoder:
    monkeypatch.setitem(ENCODERS, "toy", Toy)
    return Toy("toy").eval()


def test_states_are_those_of_the_utterance_alone(toy):
    check_alone_equals_batch(toy, [tone(n) for n in (4003, 16000, 23456)])


def test_top_blocks_run_on_cached_states(toy):
    waves = [tone(n) for n in (4003, 16000)]
    top = CachedStates(model="toy", top_blocks=2).eval()
    missing, _ = top.load_state_dict(toy.state_dict(), strict=False)
    assert not missing
    found, *_ = top(*cached_below(toy, 2, waves))
    torch.testing.assert_close(found, toy(*batch_of(waves))[0], atol=1e-5, rtol=0)


def test_stage_5_writes_its_states(toy, tmp_path):
    wave = tone(16000)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    write_table(tmp_path / "raw/train/wav.scp", {"a": str(tmp_path / "a.wav")})
    options = ("--raw", tmp_path / "raw", "--sets", "train", "--speech_encoder", "toy")
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
