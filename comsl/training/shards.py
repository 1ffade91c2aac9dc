"""Training data of thousands of hours: read in sequence from shards, a few of them in memory.

A folder holds tar archives, one a field and shard, whose files are in the order of the shard's
lines: texts.000001.jsonl, audio.000001.tar, states.000001.tar, teacher.000001.tar. That is lhotse's
Shar: a phase of the training opens the fields that it takes, and no others. lengths.npy (N, 3) has
the tokens of transcript and translation and the frames of speech of all utterances, shard by shard;
from it alone follows which utterances make the next batch, so that a training can go on anywhere.
"""

import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import worker_init_fn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from comsl.corpora.archives import reading
from comsl.errors import DataError
from comsl.files import read_lines
from comsl.training.batch_sampler import cut_batches

BUFFER = 4  # shards whose utterances are mixed


@dataclass(frozen=True)
class Shards:
    """A folder of shards of `size` utterances each; fewer than that are left in the last."""

    folder: Path
    size: int
    fields: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path) -> "Shards":
        """DataError: there are none, or they aren't whole."""
        try:
            about = json.loads((folder / "shards.json").read_text("utf-8"))
            return cls(folder, about["size"], tuple(about["fields"]))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{folder}: no shards, or not whole ({error}); rerun stage 5") from None

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N, 3), on the disk."""
        return np.load(self.folder / "lengths.npy", mmap_mode="r")

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.size)

    def rows(self, shard: int) -> range:
        """Places of a shard's utterances among all."""
        return range(shard * self.size, min((shard + 1) * self.size, len(self.lengths)))

    def path(self, field: str, shard: int) -> Path:
        """A shard's file."""
        return self.folder / f"{field}.{shard:06}.{'jsonl' if field == 'texts' else 'tar'}"

    def read(self, shard: int, fields: Sequence[str]) -> Iterator[dict]:
        """A shard's utterances: `id`, texts, and of each field the bytes. DataError: not those that
        the texts say."""
        streams = [_members(self.path(field, shard)) for field in fields]
        lines = read_lines(self.path("texts", shard))
        for number, (line, *files) in enumerate(zip(lines, *streams, strict=True)):
            row = json.loads(line)
            for field, (name, content) in zip(fields, files, strict=True):
                if name != str(number):
                    raise DataError(f"{self.path(field, shard)}: '{name}' for '{number}'")
                row[field] = content
            yield row


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a tar archive. DataError: it is damaged."""
    with reading(path), tarfile.open(path, "r|") as tar:
        for member in tar:
            yield member.name, tar.extractfile(member).read()


@dataclass(frozen=True)
class Buffer:
    """Shards that are in memory together, and the batches of their utterances, by place."""

    shards: list[int]
    batches: list[tuple[int, ...]]


@dataclass(frozen=True)
class Plan:
    """What a process trains on: pass after pass over its share of the shards, in another order each
    time; utterances of some shards are mixed, sorted by length, cut into batches and those mixed.

    rank, world: this process, of how many; each has as many shards of a pass, none in common.
    DataError: there are fewer shards than processes.
    """

    shards: Shards
    batch_bins: int
    seed: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self):
        if len(self.shards) < self.world:
            raise DataError(
                f"{self.shards.folder}: {len(self.shards)} shards for {self.world} processes: train"
                " with fewer, or without --shards"
            )

    def buffer(self, number: int) -> Buffer:
        """The buffers are numbered through all passes."""
        share = len(self.shards) // self.world
        turn, place = divmod(number, -(-share // BUFFER))
        order = np.random.default_rng((self.seed, turn)).permutation(len(self.shards))
        mine = order[self.rank :: self.world][:share]
        chosen = [int(shard) for shard in mine[place * BUFFER : (place + 1) * BUFFER]]
        rows = [row for shard in chosen for row in self.shards.rows(shard)]
        lengths = {row: tuple(map(int, self.shards.lengths[row])) for row in rows}
        chance = random.Random(f"{self.seed} {self.rank} {number}")
        chance.shuffle(rows)
        batches = cut_batches(rows, lengths, self.batch_bins, edge=chance.random())
        chance.shuffle(batches)
        return Buffer(chosen, batches)

    def buffers(self, start: int = 0) -> Iterator[tuple[int, Buffer]]:
        """All, from one of them on, with their numbers."""
        while True:
            yield start, self.buffer(start)
            start += 1


@dataclass(frozen=True)
class Place:
    """Where an epoch begins: at a batch of a buffer."""

    buffer: int = 0
    batch: int = 0

    def after(self, plan: Plan, count: int) -> "Place":
        """The place so many batches later."""
        count += self.batch
        for number, buffer in plan.buffers(self.buffer):
            if count < len(buffer.batches):
                return Place(number, count)
            count -= len(buffer.batches)


class ShardDataset(IterableDataset):
    """The batches of an epoch: lists of (id, data), of which each worker reads its share.

    fields: name of the data -> the shards' field that it is in. preprocess: as ESPnet's datasets
    have it.
    """

    def __init__(
        self,
        plan: Plan,
        fields: dict[str, str],
        start: Place,
        count: int,
        preprocess: Callable[[str, dict], dict],
    ):
        self.plan, self.fields, self.preprocess = plan, fields, preprocess
        self.start, self.count = start, count

    def __iter__(self) -> Iterator[list[tuple[str, dict]]]:
        worker = get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        done = -self.start.batch  # of the epoch
        for _, buffer in self.plan.buffers(self.start.buffer):
            places = [
                batch
                for number, batch in enumerate(buffer.batches, start=done)
                if 0 <= number < self.count and number % workers == mine
            ]
            yield from self._read(buffer.shards, places)
            done += len(buffer.batches)
            if done >= self.count:
                return

    def _read(
        self, shards: list[int], batches: list[tuple[int, ...]]
    ) -> Iterator[list[tuple[str, dict]]]:
        """Some batches of a buffer."""
        wanted = {row for batch in batches for row in batch}
        packed = {}
        for shard in shards if wanted else ():
            rows = self.plan.shards.rows(shard)
            items = self.plan.shards.read(shard, list(self.fields.values()))
            packed |= {row: item for row, item in zip(rows, items, strict=True) if row in wanted}
        for batch in batches:
            yield [self._unpack(packed.pop(row)) for row in batch]

    def _unpack(self, item: dict) -> tuple[str, dict]:
        key = item.pop("id")
        data = {name: decode(field, item.pop(field)) for name, field in self.fields.items()}
        return key, self.preprocess(key, item | data)


def decode(field: str, content: bytes) -> np.ndarray:
    """Samples (T,) of audio, or states (T, d), float32."""
    if field == "audio":
        import soundfile

        return soundfile.read(io.BytesIO(content), dtype="float32")[0]
    import kaldiio

    return kaldiio.matio.read_kaldi(io.BytesIO(content)).astype(np.float32, copy=False)


class ShardIterFactory(AbsIterFactory):
    """ESPnet's source of a training's batches: each epoch goes on where the one before it ends.

    Which batches those are depends on the epoch's number and the seed alone, neither on the number
    of workers nor on when the training was begun.
    """

    def __init__(
        self,
        plan: Plan,
        fields: dict[str, str],
        num_iters_per_epoch: int,
        num_workers: int,
        preprocess: Callable[[str, dict], dict],
        collate_fn: Callable,
        pin_memory: bool = False,
    ):
        self.plan, self.fields, self.count = plan, fields, num_iters_per_epoch
        self.preprocess, self.collate_fn = preprocess, collate_fn
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self._epoch, self._start = 1, Place()

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> DataLoader:
        """An epoch, counted from 1. They are asked for in their order."""
        if epoch < self._epoch:
            self._epoch, self._start = 1, Place()
        self._start = self._start.after(self.plan, (epoch - self._epoch) * self.count)
        self._epoch = epoch
        return DataLoader(
            ShardDataset(self.plan, self.fields, self._start, self.count, self.preprocess),
            batch_size=None,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            pin_memory=self.pin_memory,
            worker_init_fn=partial(worker_init_fn, base_seed=epoch + self.plan.seed),
        )
