"""One model, many clients: what waits is given to it together."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from threading import Condition, Event, Thread

import numpy as np
import torch

from comsl.recordings.translation import Detector, System

logger = logging.getLogger(__name__)


class ClientGone(Exception):
    """Nobody waits for this any more."""


@dataclass
class Piece:
    """One piece of speech, with what has to be known of it, that waits for its result.

    compute: results of a list of such contents; key: the same of pieces that may share a batch.
    """

    key: tuple
    compute: Callable[[list], list[str]]
    content: tuple
    client: "Client"
    result: Future = field(default_factory=Future)


class Batcher:
    """Uses models in two threads of its own, as long as it isn't closed.

    Two batches are computed at a time, each on half of the cores: the search for texts has little
    work for a second one. What waits goes, the oldest first with all that can go along, once it is
    no less than the other batch: of many clients each batch then has half, up to `batch_size`
    pieces. on_batch: called with the number of pieces of every batch.
    """

    def __init__(self, batch_size: int, on_batch: Callable[[int], None] = lambda pieces: None):
        self.batch_size, self.on_batch = batch_size, on_batch
        self.waiting: deque[Piece] = deque()
        self.change, self.closed = Condition(), False
        self.computed = 0  # pieces
        self.cores = torch.get_num_threads()
        self.threads = [Thread(target=self._run, name="batches", daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def add(self, pieces: list[Piece]) -> None:
        """Let pieces wait for their results."""
        with self.change:
            self.waiting.extend(pieces)
            self.change.notify_all()

    def close(self) -> None:
        """End when the batches that are computed are done; what waits is cancelled."""
        with self.change:
            self.closed = True
            self.change.notify_all()
        for thread in self.threads:
            thread.join()
        for piece in self.waiting:
            piece.result.cancel()

    def _run(self) -> None:
        while batch := self._next():
            alone = self.computed == len(batch)
            torch.set_num_threads(self.cores if alone else max(1, self.cores // 2))  # of this one
            try:
                self.on_batch(len(batch))
                results = batch[0].compute([piece.content for piece in batch])
            except Exception as error:  # of the model: the clients are told, the server lives on
                logger.exception("a batch of %d pieces failed", len(batch))
                for piece in batch:
                    piece.result.set_exception(error)
            else:
                for piece, result in zip(batch, results, strict=True):
                    piece.result.set_result(result)
            with self.change:
                self.computed -= len(batch)
                self.change.notify_all()

    def _next(self) -> list[Piece]:
        """The next batch; none when it is closed."""
        with self.change:
            while not self.closed:
                kept = [piece for piece in self.waiting if not piece.client.gone.is_set()]
                alike = [piece for piece in kept if piece.key == kept[0].key]
                if alike and len(alike) >= self.computed:
                    half = ceil((len(alike) + self.computed) / 2)
                    batch = alike[: min(half, self.batch_size)]
                    taken = set(map(id, batch))
                    self.waiting = deque(piece for piece in kept if id(piece) not in taken)
                    self.computed += len(batch)
                    return batch
                self.waiting = deque(kept)
                self.change.wait()
        return []


class Client:
    """A system, and a detector, as one client of a server sees them: pieces of others may be in its
    batches. Its methods may be called in any thread; when it is `gone`, they raise ClientGone."""

    def __init__(self, batcher: Batcher, system: System, detector: Detector):
        self.batcher, self.system, self.detector = batcher, system, detector
        self.languages, self.target_lang = system.languages, system.target_lang
        self.longest = system.longest
        self.gone = Event()

    def generate(
        self, task: str, waves: list[np.ndarray], langs: list[str], **search: float
    ) -> list[str]:
        """As System."""

        def compute(contents: list[tuple[np.ndarray, str]]) -> list[str]:
            waves, langs = map(list, zip(*contents, strict=True))
            return self.system.generate(task, waves, langs, **search)

        key = self.system, task, tuple(sorted(search.items()))
        return self._results(key, compute, list(zip(waves, langs, strict=True)))

    def detect(self, waves: list[np.ndarray], languages: Sequence[str]) -> list[str]:
        """As Detector."""

        def compute(contents: list[tuple[np.ndarray]]) -> list[str]:
            return self.detector.detect([wave for (wave,) in contents], languages)

        return self._results((self.detector, tuple(languages)), compute, [(w,) for w in waves])

    def check(self) -> None:
        """ClientGone: it is."""
        if self.gone.is_set():
            raise ClientGone

    def _results(self, key: tuple, compute: Callable, contents: list[tuple]) -> list[str]:
        self.check()
        pieces = [Piece(key, compute, content, self) for content in contents]
        self.batcher.add(pieces)
        return [self._wait(piece) for piece in pieces]

    def _wait(self, piece: Piece) -> str:
        while True:
            try:
                return piece.result.result(timeout=0.2)
            except TimeoutError:
                if piece.result.done():  # the error is the system's own
                    raise
                self.check()
