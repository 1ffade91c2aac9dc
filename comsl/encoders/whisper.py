"""Whisper's encoder at real lengths (docs/how-it-works.md)."""

from pathlib import Path

import torch
import torch.nn.functional as F
import whisper
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from whisper.audio import HOP_LENGTH, N_FFT, N_SAMPLES, SAMPLE_RATE, mel_filters
from whisper.model import AudioEncoder, MultiHeadAttention, ResidualAttentionBlock

from comsl.dimensions import WHISPER
from comsl.encoders.base import SpeechEncoder
from comsl.encoders.huggingface import CHECKPOINTS, read_config
from comsl.encoders.whisper_huggingface import load_encoder
from comsl.encoders.whisper_weights import load_whisper
from comsl.sequences import valid

EDGE = N_FFT // 2  # samples mirrored at either end, so that frames are centred on their time
STATE = 2 * HOP_LENGTH  # samples a state: the second convolution halves the spectrogram's frames


class WhisperEncoder(SpeechEncoder):
    """openai-whisper's AudioEncoder, its parameters and state dict unchanged, but batch-invariant.

    Whisper pads all utterances to 30 s; here each keeps its length, its log-mel maximum is its own,
    frames of padding are zeroed before each convolution, and attention sees no padding.

    model: an openai-whisper name or checkpoint path, or a folder or hub id of transformers, such as
    distil-whisper's; dims: keywords of AudioEncoder.
    """

    frame_rate = SAMPLE_RATE / STATE
    window = N_SAMPLES / SAMPLE_RATE
    shortest = EDGE + 1
    lora_targets = ("query", "value")

    @classmethod
    def around(cls, encoder: AudioEncoder, silence: float) -> "WhisperEncoder":
        """Of a network that is in memory, where that is; silence: as SpeechEncoder has it."""
        whole = cls(silence=silence, dims=encoder_dims(encoder) | {"n_layer": 0})
        device = encoder.positional_embedding.device
        whole.encoder = encoder
        return whole.to(device).eval()

    @classmethod
    def knows(cls, model: str) -> bool:
        known = model in whisper.available_models() or Path(model).suffix in CHECKPOINTS
        return known or getattr(read_config(model), "model_type", None) == "whisper"

    @classmethod
    def published(cls) -> list[str]:
        return whisper.available_models()

    @classmethod
    def published_width(cls, model: str) -> int | None:
        if model in WHISPER:
            return WHISPER[model]["n_state"]
        return getattr(read_config(model), "d_model", None)

    def load(self, model: str, downloads: str, dims: dict | None) -> AudioEncoder:
        if dims:
            encoder = AudioEncoder(**dims)
        elif read_config(model) is not None:
            encoder = load_encoder(model)
        else:
            encoder = load_whisper(model, downloads).encoder
        filters = mel_filters("cpu", encoder.conv1.in_channels).clone()
        self.register_buffer("mel_filters", filters, persistent=False)
        self.register_buffer("hann", torch.hann_window(N_FFT), persistent=False)
        return encoder

    def dims(self) -> dict[str, int]:
        return encoder_dims(self.encoder)

    def output_size(self) -> int:
        return self.encoder.ln_post.normalized_shape[0]

    def max_samples(self) -> int:
        return self.encoder.positional_embedding.shape[0] * STATE

    def count_states(self, samples: int) -> int:
        return (samples // HOP_LENGTH + 1) // 2

    def blocks(self) -> nn.ModuleList:
        return self.encoder.blocks

    def output(self) -> nn.Module:
        return self.encoder.ln_post

    def drop_front_end(self) -> None:
        del self.encoder.conv1, self.encoder.conv2, self.encoder.positional_embedding

    def front_end(self, speech: Tensor, samples: list[int]) -> Tensor:
        with torch.no_grad(), torch.autocast(speech.device.type, enabled=False):
            mel, frames = self.log_mel(speech.float(), samples)
        states = F.gelu(self.encoder.conv1(mel))
        states = states * valid(frames, states.shape[2])[:, None, :]
        states = F.gelu(self.encoder.conv2(states)).permute(0, 2, 1)
        states = states + self.encoder.positional_embedding[: states.shape[1]]
        return states * valid((frames + 1) // 2, states.shape[1])[..., None]

    def log_mel(self, speech: Tensor, samples: list[int]) -> tuple[Tensor, Tensor]:
        """Whisper's log-mel spectrogram (B, n_mels, F), zero after each utterance's end, and the
        lengths (B,) in frames (100 a second). The maximum is each utterance's own.
        """
        waves = [self.wave(row, n) for row, n in zip(speech, samples, strict=True)]
        # One by one: what is mirrored at an utterance's end is its own.
        mirrored = [F.pad(wave[None], (EDGE, EDGE), mode="reflect")[0] for wave in waves]
        spectrum = torch.stft(
            pad_sequence(mirrored, batch_first=True),
            N_FFT,
            HOP_LENGTH,
            window=self.hann,
            center=False,
            return_complex=True,
        )
        frames = torch.tensor([len(wave) // HOP_LENGTH for wave in waves], device=speech.device)
        power = spectrum[..., : frames.max()].abs() ** 2
        mel = (self.mel_filters @ power).clamp(min=1e-10).log10()
        real = valid(frames, mel.shape[2])[:, None, :]
        peak = mel.masked_fill(~real, -torch.inf).amax(dim=(1, 2), keepdim=True)
        mel = (torch.maximum(mel, peak - 8.0) + 4.0) / 4.0
        return mel * real, frames

    def run_block(
        self, block: ResidualAttentionBlock, states: Tensor, mask: Tensor | None
    ) -> Tensor:
        """The block's own forward, but for its attention."""
        attention, normed = block.attn, block.attn_ln(states)
        projections = attention.query(normed), attention.key(normed), attention.value(normed)
        key_mask = None if mask is None else mask[:, None, None, :]
        states = states + attend(attention, *projections, key_mask)
        return states + block.mlp(block.mlp_ln(states))


def encoder_dims(encoder: AudioEncoder) -> dict[str, int]:
    """Its keywords."""
    return {
        "n_mels": encoder.conv1.in_channels,
        "n_ctx": encoder.positional_embedding.shape[0],
        "n_state": encoder.ln_post.normalized_shape[0],
        "n_head": encoder.blocks[0].attn.n_head,
        "n_layer": len(encoder.blocks),
    }


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
