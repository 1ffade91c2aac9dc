"""The speech encoder: padding and batch never show, and at 30 s it is openai-whisper's own."""

import copy

import kaldiio
import numpy as np
import pytest
import torch
import whisper
from real_speech import prompts
from whisper.audio import N_SAMPLES, log_mel_spectrogram

from comsl.encoders.cached import CachedStates
from comsl.encoders.whisper import WhisperEncoder
from comsl.errors import DataError

DIMS = {"n_mels": 80, "n_ctx": 1500, "n_state": 64, "n_head": 2, "n_layer": 3}
SAMPLES = [4003, 16000, 23456, 50001]


def random_encoder(**settings) -> WhisperEncoder:
    torch.manual_seed(0)
    return WhisperEncoder(dims=DIMS, **settings).eval()


def tone(samples: int, loudness: float = 0.1) -> torch.Tensor:
    """Noise under a swept tone: something with a spectrum."""
    generator = torch.Generator().manual_seed(samples)
    time = torch.arange(samples) / 16000
    sweep = torch.sin(2 * torch.pi * (200 + 300 * time) * time)
    return loudness * (sweep + 0.1 * torch.randn(samples, generator=generator))


def batch_of(waves: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    # Padding that is not zero: whatever lies behind an utterance's end must not matter.
    size = max(map(len, waves))
    padded = torch.stack([torch.nn.functional.pad(w, (0, size - len(w)), value=7.0) for w in waves])
    return padded, torch.tensor([len(wave) for wave in waves])


def check_alone_equals_batch(encoder, waves: list[torch.Tensor], atol: float = 1e-5) -> None:
    with torch.no_grad():
        together, lengths, _ = encoder(*batch_of(waves))
        for index, wave in enumerate(waves):
            alone, (length,), _ = encoder(*batch_of([wave]))
            assert alone.shape[1] == length == lengths[index]
            torch.testing.assert_close(together[index, :length], alone[0], atol=atol, rtol=0)
            assert not together[index, length:].any()


@pytest.mark.parametrize("silence", [0.0, 0.5])
def test_alone_equals_any_batch(silence):
    # Very different loudness: a log-mel maximum of the whole batch would show.
    waves = [tone(n, loudness) for n, loudness in zip(SAMPLES, [0.5, 0.001, 0.1, 0.9], strict=True)]
    check_alone_equals_batch(random_encoder(silence=silence), waves)
    check_alone_equals_batch(random_encoder(silence=silence), waves[::-1][:2])


@pytest.mark.parametrize("silence", [0.0, 0.25, 0.5])
@pytest.mark.parametrize(
    "samples", [1600, 1601, 15999, 16000, 16159, 16160, 16320, 479999, N_SAMPLES]
)
def test_length_is_known_in_advance(samples, silence):
    encoder = random_encoder(silence=silence)
    with torch.no_grad():
        states, lengths, _ = encoder(*batch_of([tone(samples)]))
    assert states.shape == (1, encoder.num_states(samples), 64)
    assert lengths.tolist() == [encoder.num_states(samples)]


def test_gradient_of_an_utterance_ignores_its_batch():
    encoder, waves = random_encoder(), [tone(n) for n in SAMPLES]
    states, _, _ = encoder(*batch_of(waves))
    states[0].sum().backward()
    together = [parameter.grad.clone() for parameter in encoder.parameters()]
    encoder.zero_grad()
    states, _, _ = encoder(*batch_of(waves[:1]))
    states.sum().backward()
    for expected, parameter in zip(together, encoder.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("trainable", "trained"), [(0, set()), (1, {"blocks.2", "ln_post"})])
def test_only_the_top_blocks_train(trainable, trained):
    encoder = random_encoder(trainable_blocks=trainable)
    states, _, _ = encoder(*batch_of([tone(8000), tone(16000)]))
    assert states.requires_grad == bool(trainable)
    if trainable:
        states.square().sum().backward()
    with_gradient = {
        name for name, parameter in encoder.encoder.named_parameters() if parameter.grad is not None
    }
    assert with_gradient == {
        name
        for name, _ in encoder.encoder.named_parameters()
        if any(name.startswith(prefix) for prefix in trained)
    }


def test_every_parameter_trains_by_default():
    encoder = random_encoder()
    states, _, _ = encoder(*batch_of([tone(8000)]))
    states.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.encoder.parameters())


@pytest.mark.parametrize("samples", [0, 150, N_SAMPLES + 160])
def test_unusable_lengths_are_refused(samples):
    with pytest.raises(DataError, match="utterance 1 of the batch"):
        random_encoder(silence=0.0)(torch.zeros(2, N_SAMPLES + 160), torch.tensor([16000, samples]))


def test_too_many_trainable_blocks_are_refused():
    with pytest.raises(DataError, match="the encoder has 3 blocks"):
        random_encoder(trainable_blocks=4)


def test_silence_gives_finite_states():
    states, _, _ = random_encoder()(torch.zeros(1, 16000), torch.tensor([16000]))
    assert states.isfinite().all()


def test_cached_states_pass_through():
    states, lengths = torch.randn(2, 9, 4), torch.tensor([7, 5])
    encoder = CachedStates(input_size=4)
    passed, passed_lengths, _ = encoder(states, lengths)
    assert encoder.output_size() == 4
    assert torch.equal(passed, states[:, :7])
    assert torch.equal(passed_lengths, lengths)


def cached_below(encoder: WhisperEncoder, top_blocks: int, waves: list[torch.Tensor]):
    """What stage 5 would cache of the waves, padded with zeros; and lengths in frames."""
    with torch.no_grad():
        states, lengths = encoder.states_below(top_blocks, *batch_of(waves))
    rows = [row[:n] for row, n in zip(states, lengths.tolist(), strict=True)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths


@pytest.mark.parametrize(("top_blocks", "trainable"), [(1, None), (2, 1), (3, None), (2, 0)])
def test_top_blocks_on_cached_states_equal_the_whole_encoder(top_blocks, trainable):
    """Same states, and the same gradient for the same blocks; the rest gets none."""
    waves = [tone(n) for n in SAMPLES]
    whole = random_encoder(trainable_blocks=top_blocks if trainable is None else trainable)
    settings = {"top_blocks": top_blocks, "trainable_blocks": trainable, "dims": DIMS}
    top = CachedStates(64, **settings)
    missing, unexpected = top.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    assert {name.split(".")[2] for name in unexpected if "blocks" in name} == {
        str(number) for number in range(3 - top_blocks)
    }
    states, lengths, _ = whole(*batch_of(waves))
    found, found_lengths, _ = top(*cached_below(whole, top_blocks, waves))
    torch.testing.assert_close(found, states, atol=1e-5, rtol=0)
    assert torch.equal(found_lengths, lengths)
    assert found.requires_grad == (trainable != 0)
    if found.requires_grad:
        states.square().sum().backward()
        found.square().sum().backward()
    expected = dict(whole.named_parameters())
    for name, parameter in top.named_parameters():
        assert (parameter.grad is None) == (expected[name].grad is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("top_blocks", [0, 1])
def test_blocks_that_do_not_run_cannot_train(top_blocks):
    with pytest.raises(DataError, match="trainable_blocks 2, but only the top"):
        CachedStates(64, top_blocks=top_blocks, trainable_blocks=2, dims=DIMS)


def test_more_top_blocks_than_the_encoder_has_are_refused():
    with pytest.raises(DataError, match="top_blocks 4: the encoder has 3 blocks"):
        CachedStates(64, top_blocks=4, dims=DIMS)
    with pytest.raises(DataError, match="top_blocks 4: the encoder has 3 blocks"):
        random_encoder().states_below(4, *batch_of([tone(16000)]))


# ---- the real weights, on real speech


@pytest.fixture(scope="module")
def real_encoder() -> WhisperEncoder:
    return WhisperEncoder("base").eval()


def test_real_speech_alone_equals_batch(real_encoder, monkeypatch):
    """In double precision: in single, rounding among states that reach 18 depends on the CPU."""
    monkeypatch.setattr(whisper.model.LayerNorm, "forward", torch.nn.LayerNorm.forward)
    waves = [torch.from_numpy(wave).double() for wave in prompts()[:4]]
    check_alone_equals_batch(copy.deepcopy(real_encoder).double(), waves, atol=1e-9)


def test_thirty_seconds_equal_openai_whisper(real_encoder):
    window = torch.from_numpy(np.concatenate(prompts()))[:N_SAMPLES]
    window = whisper.pad_or_trim(window)
    with torch.no_grad():
        expected = real_encoder.encoder(log_mel_spectrogram(window)[None])
        states, lengths, _ = real_encoder(window[None], torch.tensor([N_SAMPLES]))
    assert lengths.tolist() == [1500]
    torch.testing.assert_close(states, expected, atol=1e-4, rtol=1e-4)


def test_compressed_states_below_the_top_block_lose_little(real_encoder, tmp_path):
    """As stage 5 stores them, two bytes a value: inner states span hundreds, where the output spans
    tens."""
    waves = [torch.from_numpy(wave) for wave in prompts()[:4]]
    states, lengths = cached_below(real_encoder, 1, waves)
    with kaldiio.WriteHelper(f"ark:{tmp_path}/feats.ark", compression_method=3) as writer:
        for index, (row, n) in enumerate(zip(states.numpy(), lengths.tolist(), strict=True)):
            writer(str(index), row[:n])
    stored = [torch.tensor(row) for _, row in kaldiio.load_ark(f"{tmp_path}/feats.ark")]
    top = CachedStates(512, top_blocks=1)
    with torch.no_grad():
        padded = torch.nn.utils.rnn.pad_sequence(stored, batch_first=True)
        found, _, _ = top(padded, lengths)
        expected, _, _ = real_encoder(*batch_of(waves))
    assert (found - expected).norm() < 2e-3 * expected.norm()
