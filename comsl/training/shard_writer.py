"""Shards of a training set (shards.py), of the files that earlier stages have made one by one."""

import io
import json
import logging
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path

import kaldiio
import numpy as np

from comsl.corpora.archives import temporary_folder
from comsl.corpora.kaldi import Row, iter_table, rows_of
from comsl.errors import DataError
from comsl.files import atomic_file, read_lines, write_text
from comsl.training.command_line import texts_of
from comsl.training.shards import Shards

SPEECH = ("audio", "states", "teacher")
LENGTHS = ("source_shape", "target_shape", "speech_shape")


def write_shards(raw: Path, encoder: Path, teacher: Path, out: Path, size: int) -> None:
    """Write the set `raw` as shards of `size` utterances, in an order by chance; of these one is in
    memory at a time.

    encoder, teacher: folders of its states (stage 5). Writing that was interrupted goes on. Only
    what all of them have is trained on. DataError: nothing is.
    """
    texts = {name: raw / file for file, name in texts_of(raw).items()}
    tables = texts | {
        "audio": raw / "wav.scp",
        "states": encoder / "feats.scp",
        "teacher": teacher / "feats.scp",
        "source_shape": raw / "source_shape",
        "target_shape": raw / "target_shape",
        "speech_shape": encoder / "speech_shape",
    }
    number = sum(1 for _ in _read_rows(tables))
    if not number:
        raise DataError(f"{raw}, {encoder} and {teacher}: no utterance in common; rerun stage 5")
    out.mkdir(parents=True, exist_ok=True)
    shards = Shards(out, size, SPEECH)
    with temporary_folder(out / ".dealt") as dealt:
        _deal(_read_rows(tables), number, shards, dealt)
        for shard in range(len(shards)):
            if not shards.path("texts", shard).is_file():  # written last
                _write_shard(shards, shard, list(texts), dealt)
                logging.info("%s: shard %d of %d", out, shard + 1, len(shards))
    about: Mapping = {"size": size, "fields": list(SPEECH), "utterances": number}
    write_text(out / "shards.json", json.dumps(about) + "\n")


def _read_rows(tables: Mapping[str, Path]) -> Iterator[Row]:
    """The utterances that all tables have."""
    lines = {
        name: iter_table(path, empty_ok=name == "source_text") for name, path in tables.items()
    }
    return (row for row in rows_of(lines) if len(row[1]) == len(tables))


def _deal(rows: Iterable[Row], number: int, shards: Shards, dealt: Path) -> None:
    """Give every row its place by chance: a file for each shard, with a line for each of its rows;
    and write the lengths."""
    shape = number, len(LENGTHS)
    lengths = np.lib.format.open_memmap(shards.folder / "lengths.npy", "w+", np.int32, shape)
    places = np.random.default_rng(0).permutation(number)
    for (key, values), place in zip(rows, map(int, places), strict=True):
        lengths[place] = [int(values[name].split(",")[0]) for name in LENGTHS]
        with (dealt / str(place // shards.size)).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"place": place, "id": key} | values) + "\n")
    lengths.flush()


def _write_shard(shards: Shards, shard: int, texts: list[str], dealt: Path) -> None:
    rows = [json.loads(line) for line in read_lines(dealt / str(shard))]
    rows.sort(key=itemgetter("place"))
    for field in SPEECH:
        _write_tar(shards.path(field, shard), (row[field] for row in rows))
    lines = (
        json.dumps({name: row[name] for name in ("id", *texts)}, ensure_ascii=False) + "\n"
        for row in rows
    )
    write_text(shards.path("texts", shard), "".join(lines))


def _write_tar(path: Path, places: Iterable[str]) -> None:
    """Files, or entries of arks (`file:offset`), as they are, under their numbers."""
    with atomic_file(path) as temporary, tarfile.open(temporary, "w") as tar:
        for number, place in enumerate(places):
            content = _read(place)
            member = tarfile.TarInfo(str(number))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def _read(place: str) -> bytes:
    ark, _, offset = place.rpartition(":")
    if not (ark.endswith(".ark") and offset.isdecimal()):
        return Path(place).read_bytes()
    with open(ark, "rb") as file:
        file.seek(int(offset))
        kaldiio.matio.read_kaldi(file)  # tells where it ends
        end = file.tell()
        file.seek(int(offset))
        return file.read(end - int(offset))
