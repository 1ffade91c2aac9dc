"""States of a frozen network as Kaldi arks that ESPnet reads: sharded, resumable (stage 5)."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import kaldiio
import numpy as np

from comsl.corpora.kaldi import read_table, write_table
from comsl.read_ahead import read_ahead

# Utterances of a batch -> what they are encoded from, read ahead; that -> each with its states.
Read = Callable[[list[str]], object]
Encode = Callable[[list[str], object], Iterable[tuple[str, np.ndarray]]]


def trained_on(raw: Path, table: dict[str, str]) -> dict[str, str]:
    """Of a table of the set `raw` all but what stage 3 left out: its texts are too long."""
    shapes = raw / "source_shape"
    trained = read_table(shapes) if shapes.is_file() else table
    return {key: value for key, value in table.items() if key in trained}


class StateArks:
    """A folder with `feats.scp` and `feats.<shard>.ark`.

    Writing that was interrupted goes on after the shards that are whole.
    compression_method: Kaldi's (2 one byte a value, 3 two, None float32); shard_utts: utterances
    an ark; batch_frames: length of a batch, when padded.
    """

    def __init__(
        self,
        out: Path,
        compression_method: int | None,
        shard_utts: int,
        batch_frames: float,
    ):
        self.out = out
        self.compression_method = compression_method
        self.shard_utts = shard_utts
        self.batch_frames = batch_frames

    def write(self, lengths: dict[str, int], read: Read, encode: Encode) -> None:
        """Write every utterance's states.

        lengths: frames of every utterance; encode: a batch of utterances with what `read` makes of
        it -> each with its states (frames, d), float32.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        if not (self.out / "feats.scp").is_file():
            write_table(self.out / "feats.scp", self._write_shards(lengths, read, encode))
        for scp in self.out.glob("feats.*.scp"):
            scp.unlink()

    def _write_shards(self, lengths: dict[str, int], read: Read, encode: Encode) -> dict[str, str]:
        """The lines of feats.scp."""
        order = sorted(lengths, key=lengths.get)
        progress = _Progress(str(self.out), sum(lengths.values()))
        feats = {}
        for number, first in enumerate(range(0, len(order), self.shard_utts), start=1):
            shard = {key: lengths[key] for key in order[first : first + self.shard_utts]}
            scp = self.out / f"feats.{number}.scp"
            if scp.is_file():
                progress.skip(sum(shard.values()))
            else:
                states = self._encode(shard, read, encode, progress)
                self._write_shard(states, scp)
            feats |= read_table(scp)
        return feats

    def _encode(
        self, lengths: dict[str, int], read: Read, encode: Encode, progress: "_Progress"
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Each utterance of a shard with its states."""
        for batch, inputs in read_ahead(read, self._batches(lengths)):
            yield from encode(batch, inputs)
            progress.add(sum(lengths[utterance] for utterance in batch))

    def _write_shard(self, states: Iterable[tuple[str, np.ndarray]], scp: Path) -> None:
        """One ark, then its scp, whose presence says that both are whole."""
        ark = scp.with_suffix(".ark")
        new_ark, offsets = (scp.with_name(f".{scp.stem}.{kind}.tmp") for kind in ("ark", "offsets"))
        with kaldiio.WriteHelper(
            f"ark,scp:{new_ark},{offsets}", compression_method=self.compression_method
        ) as writer:
            for utterance, matrix in states:
                writer(utterance, matrix)
        lines = (line.split(" ", 1) for line in offsets.read_text(encoding="utf-8").splitlines())
        new_ark.replace(ark)
        write_table(scp, {key: f"{ark}:{place.rpartition(':')[2]}" for key, place in lines})
        offsets.unlink()

    def _batches(self, lengths: dict[str, int]) -> Iterator[list[str]]:
        """Runs of utterances, shortest first, filled when padded to their longest."""
        batch: list[str] = []
        for utterance, length in lengths.items():
            if batch and (len(batch) + 1) * length > self.batch_frames:
                yield batch
                batch = []
            batch.append(utterance)
        yield batch


class _Progress:
    """A line every few seconds: how much of a set is written, and the time left."""

    def __init__(self, name: str, total: int):
        self.name, self.total = name, total
        self.skipped = self.done = 0
        self.started = self.last = time.monotonic()

    def skip(self, frames: int) -> None:
        """Frames that an earlier run has written."""
        self.skipped += frames

    def add(self, frames: int) -> None:
        """Frames that this run has written."""
        self.done += frames
        now, finished = time.monotonic(), self.skipped + self.done
        if now - self.last < 5 and finished < self.total:
            return
        self.last = now
        left = (now - self.started) / self.done * (self.total - finished)
        share = 100 * finished // self.total
        logging.info("%s: %d %% of %d frames, %.0f s left", self.name, share, self.total, left)
