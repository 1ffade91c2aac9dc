"""Encoder states written in advance: compressed Kaldi arks that ESPnet reads (stage 5)."""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kaldiio
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from comsl.data.kaldi import read_table, write_table, write_text
from comsl.data.waves import count_samples, fingerprint, read_wave
from comsl.speech_encoder import WhisperEncoder, num_frames

FRAMES_PER_SECOND = 50


@dataclass(frozen=True)
class Settings:
    """What the files depend on, besides the audio.

    speech_encoder: Whisper model; silence: seconds appended; compression_method: Kaldi's (2 one
    byte a value, 3 two); shard_utts: utterances an ark.
    """

    speech_encoder: str
    silence: float
    compression_method: int
    shard_utts: int


class Extractor:
    """Encodes sets: `feats.scp` with `feats.<shard>.ark`, and `speech_shape` (`id T`).

    A set whose audio and settings are those of its last run is left alone; one that was
    interrupted keeps its whole shards.
    """

    def __init__(self, settings: Settings, batch_seconds: float, device: str, downloads: str):
        self.settings = settings
        self.batch_frames = batch_seconds * FRAMES_PER_SECOND
        self.device = device
        self.downloads = downloads
        self._encoder: WhisperEncoder | None = None

    @property
    def encoder(self) -> WhisperEncoder:
        """Loaded when the first set needs it."""
        if self._encoder is None:
            self._encoder = WhisperEncoder(
                self.settings.speech_encoder,
                self.settings.silence,
                trainable_blocks=0,
                downloads=self.downloads,
            )
            self._encoder.eval().to(self.device)
        return self._encoder

    def extract(self, raw: Path, out: Path) -> None:
        """Encode the set `raw` into `out`. DataError names the utterance that can't be."""
        wav_scp = read_table(raw / "wav.scp")
        _begin(out, fingerprint(wav_scp, self.settings))
        if (out / "feats.scp").is_file():
            logging.info("%s: up to date", out)
            return
        frames = {
            utterance: num_frames(samples, self.settings.silence)
            for utterance, samples in count_samples(wav_scp).items()
        }
        order = sorted(frames, key=frames.get)
        progress = _Progress(str(out), sum(frames.values()))
        feats = {}
        for number, first in enumerate(range(0, len(order), self.settings.shard_utts), start=1):
            shard = {key: frames[key] for key in order[first : first + self.settings.shard_utts]}
            scp = out / f"feats.{number}.scp"
            if scp.is_file():
                progress.skip(sum(shard.values()))
            else:
                self._write_shard(shard, wav_scp, scp, progress)
            feats |= read_table(scp)
        write_table(out / "speech_shape", {key: str(length) for key, length in frames.items()})
        write_table(out / "feats.scp", feats)

    def _write_shard(self, frames: dict[str, int], wav_scp, scp: Path, progress) -> None:
        """One ark, then its scp, whose presence says that both are whole."""
        ark = scp.with_suffix(".ark")
        new_ark, offsets = (scp.with_name(f".{scp.stem}.{kind}.tmp") for kind in ("ark", "offsets"))
        with kaldiio.WriteHelper(
            f"ark,scp:{new_ark},{offsets}", compression_method=self.settings.compression_method
        ) as writer:
            for batch in self._batches(frames):
                for utterance, states in self._encode({key: wav_scp[key] for key in batch}):
                    writer(utterance, states)
                progress.add(sum(frames[utterance] for utterance in batch))
        lines = (line.split(" ", 1) for line in offsets.read_text(encoding="utf-8").splitlines())
        new_ark.replace(ark)
        write_table(scp, {key: f"{ark}:{place.rpartition(':')[2]}" for key, place in lines})
        offsets.unlink()

    def _batches(self, frames: dict[str, int]) -> Iterator[list[str]]:
        """Runs of utterances, shortest first, filled when padded to their longest."""
        batch: list[str] = []
        for utterance, length in frames.items():
            if batch and (len(batch) + 1) * length > self.batch_frames:
                yield batch
                batch = []
            batch.append(utterance)
        yield batch

    @torch.no_grad()
    def _encode(self, wav_scp: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
        """Each utterance of a batch with its states (T, d)."""
        waves = [torch.from_numpy(read_wave(key, path)) for key, path in wav_scp.items()]
        samples = torch.tensor([len(wave) for wave in waves])
        speech = pad_sequence(waves, batch_first=True)
        states, lengths, _ = self.encoder(speech.to(self.device), samples.to(self.device))
        for key, one, length in zip(wav_scp, states.cpu().numpy(), lengths.tolist(), strict=True):
            yield key, one[:length]


def _begin(out: Path, inputs: str) -> None:
    """Keep what an earlier run made, unless it was from other audio or settings."""
    stamp = out / ".inputs"
    if not stamp.is_file() or stamp.read_text().strip() != inputs:
        shutil.rmtree(out, ignore_errors=True)
        write_text(stamp, inputs + "\n")


class _Progress:
    """A line every few seconds: how much of a set is encoded, and the time left."""

    def __init__(self, name: str, total: int):
        self.name, self.total = name, total
        self.skipped = self.done = 0
        self.started = self.last = time.monotonic()

    def skip(self, frames: int) -> None:
        """Frames that an earlier run has encoded."""
        self.skipped += frames

    def add(self, frames: int) -> None:
        """Frames that this run has encoded."""
        self.done += frames
        now, finished = time.monotonic(), self.skipped + self.done
        if now - self.last < 5 and finished < self.total:
            return
        self.last = now
        left = (now - self.started) / self.done * (self.total - finished)
        share = 100 * finished // self.total
        minutes = self.total / FRAMES_PER_SECOND / 60
        logging.info("%s: %d %% of %.1f min, %.0f s left", self.name, share, minutes, left)
