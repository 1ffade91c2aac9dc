"""What dev and test say, in either language, and no further training data may repeat."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from comsl.corpora.dropped import Dropped
from comsl.corpora.kaldi import TARGETS, Row, Tables, iter_table, read_dir, read_rows, rows_of
from comsl.corpora.text import letters
from comsl.errors import DataError


@dataclass(frozen=True)
class HeldOut:
    """utterances: ids that are used already -> the set that has them; transcripts, translations:
    the sentences of dev and test, as `letters` gives them -> the set."""

    utterances: dict[str, str]
    transcripts: dict[str, str]
    translations: dict[str, str]

    def reason(self, utterance: str, transcript: str, translation: str = "") -> str | None:
        """Why an utterance must not be trained on; None if it may. Texts may be unknown, ""."""
        if home := self.utterances.get(utterance):
            return f"the same utterance is in {home}"
        if home := self.transcripts.get(letters(transcript)):
            return f"the same transcript is in {home}"
        if home := self.translations.get(letters(translation)):
            return f"its translation is a reference of {home}: {translation}"
        return None


def read_held_out(raw: Path, held_out: str) -> HeldOut:
    """The sets held out, such as "dev test", of the folder `raw`. Of several test sets the first
    must be there, as dev must: a corpus need not have further ones. DataError: one is missing."""
    known = HeldOut({}, {}, {})
    for folder in held_out_folders(raw, held_out):
        name, tables = folder.name, read_dir(folder)
        known.utterances.update(dict.fromkeys(tables["utt2lang"], name))
        sides = [
            {letters(text): name for text in tables[field].values()}
            for field in ("text.src", "text.tgt")
        ]
        if TARGETS in tables:  # a reference may be the transcript of the other direction
            sides = [sides[0] | sides[1]] * 2
        known.transcripts.update(sides[0])
        known.translations.update(sides[1])
    return known


def read_known(train: Path, held_out: str) -> HeldOut:
    """The same, and the ids of the training set, which lies beside them."""
    known = read_held_out(train.parent, held_out)
    for utterance, _ in iter_table(train / "utt2lang"):
        known.utterances.setdefault(utterance, train.name)
    return known


def held_out_folders(raw: Path, held_out: str) -> list[Path]:
    """Those of the sets held out that must be there, dev and a test set, or are."""
    folders = [raw / name for name in held_out.split()]
    return folders[:2] + [folder for folder in folders[2:] if folder.is_dir()]


def leave_out(tables: Tables, known: HeldOut) -> tuple[Tables, list[Dropped]]:
    """The tables of a set without what is used or held out, and what was left out.
    DataError: nothing is left."""
    tables, dropped = without(tables, repeats(tables, known))
    if not tables["utt2lang"]:
        raise DataError(f"no utterance is left: {dropped[0]}, and so on for all")
    return tables, dropped


def usable(folder: Path, train: Path, known: HeldOut, dropped: list[Dropped]) -> Iterator[Row]:
    """The rows of a set that may be trained on beside the set `train`; what is left out goes to
    `dropped`. DataError: nothing is left."""
    before, number = len(dropped), 0
    tables = {"train": iter_table(train / "utt2lang"), "row": read_rows(folder)}
    for utterance, found in rows_of(tables):
        if not (row := found.get("row")):
            continue
        reason = known.reason(utterance, row.get("text.src", ""), row.get("text.tgt", ""))
        if "train" in found:
            reason = f"the same utterance is in {train.name}"
        if reason:
            dropped.append(Dropped(utterance, row["utt2lang"], reason))
            continue
        yield utterance, row
        number += 1
    if not number:
        raise DataError(f"{folder}: no utterance is left: {dropped[before]}, and so on for all")


def repeats(tables: Tables, known: HeldOut) -> dict[str, str | None]:
    """Utterance -> why it must not be trained on."""
    texts = [tables.get(field, {}) for field in ("text.src", "text.tgt")]
    ids = tables["utt2lang"]
    return {key: known.reason(key, *(table.get(key, "") for table in texts)) for key in ids}


def without(tables: Tables, reasons: Mapping[str, str | None]) -> tuple[Tables, list[Dropped]]:
    """The tables of the utterances with no reason against them, and the others."""
    langs = tables["utt2lang"]
    dropped = [Dropped(key, langs[key], reason) for key, reason in reasons.items() if reason]
    kept = [key for key, reason in reasons.items() if not reason]
    return {field: {key: table[key] for key in kept} for field, table in tables.items()}, dropped
