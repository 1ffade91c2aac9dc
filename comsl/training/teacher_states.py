"""Decoder states of the frozen teacher, written in advance (stage 5): exact, since it never trains.

States, not logits: those of a vocabulary of 250,000 would be 250 times as large.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from comsl.corpora.targets import iter_targets
from comsl.model.language_model import LanguageModel
from comsl.parts import ALONE, Job
from comsl.precision import autocast
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer
from comsl.training.state_arks import Item, StateArks, trained_on

BATCH_TOKENS = 4000
BATCH_TEXTS = 1000  # whose tokens are counted together


class TeacherStates:
    """Runs a language model over the pairs of sets, (N + 2, d) float32 an utterance.

    path: folder of the language model; shard_utts: utterances an ark.
    """

    def __init__(self, path: Path, target_lang: str, shard_utts: int, device: str):
        self.path, self.target_lang, self.shard_utts = path, target_lang, shard_utts
        self.device = device
        self.tokenizer = Tokenizer(path)
        self.teacher = LanguageModel(path).eval().to(device)

    def extract(self, raw: Path, out: Path, job: Job = ALONE) -> None:
        """Write the states of the job's share of the set `raw` into `out`."""
        arks = StateArks(out, None, self.shard_utts, BATCH_TOKENS)
        total = sum(item.length for item in self._share(raw, job))
        arks.write(self._share(raw, job), total, self._read, self._score)

    def _share(self, raw: Path, job: Job) -> Iterator[Item]:
        """The job's utterances of a set, with the languages of their translations
        as `target`, and as length the tokens of these."""
        fields = ["text.src", "text.tgt", "utt2lang"]
        targets = iter_targets(raw, (key for key, _ in trained_on(raw, fields)), self.target_lang)
        rows = zip(trained_on(raw, fields), targets, strict=True)
        for batch in itertools.batched(job.in_turns(rows), BATCH_TEXTS):
            texts = [(values["text.tgt"], target) for (_, values), (_, target) in batch]
            lengths = self.tokenizer.lengths(*zip(*texts, strict=True))
            for ((utterance, values), (_, target)), length in zip(batch, lengths, strict=True):
                yield Item((utterance,), length, values | {"target": target})

    def _read(self, batch: Sequence[Item]) -> list[list[list[int]]]:
        """Tokens of both texts of every utterance."""
        encode = self.tokenizer.encode
        rows = [item.values for item in batch]
        return [
            [encode(row["text.src"], row["utt2lang"]), encode(row["text.tgt"], row["target"])]
            for row in rows
        ]

    @torch.no_grad()
    def _score(
        self, batch: Sequence[Item], pairs: list[list[list[int]]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Each utterance of a batch, given its tokens (source, target), with its states."""
        x, y = (Sequences.of(side, self.device) for side in zip(*pairs, strict=True))
        with autocast(self.device):
            states = self.teacher.translate(x, y)
        rows = states.float().cpu().numpy()
        for item, row, length in zip(batch, rows, y.lengths.tolist(), strict=True):
            yield item.utterances[0], row[:length]
