"""Decoder states of the frozen teacher, written in advance (stage 5): exact, since it never trains.

States, not logits: those of a vocabulary of 250,000 would be 250 times as large.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from comsl.corpora.kaldi import read_table
from comsl.corpora.targets import read_targets
from comsl.model.language_model import LanguageModel
from comsl.parts import ALONE, Job
from comsl.precision import autocast
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer
from comsl.training.state_arks import StateArks, trained_on

BATCH_TOKENS = 4000


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
        names = ("text.src", "text.tgt", "utt2lang")
        tables = [read_table(raw / name, empty_ok=name == "text.src") for name in names]
        tables = [trained_on(raw, table) for table in tables]
        arks = StateArks(out, None, self.shard_utts, BATCH_TOKENS)
        tables.append(read_targets(raw, tables[0], self.target_lang))
        pairs = {key: tuple(table[key] for table in tables) for key in tables[0]}
        lengths = self.tokenizer.lengths([target for _, target, *_ in pairs.values()])
        lengths = dict(zip(pairs, lengths, strict=True))
        lengths = {utterance: lengths[utterance] for utterance in job.share(lengths)}

        def read(batch: list[str]) -> list[list[list[int]]]:
            """Tokens of both texts of every utterance."""
            encode = self.tokenizer.encode
            rows = (pairs[utterance] for utterance in batch)
            return [[encode(x, lang), encode(y, target)] for x, y, lang, target in rows]

        arks.write(lengths, read, self._score)

    @torch.no_grad()
    def _score(
        self, batch: list[str], pairs: list[list[list[int]]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Each utterance of a batch, given its tokens (source, target), with its states."""
        x, y = (self._pad(side) for side in zip(*pairs, strict=True))
        with autocast(self.device):
            states = self.teacher.translate(x, y)
        rows = states.float().cpu().numpy()
        for utterance, row, length in zip(batch, rows, y.lengths.tolist(), strict=True):
            yield utterance, row[:length]

    def _pad(self, tokens: tuple[list[int], ...]) -> Sequences:
        rows = [torch.tensor(row) for row in tokens]
        lengths = torch.tensor([len(row) for row in rows])
        values = pad_sequence(rows, batch_first=True)
        return Sequences(values.to(self.device), lengths.to(self.device))
