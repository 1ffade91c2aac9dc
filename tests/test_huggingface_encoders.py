"""Speech encoders of transformers: their own classes' states, and the promises of Whisper's."""

import numpy as np
import pytest
import torch
from test_speech_encoder import batch_of, cached_below, check_alone_equals_batch, tone
from tiny_models import SPEECH_ENCODERS, write_speech_encoder
from transformers import (
    AutoModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from comsl.encoders.base import SpeechEncoder
from comsl.encoders.cached import CachedStates
from comsl.encoders.choices import choose, encoder_class
from comsl.errors import DataError
from comsl.model.adapter import Adapter
from comsl.sequences import Sequences

SAMPLES = [4003, 16000, 23456]


@pytest.fixture(scope="module", params=SPEECH_ENCODERS)
def folder(request, tmp_path_factory) -> str:
    return str(write_speech_encoder(request.param, tmp_path_factory.mktemp("encoder")))


def load(folder: str, **settings) -> SpeechEncoder:
    return encoder_class(folder)(folder, **settings).eval()


def their_states(folder: str, wave: np.ndarray) -> torch.Tensor:
    """(T, d), by transformers' own feature extractor and forward pass."""
    model = AutoModel.from_pretrained(folder).eval()
    model.adapter, kind = None, model.config.model_type
    extractors = {
        "whisper": WhisperFeatureExtractor(128),
        "wav2vec2-bert": SeamlessM4TFeatureExtractor(),
    }
    extractor = extractors.get(kind, Wav2Vec2FeatureExtractor(do_normalize=True))
    inputs = extractor(wave, sampling_rate=16000, return_tensors="pt")
    network = model.get_encoder() if kind == "whisper" else model
    with torch.no_grad():
        states = network(**inputs).last_hidden_state[0]
    # Of an odd frame w2v-BERT's makes a state of padding.
    return states[: inputs.attention_mask.sum()] if kind == "wav2vec2-bert" else states


def test_states_are_those_of_its_own_class(folder):
    encoder = load(folder, silence=0.0)
    wave = tone(encoder.max_samples() if choose(folder) == "whisper" else 16160)
    states, (length,), _ = encoder(*batch_of([wave]))
    expected = their_states(folder, wave.numpy())
    assert states.shape[1] == length == encoder.num_states(len(wave))
    torch.testing.assert_close(states[0], expected, atol=2e-3, rtol=0)
    assert encoder_class(folder).published_width(folder) == encoder.output_size() == 16


def test_states_are_those_of_the_utterance_alone(folder):
    waves = [tone(n, loudness) for n, loudness in zip(SAMPLES, [0.5, 0.01, 0.1], strict=True)]
    check_alone_equals_batch(load(folder), waves)
    shortest = torch.zeros(1, encoder_class(folder).shortest)
    states, _, _ = load(folder, silence=0.0)(shortest, torch.tensor([shortest.shape[1]]))
    assert states.shape[1] > 0
    assert states.isfinite().all()


def test_top_blocks_on_cached_states_equal_the_whole_encoder(folder):
    """In training too: what is frozen has no dropout; the same blocks train, with one gradient."""
    waves = [tone(n) for n in SAMPLES]
    settings = {"trainable_blocks": 1, "checkpointing": True}
    whole, top = load(folder, **settings), CachedStates(model=folder, top_blocks=2, **settings)
    missing, _ = top.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    found, *_ = top.eval()(*cached_below(whole, 2, waves))
    states, *_ = whole(*batch_of(waves))
    torch.testing.assert_close(found, states, atol=1e-5, rtol=0)
    states.square().sum().backward()
    found.square().sum().backward()
    expected = dict(whole.named_parameters())
    trained = {name for name, parameter in top.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, parameter in expected.items() if parameter.grad is not None}
    assert trained
    for name, parameter in top.named_parameters():
        if name in trained:
            torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-3, rtol=1e-3)
    below, _ = whole.train().states_below(1, *batch_of(waves))
    assert not below.requires_grad
    torch.testing.assert_close(below, whole.eval().states_below(1, *batch_of(waves))[0])


def test_a_packed_model_is_built_from_its_dims(folder):
    encoder = load(folder, trainable_blocks=3)
    again = encoder_class(folder)(dims=encoder.dims())
    again.load_state_dict(encoder.state_dict())
    waves = batch_of([tone(8000)])
    assert torch.equal(again.eval()(*waves)[0], encoder(*waves)[0])


def test_the_adapters_stride_follows_the_frame_rate():
    states = Sequences(torch.randn(2, 61, 16), torch.tensor([61, 17]))
    for rate, lengths in ((12.5, [61, 17]), (25, [31, 9]), (50, [16, 5]), (100, [8, 3])):
        adapter = Adapter(16, 32, frame_rate=rate)
        assert adapter(states).lengths.tolist() == lengths
        assert adapter(states).values.shape == (2, lengths[0], 32)
    with pytest.raises(DataError, match=r"a speech encoder of 40 states a second"):
        Adapter(16, 32, frame_rate=40)
