"""States of a frozen network as Kaldi arks that ESPnet reads: sharded, resumable (stage 5)."""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import kaldiio
import numpy as np

from comsl.corpora.kaldi import Row, iter_table, row_writer, rows_of, write_table
from comsl.read_ahead import read_ahead


class Item(NamedTuple):
    """What gets states: the utterances that share them, how many frames, and the first one's values
    in the tables."""

    utterances: tuple[str, ...]
    length: int
    values: dict[str, str]


# Items of a batch -> what they are encoded from, read ahead; that -> the first utterance of each,
# with the states.
Read = Callable[[Sequence[Item]], object]
Encode = Callable[[Sequence[Item], object], Iterable[tuple[str, np.ndarray]]]


def trained_on(raw: Path, fields: Iterable[str]) -> Iterator[Row]:
    """Of the tables of the set `raw` all but what stage 3 left out: its texts are too long."""
    tables = {field: iter_table(raw / field, empty_ok=field == "text.src") for field in fields}
    shapes = raw / "source_shape"
    if shapes.is_file():
        tables["source_shape"] = iter_table(shapes)
    return (row for row in rows_of(tables) if row[1].keys() == tables.keys())


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

    def write(self, items: Iterable[Item], total: int, read: Read, encode: Encode) -> None:
        """Write every item's states; those of an ark are sorted by length before.

        items: in the order of ids; total: frames of all; encode: a batch of items with what `read`
        makes of it -> the first utterance of each, with states (frames, d), float32.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        if not (self.out / "feats.scp").is_file():
            shards = self._write_shards(items, total, read, encode)
            with row_writer(self.out) as write:
                for key, place in itertools.chain.from_iterable(map(iter_table, shards)):
                    write(key, {"feats.scp": place})
        for scp in self.out.glob("feats.*.scp"):
            scp.unlink()

    def _write_shards(
        self, items: Iterable[Item], total: int, read: Read, encode: Encode
    ) -> list[Path]:
        """Their tables of places."""
        progress = _Progress(str(self.out), total)
        shards = []
        for number, shard in enumerate(itertools.batched(items, self.shard_utts), start=1):
            shards.append(scp := self.out / f"feats.{number}.scp")
            if scp.is_file():
                progress.skip(sum(item.length for item in shard))
            else:
                states = self._encode(shard, read, encode, progress)
                self._write_shard(shard, states, scp)
        return shards

    def _encode(
        self, items: Sequence[Item], read: Read, encode: Encode, progress: "_Progress"
    ) -> Iterator[tuple[str, np.ndarray]]:
        """The states of a shard's items."""
        for batch, inputs in read_ahead(read, self._batches(items)):
            yield from encode(batch, inputs)
            progress.add(sum(item.length for item in batch))

    def _write_shard(
        self, items: Sequence[Item], states: Iterable[tuple[str, np.ndarray]], scp: Path
    ) -> None:
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
        places = {key: f"{ark}:{place.rpartition(':')[2]}" for key, place in lines}
        write_table(
            scp, {key: places[item.utterances[0]] for item in items for key in item.utterances}
        )
        offsets.unlink()

    def _batches(self, items: Sequence[Item]) -> Iterator[list[Item]]:
        """Items of like length, shortest first, filled when padded to their longest."""
        batch: list[Item] = []
        for item in sorted(items, key=lambda item: item.length):
            if batch and (len(batch) + 1) * item.length > self.batch_frames:
                yield batch
                batch = []
            batch.append(item)
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
