"""States of the frozen speech encoder, written in advance (stage 5)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.waves import check_window, count_samples, read_wave
from comsl.dimensions import downsampling
from comsl.encoders.base import SpeechEncoder
from comsl.encoders.choices import encoder_class
from comsl.errors import DataError
from comsl.parts import ALONE, Job
from comsl.precision import autocast
from comsl.training.state_arks import StateArks, trained_on


@dataclass(frozen=True)
class Settings:
    """What the files depend on, besides the audio.

    speech_encoder: its model; silence: seconds appended; top_blocks: states are those below so many
    of its last blocks, 0 is its output; compression_method, shard_utts: as StateArks has them.
    """

    speech_encoder: str
    silence: float
    top_blocks: int
    compression_method: int
    shard_utts: int


class EncoderStates:
    """Encodes sets: `feats.scp`, and `speech_shape` (`id T`)."""

    def __init__(self, settings: Settings, batch_seconds: float, device: str, downloads: str):
        self.settings = settings
        self.kind = encoder_class(settings.speech_encoder)
        self.batch_frames = batch_seconds * self.kind.frame_rate
        self.device = device
        self.downloads = downloads
        self._encoder: SpeechEncoder | None = None

    @property
    def encoder(self) -> SpeechEncoder:
        """Loaded when the first set needs it."""
        if self._encoder is None:
            self._encoder = self.kind(
                self.settings.speech_encoder,
                self.settings.silence,
                trainable_blocks=0,
                downloads=self.downloads,
            )
            self._encoder.eval().to(self.device)
        return self._encoder

    def extract(self, raw: Path, out: Path, positions: int | None = None, job: Job = ALONE) -> None:
        """Encode the job's share of the set `raw` into `out`: a clip once, whatever is made of it.

        positions: of the language model that will take the states. DataError names the utterance
        that can't be encoded, or that has no room in it.
        """
        wav_scp = read_table(raw / "wav.scp")
        settings = self.settings
        arks = StateArks(
            out,
            settings.compression_method,
            settings.shard_utts,
            self.batch_frames,
        )
        samples = count_samples(wav_scp)
        check_window(samples, self.encoder.max_samples())
        clips = utterances_by_clip(wav_scp)
        mine = job.share({first: samples[first] for first in clips})
        frames = {first: self.encoder.num_states(samples[first]) for first in mine}
        lengths = {key: str(frames[first]) for first in mine for key in clips[first]}
        shapes = trained_on(raw, lengths)
        write_table(out / "speech_shape", shapes)
        if positions:
            check_room(raw, shapes, downsampling(self.kind.frame_rate), positions)

        def read(batch: list[str]) -> list[np.ndarray]:
            return [read_wave(utterance, wav_scp[utterance]) for utterance in batch]

        arks.write(frames, read, self._encode)
        places = read_table(out / "feats.scp")
        places = {key: places[first] for first in mine for key in clips[first]}
        write_table(out / "feats.scp", places)

    @torch.no_grad()
    def _encode(
        self, batch: list[str], waves: list[np.ndarray]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Each utterance of a batch with its states (T, d)."""
        samples = torch.tensor([len(wave) for wave in waves])
        speech = pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
        speech, samples = speech.to(self.device), samples.to(self.device)
        with autocast(self.device):
            if top_blocks := self.settings.top_blocks:
                states, lengths = self.encoder.states_below(top_blocks, speech, samples)
            else:
                states, lengths, _ = self.encoder(speech, samples)
        rows = states.float().cpu().numpy()
        for utterance, row, length in zip(batch, rows, lengths.tolist(), strict=True):
            yield utterance, row[:length]


def utterances_by_clip(wav_scp: dict[str, str]) -> dict[str, list[str]]:
    """First utterance of a file -> all of it: a clip has one for each language that it is
    translated into."""
    files = defaultdict(list)
    for utterance, path in wav_scp.items():
        files[path].append(utterance)
    return {utterances[0]: utterances for utterances in files.values()}


def check_room(raw: Path, frames: dict[str, str], ratio: int, positions: int) -> None:
    """DataError names the utterance whose speech and transcript, one behind the
    other, take more positions than the language model has; `ratio` frames take one."""
    tokens = read_table(raw / "source_shape")
    for utterance, length in frames.items():
        taken = int(tokens[utterance]) + 1 + -(-int(length) // ratio)
        if taken > positions:
            raise DataError(
                f"{raw}: utterance '{utterance}': speech and transcript take {taken} positions, the"
                f" language model has {positions}; lower --max_duration (stage 2)"
            )
