"""States of the frozen speech encoder, written in advance (stage 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from comsl.corpora.kaldi import Row, iter_table, row_writer
from comsl.corpora.waves import check_window, count_samples, read_wave
from comsl.dimensions import downsampling
from comsl.encoders.base import SpeechEncoder
from comsl.encoders.choices import encoder_class
from comsl.errors import DataError
from comsl.parts import ALONE, Job
from comsl.precision import autocast
from comsl.sequences import Sequences
from comsl.training.state_arks import Item, StateArks, trained_on


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
        settings = self.settings
        arks = StateArks(
            out,
            settings.compression_method,
            settings.shard_utts,
            self.batch_frames,
        )
        ratio, total = downsampling(self.kind.frame_rate), 0
        with row_writer(out) as write:
            for clip in self._share(raw, job):
                frames = self._frames(clip[0][0], clip[0][1]["wav.scp"])
                for utterance, values in clip:
                    if positions:
                        tokens = int(values["source_shape"])
                        check_room(raw, utterance, tokens, frames, ratio, positions)
                    write(utterance, {"speech_shape": str(frames)})
                total += frames
        if total:  # else there are more jobs than clips
            arks.write(self._items(raw, out, job), total, _read, self._encode)

    def _share(self, raw: Path, job: Job) -> Iterator[list[Row]]:
        """The job's clips of a set: the utterances of each, one for each language that it is
        translated into."""
        clips = groupby(trained_on(raw, ["wav.scp"]), key=lambda row: row[1]["wav.scp"])
        return (list(rows) for _, rows in job.in_turns(clips))

    def _items(self, raw: Path, out: Path, job: Job) -> Iterator[Item]:
        """The same with their frames."""
        frames = iter_table(out / "speech_shape")
        for clip in self._share(raw, job):
            (_, length), *_ = [next(frames) for _ in clip]
            utterances = tuple(utterance for utterance, _ in clip)
            yield Item(utterances, int(length), clip[0][1])

    def _frames(self, utterance: str, path: str) -> int:
        """States of an audio file. DataError: it can't be read, or is longer than the window."""
        samples = count_samples({utterance: path})
        check_window(samples, self.encoder.max_samples())
        return self.encoder.num_states(samples[utterance])

    @torch.no_grad()
    def _encode(
        self, batch: Sequence[Item], waves: list[np.ndarray]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Each utterance of a batch with its states (T, d)."""
        speech = Sequences.of(waves, self.device)
        with autocast(self.device):
            if top_blocks := self.settings.top_blocks:
                states, lengths = self.encoder.states_below(
                    top_blocks, speech.values, speech.lengths
                )
            else:
                states, lengths, _ = self.encoder(speech.values, speech.lengths)
        rows = states.float().cpu().numpy()
        for item, row, length in zip(batch, rows, lengths.tolist(), strict=True):
            yield item.utterances[0], row[:length]


def _read(batch: Sequence[Item]) -> list[np.ndarray]:
    return [read_wave(item.utterances[0], item.values["wav.scp"]) for item in batch]


def check_room(
    raw: Path, utterance: str, tokens: int, frames: int, ratio: int, positions: int
) -> None:
    """DataError: the speech and the transcript of an utterance of the set `raw`, one behind the
    other, take more positions than the language model has; `ratio` frames take one."""
    taken = tokens + 1 + -(-frames // ratio)
    if taken > positions:
        raise DataError(
            f"{raw}: utterance '{utterance}': speech and transcript take {taken} positions, the"
            f" language model has {positions}; lower --max_duration (stage 2)"
        )
