"""Whisper's own translation and transcription (baselines), batched with beam search."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from whisper.audio import N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper

from comsl.corpora.waves import Wave, check_window
from comsl.encoders.whisper import WhisperEncoder
from comsl.read_ahead import read_ahead

TASKS = {"st": "translate", "asr": "transcribe"}
MAX_TOKENS = 128  # 30 s of speech hold about 100; more is Whisper repeating itself


def decode_set(
    model: Whisper,
    listen: Callable[[Sequence[np.ndarray]], Sequence[Tensor]],
    waves: dict[str, Wave],
    language: str,
    tasks: Sequence[str],
    *,
    beam_size: int,
    batch_size: int,
    name: str,
) -> dict[str, dict[str, str]]:
    """{task: {utterance: text}} of a set in one language, every utterance encoded once.

    listen: encodes a batch, as `in_windows` or `at_own_length` do; name: of the set, in the lines
    that tell of progress.
    """
    check_window({utterance: len(wave) for utterance, wave in waves.items()}, N_SAMPLES)
    # Alike in length, a batch ends together; the longest first: memory is known at once.
    order = sorted(waves, key=lambda utterance: -len(waves[utterance]))
    texts: dict[str, dict[str, str]] = {task: {} for task in tasks}
    started = time.monotonic()

    def read(batch: list[str]) -> list[np.ndarray]:
        return [np.asarray(waves[utterance]) for utterance in batch]

    batches = (order[first : first + batch_size] for first in range(0, len(order), batch_size))
    for batch, heard in read_ahead(read, batches):
        encoded = listen(heard)
        for task in tasks:
            parts = (decode(model, features, language, task, beam_size) for features in encoded)
            texts[task].update(zip(batch, chain.from_iterable(parts), strict=True))
        done = len(texts[tasks[0]])
        left = (time.monotonic() - started) / done * (len(order) - done)
        logging.info("%s: %d of %d utterances, %.0f s left", name, done, len(order), left)
    return texts


def in_windows(model: Whisper) -> Callable[[Sequence[np.ndarray]], list[Tensor]]:
    """For `decode_set`: windows of 30 s, as published Whisper hears; a batch is decoded at once."""
    return lambda waves: [encode(model, waves)]


def at_own_length(model: Whisper, silence: float) -> Callable[[Sequence[np.ndarray]], list[Tensor]]:
    """For `decode_set`: each clip at its own length, which WhisperModel was trained on; they are
    decoded one at a time, since openai-whisper's cross-attention has no mask.

    silence: seconds of it after each clip, as in training."""
    encoder = WhisperEncoder.around(model.encoder, silence)

    @torch.no_grad()
    def listen(waves: Sequence[np.ndarray]) -> list[Tensor]:
        speech = pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
        samples = torch.tensor([len(wave) for wave in waves], device=model.device)
        states, lengths, _ = encoder(speech.to(model.device), samples)
        return [row[None, :n] for row, n in zip(states, lengths.tolist(), strict=True)]

    return listen


@torch.no_grad()
def encode(model: Whisper, waves: Sequence[np.ndarray]) -> Tensor:
    """Waveforms (samples,) at 16 kHz, at most 30 s -> states (B, 1500, d) of the 30 s window."""
    windows = (pad_or_trim(wave) for wave in waves)
    mels = [log_mel_spectrogram(w, model.dims.n_mels, device=model.device) for w in windows]
    return model.encoder(torch.stack(mels))


def decode(
    model: Whisper, features: Tensor, language: str, task: str, beam_size: int = 5
) -> list[str]:
    """Texts of encoded windows (B, 1500, d), or of clips of one length (B, T, d), the same as one
    at a time.

    language: Whisper's code of what is spoken; task: `st` (into English) or `asr`.
    """
    options = DecodingOptions(
        task=TASKS[task],
        language=language,
        beam_size=beam_size,
        sample_len=MAX_TOKENS,
        without_timestamps=True,
        fp16=False,
    )
    return BatchedTask(model, options).run(features)


class BatchedTask(DecodingTask):
    """openai-whisper's decoding, for several recordings with several beams each.

    Upstream, the encoder states of a batch are not repeated for its beams, and the search fails.
    Repeating them would compute and read the same keys and values once a beam: here the beams of
    a recording are queries into its one copy.
    """

    @torch.no_grad()
    def run(self, features: Tensor) -> list[str]:
        """States (B, T, d) -> B texts."""
        size = len(features)
        self.decoder.reset()
        start = torch.tensor([self.initial_tokens], device=features.device)
        with _beams_as_queries(self.model, size * self.n_group):
            tokens, scores, _ = self._main_loop(features, start.repeat(size * self.n_group, 1))
        candidates, scores = self.decoder.finalize(
            tokens.reshape(size, self.n_group, -1), scores.reshape(size, self.n_group)
        )
        texts = [[self._text_tokens(beam) for beam in beams] for beams in candidates]
        best = self.sequence_ranker.rank(texts, scores)
        return [
            self.tokenizer.decode(beams[index].tolist()).strip()
            for beams, index in zip(texts, best, strict=True)
        ]

    def _text_tokens(self, tokens: Tensor) -> Tensor:
        """Between the prompt and the first end of text."""
        end = (tokens == self.tokenizer.eot).nonzero()[0, 0]
        return tokens[self.sample_begin : end]


@contextmanager
def _beams_as_queries(model: Whisper, rows: int) -> Iterator[None]:
    """Let cross-attention fold the beams (rows, 1, d) of B recordings into (B, beams, d).

    It has no mask and no positions: queries do not see one another.
    """

    def fold(_, args):
        queries, states = args
        return queries.reshape(len(states), -1, queries.shape[-1]), states

    def unfold(_, args, output):
        mixed, weights = output
        return mixed.reshape(rows, -1, mixed.shape[-1]), weights

    hooks = []
    for block in model.decoder.blocks:
        hooks.append(block.cross_attn.register_forward_pre_hook(fold))
        hooks.append(block.cross_attn.register_forward_hook(unfold))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
