"""Speech blocks: Whisper's encoder at real lengths (method.md, section 2)."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from whisper.audio import HOP_LENGTH, N_FFT, N_SAMPLES, SAMPLE_RATE, mel_filters
from whisper.model import AudioEncoder, MultiHeadAttention, ResidualAttentionBlock

from comsl.encoders.whisper_weights import load_whisper
from comsl.errors import DataError

EDGE = N_FFT // 2  # samples mirrored at either end, so that frames are centred on their time


def num_samples(samples: int, silence: float) -> int:
    """Samples of an utterance with `silence` seconds appended, as far as Whisper's 30 s allow."""
    return max(samples, min(samples + round(silence * SAMPLE_RATE), N_SAMPLES))


def num_frames(samples: int, silence: float) -> int:
    """Encoder states (50 a second) of an utterance of `samples` at 16 kHz: known in advance."""
    return (num_samples(samples, silence) // HOP_LENGTH + 1) // 2


class WhisperEncoder(AbsEncoder):
    """openai-whisper's AudioEncoder, its parameters and state dict unchanged, but batch-invariant.

    An utterance keeps its own length (Whisper pads all to 30 s) and gives the same states alone
    and in any batch: its log-mel maximum is its own, frames of padding are zeroed before each
    convolution, and attention sees no padding.

    model: an openai-whisper name or checkpoint path; silence: seconds of zeros appended;
    trainable_blocks: how many blocks at the top train (0 none; None everything, convolutions too);
    checkpointing: training keeps the input of each block only and computes the rest again for its
    gradient; downloads: where weights are kept; dims: keywords of AudioEncoder, for random weights
    of that shape in place of `model`'s, as in tests or before a checkpoint is loaded.
    """

    def __init__(
        self,
        model: str = "base",
        silence: float = 0.5,
        trainable_blocks: int | None = None,
        checkpointing: bool = False,
        downloads: str = "downloads",
        dims: dict[str, int] | None = None,
    ):
        super().__init__()
        self.encoder = load_encoder(model, downloads, dims)
        self.silence = silence
        self.checkpointing = checkpointing
        n_mels = self.encoder.conv1.in_channels
        self.register_buffer("mel_filters", mel_filters("cpu", n_mels).clone(), persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.all_train = trainable_blocks is None
        self.frozen_blocks = 0
        if not self.all_train:
            self.frozen_blocks = freeze(self.encoder, self.encoder.blocks, trainable_blocks)

    def output_size(self) -> int:
        return self.encoder.ln_post.normalized_shape[0]

    def dims(self) -> dict[str, int]:
        """The shape of the encoder, as `dims` takes it."""
        return {
            "n_mels": self.encoder.conv1.in_channels,
            "n_ctx": self.encoder.positional_embedding.shape[0],
            "n_state": self.output_size(),
            "n_head": self.encoder.blocks[0].attn.n_head,
            "n_layer": len(self.encoder.blocks),
        }

    def max_samples(self) -> int:
        """The longest utterance that it takes, in samples."""
        return self.encoder.positional_embedding.shape[0] * 2 * HOP_LENGTH

    def forward(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor, None]:
        """Waveforms (B, samples), float at 16 kHz, and lengths (B,) in samples ->
        states (B, T, d), zero after their end, lengths (B,) in frames, None.

        DataError: an utterance is empty or longer than the encoder's window.
        """
        states, frames = self.states_below(0, speech, speech_lengths)
        return normalise(self.encoder.ln_post, states, frames), frames, None

    def states_below(
        self, top_blocks: int, speech: Tensor, speech_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, but the states (B, T, d) that its last `top_blocks` blocks start from."""
        samples = speech_lengths.tolist()
        frames = torch.tensor([num_frames(n, self.silence) for n in samples], device=speech.device)
        self._check(samples, frames)
        with torch.no_grad(), torch.autocast(speech.device.type, enabled=False):
            mel, mel_frames = self.log_mel(speech.float(), samples)
        with _gradient(self.all_train):
            states = self._convolve(mel, mel_frames, frames)
        below = len(self.encoder.blocks) - len(top_of(self.encoder, top_blocks))
        blocks = self.encoder.blocks[:below]
        return run_blocks(blocks, self.frozen_blocks, states, frames, self.checkpointing), frames

    def _check(self, samples: list[int], frames: Tensor) -> None:
        window = self.encoder.positional_embedding.shape[0]
        for index, (n, t) in enumerate(zip(samples, frames.tolist(), strict=True)):
            where = f"utterance {index} of the batch ({n / SAMPLE_RATE:.2f} s)"
            if t > window:
                raise DataError(f"{where} exceeds the encoder's {window / 50:g} s: split it")
            if n == 0 or num_samples(n, self.silence) <= EDGE:
                raise DataError(f"{where} is too short to encode: drop it")

    def log_mel(self, speech: Tensor, samples: list[int]) -> tuple[Tensor, Tensor]:
        """Whisper's log-mel spectrogram (B, n_mels, F), zero after each utterance's end, and the
        lengths (B,) in frames (100 a second). The maximum is each utterance's own.
        """
        waves = pad_sequence(
            [self._wave(row[:n]) for row, n in zip(speech, samples, strict=True)], batch_first=True
        )
        spectrum = torch.stft(
            waves, N_FFT, HOP_LENGTH, window=self.window, center=False, return_complex=True
        )
        frames = torch.tensor([num_samples(n, self.silence) // HOP_LENGTH for n in samples])
        frames = frames.to(speech.device)
        power = spectrum[..., : frames.max()].abs() ** 2
        mel = (self.mel_filters @ power).clamp(min=1e-10).log10()
        valid = _valid(frames, mel.shape[2])[:, None, :]
        peak = mel.masked_fill(~valid, -torch.inf).amax(dim=(1, 2), keepdim=True)
        mel = (torch.maximum(mel, peak - 8.0) + 4.0) / 4.0
        return mel * valid, frames

    def _wave(self, wave: Tensor) -> Tensor:
        """One utterance (samples,) with its silence appended and its ends mirrored."""
        wave = F.pad(wave, (0, num_samples(len(wave), self.silence) - len(wave)))
        return F.pad(wave[None], (EDGE, EDGE), mode="reflect")[0]

    def _convolve(self, mel: Tensor, mel_frames: Tensor, frames: Tensor) -> Tensor:
        """Log-mel (B, n_mels, F) -> input of the first block (B, T, d)."""
        states = F.gelu(self.encoder.conv1(mel))
        states = states * _valid(mel_frames, states.shape[2])[:, None, :]
        states = F.gelu(self.encoder.conv2(states)).permute(0, 2, 1)
        states = states + self.encoder.positional_embedding[: states.shape[1]]
        return states * _valid(frames, states.shape[1])[..., None]


def top_of(encoder: AudioEncoder, top_blocks: int) -> dict[str, ResidualAttentionBlock]:
    """The last blocks of an encoder by their numbers. DataError: it hasn't as many."""
    blocks = {str(number): block for number, block in enumerate(encoder.blocks)}
    if not 0 <= top_blocks <= len(blocks):
        raise DataError(f"top_blocks {top_blocks}: the encoder has {len(blocks)} blocks")
    return dict(list(blocks.items())[len(blocks) - top_blocks :])


def load_encoder(model: str, downloads: str, dims: dict[str, int] | None) -> AudioEncoder:
    return AudioEncoder(**dims) if dims else load_whisper(model, downloads).encoder


def freeze(encoder: nn.Module, blocks: Sequence[nn.Module], trainable_blocks: int) -> int:
    """Let only the last of `blocks`, and the norm after them, train; the number of the others."""
    if not 0 <= trainable_blocks <= len(blocks):
        raise DataError(
            f"trainable_blocks {trainable_blocks}: the encoder has {len(blocks)} blocks"
        )
    frozen = len(blocks) - trainable_blocks
    encoder.requires_grad_(False)
    for block in blocks[frozen:]:
        block.requires_grad_(True)
    encoder.ln_post.requires_grad_(trainable_blocks > 0)
    return frozen


def _gradient(wanted: bool) -> torch.set_grad_enabled:
    return torch.set_grad_enabled(wanted and torch.is_grad_enabled())


def _valid(lengths: Tensor, size: int) -> Tensor:
    """(B, size), True before each utterance's end."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def run_blocks(
    blocks: Iterable[ResidualAttentionBlock],
    frozen: int,
    states: Tensor,
    frames: Tensor,
    checkpointing: bool,
) -> Tensor:
    """States (B, T, d) through the blocks, the first `frozen` of them without gradient."""
    mask = _valid(frames, states.shape[1])
    key_mask = None if mask.all() else mask[:, None, None, :]
    run = partial(checkpoint, _block, use_reentrant=False) if checkpointing else _block
    for index, block in enumerate(blocks):
        with _gradient(index >= frozen):
            states = run(block, states, key_mask)
    return states


def normalise(norm: nn.Module, states: Tensor, frames: Tensor) -> Tensor:
    """The encoder's output: zero after each utterance's end."""
    return norm(states) * _valid(frames, states.shape[1])[..., None]


def _block(block: ResidualAttentionBlock, states: Tensor, mask: Tensor | None) -> Tensor:
    """The block's own forward, but for its attention."""
    attention, normed = block.attn, block.attn_ln(states)
    projections = attention.query(normed), attention.key(normed), attention.value(normed)
    states = states + attend(attention, *projections, mask)
    return states + block.mlp(block.mlp_ln(states))


def attend(
    attention: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> Tensor:
    """An attention's output (B, L, d) from its projected query (B, L, d), key and value (B, T, d),
    under a key mask (B, 1, 1, T), True where it may look.

    openai-whisper's own forward reads any mask as "causal".
    """
    query, key, value = (
        projected.unflatten(-1, (attention.n_head, -1)).transpose(1, 2)
        for projected in (query, key, value)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention.out(mixed.transpose(1, 2).flatten(2))
