"""Whisper's own decoding: a batch gives what one by one gives; the commands of stages 5 and 8."""

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import whisper
from conftest import run_tool, write_whisper
from espnet2.fileio.read_text import load_num_sequence_text
from espnet2.train.dataset import kaldi_loader
from real_speech import prompts
from whisper.decoding import DecodingOptions
from whisper.model import ModelDimensions, Whisper

from comsl.baselines.whisper_decoding import MAX_TOKENS, TASKS, decode, encode
from comsl.corpora.kaldi import read_table, write_dir
from comsl.encoders.whisper import WhisperEncoder
from comsl.encoders.whisper_weights import load_whisper


@pytest.fixture(scope="module")
def heard():
    """Whisper base, and what its encoder makes of two prompts."""
    base = load_whisper("base")
    return base, encode(base, [prompts()[0], prompts()[3]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_whisper(tmp_path_factory.mktemp("whisper") / "whisper.pt")


@pytest.fixture
def raw(tmp_path):
    """A prepared folder with the set `test_fr` of three prompts."""
    wav_scp = {}
    for index, wave in enumerate(prompts()[:3]):
        path = tmp_path / f"{index}.flac"
        soundfile.write(path, wave, 16000)
        wav_scp[f"june-{index}"] = str(path)
    write_dir(tmp_path / "raw" / "test_fr", {"wav.scp": wav_scp})
    return tmp_path / "raw"


def one_by_one(model, features, task: str) -> list[str]:
    options = DecodingOptions(
        task=TASKS[task],
        language="fr",
        beam_size=5,
        sample_len=MAX_TOKENS,
        without_timestamps=True,
        fp16=False,
    )
    return [whisper.decode(model, window, options).text for window in features]


def test_batch_equals_one_by_one_on_random_weights():
    torch.manual_seed(0)
    model = Whisper(ModelDimensions(80, 1500, 64, 2, 1, 51865, 32, 64, 2, 2)).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding, std=3)
    for block in model.decoder.blocks:  # what is heard must matter
        torch.nn.init.normal_(block.cross_attn.out.weight)
    features = torch.randn(5, 1500, 64)
    texts = decode(model, features, "fr", "st")
    assert texts == one_by_one(model, features, "st")
    assert len(set(texts)) > 1


@pytest.mark.parametrize(("task", "word"), [("st", "press"), ("asr", "appuyez")])
def test_batch_equals_one_by_one_on_real_speech(heard, task, word):
    base, features = heard
    texts = decode(base, features, "fr", task)
    assert texts == one_by_one(base, features, task)
    assert any(word in text for text in texts), texts


def refuse(command: str, *options) -> str:
    result = run_tool(command, *options, check=False)
    assert result.returncode != 0
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


def test_decode_whisper_refuses(raw, tmp_path):
    options = ["--raw", raw, "--set", "test", "--out", tmp_path / "zero"]
    assert "unknown language code 'xx'" in refuse("decode_whisper", *options, "--langs", "xx")
    assert "test_it/wav.scp: no such file" in refuse("decode_whisper", *options, "--langs", "it")
    wrong = [*options, "--langs", "fr", "--tasks", "st mt"]
    assert "--tasks 'st mt'" in refuse("decode_whisper", *wrong)
    soundfile.write(tmp_path / "1.flac", np.zeros(31 * 16000), 16000)
    message = refuse("decode_whisper", *options, "--langs", "fr")
    assert "utterance 'june-1': 31.00 s exceed" in message
    assert not (tmp_path / "zero").exists()


def test_extract_features_command(raw, weights, tmp_path):
    out = tmp_path / "encoder"
    options = ["--speech_encoder", weights]
    options += ["--raw", raw, "--sets", "test_fr", "--out", out, "--shard_utts", "2"]
    run_tool("extract_features", *options, "--batch_seconds", "8")
    feats = read_table(out / "test_fr" / "feats.scp")
    shapes = load_num_sequence_text(out / "test_fr" / "speech_shape", "csv_int")
    loader = kaldi_loader(str(out / "test_fr" / "feats.scp"))  # as ESPnet will read them
    encoder = WhisperEncoder(str(weights)).eval()
    for utterance, wave in zip(feats, prompts(), strict=False):
        with torch.no_grad():
            states, _, _ = encoder(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        assert shapes[utterance] == [len(loader[utterance])]
        np.testing.assert_allclose(kaldiio.load_mat(feats[utterance]), states[0], atol=2e-3)
        np.testing.assert_allclose(loader[utterance], states[0], atol=2e-3)
    assert (out / "test_fr" / "feats.1.2.ark").is_file()


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (31 * 16000, 16000, "'june-1': 31.00 s exceed"),
        (16000, 8000, "has 8000 Hz; 16000 wanted"),
        (0, 16000, "is empty"),
        (None, 16000, "can't be read"),
    ],
)
def test_extract_features_refuses(raw, tmp_path, samples, rate, message):
    path = tmp_path / "1.flac"
    if samples is None:
        path.write_bytes(path.read_bytes()[:50])
    else:
        soundfile.write(path, np.zeros(samples), rate, format="WAV")
    options = ["--raw", raw, "--sets", "test_fr", "--out", tmp_path / "encoder"]
    text = refuse("extract_features", *options)
    assert message in text
    assert "utterance 'june-1'" in text
