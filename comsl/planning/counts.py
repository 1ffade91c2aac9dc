"""What ComSL costs, counted from its dimensions: parameters, FLOPs, values kept for the backward
pass.

FLOPs are those of matrix products, convolutions and attention, a multiplication and an addition
being two, as PyTorch's own counter has it. Where nothing else is said they are of the forward pass
over one utterance, without padding; the backward pass costs twice as much.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from comsl.dimensions import MBART_50, WHISPER, downsampling

FRAME_RATE = 50  # Whisper's
FFT_BINS = 201  # of Whisper's spectrogram
MASKED = 0.15  # share of the transcript that MTP scores
BRANCHES = 6  # of the decoder, in one call: mt, st, asr, stm_x, stm_y, mtp


@dataclass(frozen=True)
class SpeechSize:
    """Whisper: mel bins, width of its states, blocks of its encoder (and of its decoder)."""

    mels: int
    width: int
    layers: int

    @classmethod
    def of(cls, dims: Mapping[str, int]) -> "SpeechSize":
        """From keywords of openai-whisper's AudioEncoder."""
        return cls(dims["n_mels"], dims["n_state"], dims["n_layer"])


@dataclass(frozen=True)
class LanguageSize:
    """A Transformer with encoder, decoder and tied embeddings: width, width inside the feed-forward
    modules, layers, vocabulary, positions."""

    width: int
    inner: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    positions: int

    @classmethod
    def of(cls, config: Mapping[str, int], added: int = 0) -> "LanguageSize":
        """From keywords of MBartConfig, and the number of tokens that are added."""
        return cls(
            config["d_model"],
            config["encoder_ffn_dim"],
            config["encoder_layers"],
            config["decoder_layers"],
            config["vocab_size"] + added,
            config["max_position_embeddings"],
        )


@dataclass(frozen=True)
class Size:
    """Of a composite model."""

    speech: SpeechSize
    language: LanguageSize


@dataclass(frozen=True)
class Clip:
    """Lengths of an utterance: speech encoder frames (50 a second), tokens of transcript and of
    translation with their codes and `</s>`; means may be fractions."""

    frames: float
    source: float
    target: float

    @property
    def positions(self) -> float:
        """Of `E_s`: the adapter's frames, and the language code."""
        return 1 + self.frames / downsampling(FRAME_RATE)


MBART = LanguageSize.of(MBART_50, added=2)  # codes of Welsh and Catalan
SIZES = {
    "embedded": Size(SpeechSize.of(WHISPER["base"]), LanguageSize(256, 1024, 4, 3, 8420, 512)),
    "medium": Size(SpeechSize.of(WHISPER["medium"]), MBART),
    "large": Size(SpeechSize.of(WHISPER["large-v2"]), MBART),
}


def whisper_decoder(speech: SpeechSize) -> LanguageSize:
    """The decoder of the multilingual Whisper that the speech encoder is from."""
    return LanguageSize(speech.width, 4 * speech.width, 0, speech.layers, 51_865, 448)


# Parameters


def speech_encoder_parameters(size: SpeechSize) -> int:
    """Of Whisper's encoder: two convolutions, blocks (keys without bias), final norm."""
    w = size.width
    return 3 * size.mels * w + w + 3 * w * w + w + size.layers * block_parameters(w) + 2 * w


def block_parameters(width: int) -> int:
    """Of one block of Whisper's encoder."""
    return 12 * width**2 + 12 * width


def adapter_parameters(size: Size) -> int:
    """Of the feed-forward modules with their norms, and the convolutions."""
    d = size.language.width
    return sum(8 * w * w + 5 * w + 2 * w + (3 * w + 1) * 2 * d for w in (size.speech.width, d))


def language_model_parameters(size: LanguageSize) -> int:
    """Of mBART: embeddings, positions (two more than it has), layers, four norms outside them."""
    d, f = size.width, size.inner
    attention, feed_forward = 4 * (d * d + d) + 2 * d, 2 * d * f + f + d + 2 * d
    encoder = size.encoder_layers * (attention + feed_forward)
    decoder = size.decoder_layers * (2 * attention + feed_forward)
    return size.vocabulary * d + 2 * (size.positions + 2) * d + encoder + decoder + 8 * d


# FLOPs of a forward pass


def encode_speech(size: SpeechSize, frames: float) -> float:
    """Whisper's encoder, from samples to `frames` states."""
    w = size.width
    second = 2 * frames * 3 * w * w
    blocks = size.layers * attend_and_feed(w, 4 * w, frames)
    return log_mel(size, frames) + first_convolution(size, frames) + second + blocks


def log_mel(size: SpeechSize, frames: float) -> float:
    """The mel filters: two spectra a frame."""
    return 2 * 2 * frames * FFT_BINS * size.mels


def first_convolution(size: SpeechSize, frames: float) -> float:
    """Over the log-mel spectrogram."""
    return 2 * 2 * frames * 3 * size.mels * size.width


def attend_and_feed(width: int, inner: int, positions: float) -> float:
    """One encoder layer, Whisper's or mBART's: self-attention and feed-forward."""
    projections = 2 * positions * (4 * width**2 + 2 * width * inner)
    return projections + 4 * positions**2 * width


def adapt(size: Size, frames: float) -> float:
    """The adapter, which halves the frames twice."""
    d, flops = size.language.width, 0.0
    for width in (size.speech.width, d):
        flops += 2 * frames * 8 * width**2
        frames /= 2
        flops += 2 * frames * 3 * width * 2 * d
    return flops


def encode(size: LanguageSize, positions: float) -> float:
    """mBART's encoder."""
    return size.encoder_layers * attend_and_feed(size.width, size.inner, positions)


def decode(size: LanguageSize, tokens: float, memory: float) -> float:
    """The decoder's layers over `tokens`, looking at `memory` encoder states; no LM head."""
    d = size.width
    projections = 2 * tokens * (6 * d * d + 2 * d * size.inner) + 2 * memory * 2 * d * d
    return size.decoder_layers * (projections + 4 * tokens * (tokens + memory) * d)


def score(size: LanguageSize, tokens: float) -> float:
    """The LM head."""
    return 2 * tokens * size.width * size.vocabulary


# FLOPs of an update, backward pass included, for each of its utterances


def train_language_model(size: LanguageSize, clip: Clip) -> float:
    """Fine-tuning on text (stage 3)."""
    layers = encode(size, clip.source) + decode(size, clip.target, clip.source)
    return 3 * (layers + score(size, clip.target - 1))


def train_frozen(size: Size, clip: Clip) -> float:
    """All objectives on cached states of speech encoder and teacher (stage 6, frozen phase)."""
    speech, language = size.speech, size.language
    lengths = (clip.source, clip.positions, clip.source + clip.positions)
    layers = adapt(size, clip.frames) + sum(encode(language, length) for length in lengths)
    tokens, memory = max(clip.source, clip.target), max(clip.source, clip.positions)
    layers += BRANCHES * decode(language, tokens, memory)
    no_gradient = 2 * clip.frames * 4 * speech.width**2  # towards the cached states
    return 3 * layers - no_gradient + train_likelihood(language, clip)


def train_likelihood(size: LanguageSize, clip: Clip) -> float:
    """Logits and their gradients for the tokens of all branches, logits of the teacher."""
    masked = max(1.0, MASKED * (clip.source - 2))
    scored = 3 * (clip.target - 1) + 2 * (clip.source - 1) + masked
    return 3 * score(size, scored) + score(size, clip.target - 1)


def train_joint(size: Size, clip: Clip, trained_blocks: int | None = None) -> float:
    """The same with the speech encoder, of which the last `trained_blocks` (None: all) train."""
    speech = size.speech
    encoder = encode_speech(speech, clip.frames)
    if trained_blocks is None:  # nothing goes back beyond the first convolution
        encoder = 3 * encoder - 2 * log_mel(speech, clip.frames)
        encoder -= first_convolution(speech, clip.frames)
    else:
        block = attend_and_feed(speech.width, 4 * speech.width, clip.frames)
        encoder += 2 * trained_blocks * block
    return encoder + train_frozen(size, clip)


# Values kept for the backward pass of an update, for each of its utterances; dropout's masks, which
# GPUs keep as bytes, are left out


def keep_frozen(size: Size, clip: Clip, checkpointing: bool = False) -> float:
    """By adapter, language encoder and decoder. A layer keeps the input and output of its norms,
    queries, keys and values, attention's and feed-forward's inside; with activation checkpointing
    its input alone."""
    language = size.language
    d, f = language.width, language.inner
    encoder, decoder, cross = (d, d, 0) if checkpointing else (8 * d + 2 * f, 12 * d + 2 * f, 2 * d)
    positions = 2 * (clip.source + clip.positions)  # text, speech, and both in one
    tokens, memory = max(clip.source, clip.target), max(clip.source, clip.positions)
    kept = language.encoder_layers * encoder * positions
    kept += BRANCHES * language.decoder_layers * (decoder * tokens + cross * memory)
    kept += BRANCHES * d * memory + keep_adapter(size, clip.frames)
    return kept


def keep_adapter(size: Size, frames: float) -> float:
    """By both layers of the adapter."""
    d = size.language.width
    return frames * (7 * size.speech.width + d) + frames / 2 * 8 * d


def keep_joint(
    size: Size, clip: Clip, trained_blocks: int | None = None, checkpointing: bool = False
) -> float:
    """The same, with the trained blocks of the speech encoder."""
    blocks = size.speech.layers if trained_blocks is None else trained_blocks
    values = size.speech.width if checkpointing else 16 * size.speech.width
    return keep_frozen(size, clip, checkpointing) + blocks * values * clip.frames
