"""Shards of a training set (shards.py), of the files that earlier stages have made one by one."""

import io
import json
import logging
import random
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import kaldiio
import numpy as np

from comsl.corpora.kaldi import atomic_file, read_table, write_text
from comsl.training.command_line import texts_of
from comsl.training.shards import Shards


def write_shards(raw: Path, encoder: Path, teacher: Path, out: Path, size: int) -> None:
    """Write the set `raw` as shards of `size` utterances, in an order by chance.

    encoder, teacher: folders of its states (stage 5). Writing that was interrupted goes on. Only
    what all of them have is trained on.
    """
    sources = {
        "audio": read_table(raw / "wav.scp"),
        "states": read_table(encoder / "feats.scp"),
        "teacher": read_table(teacher / "feats.scp"),
    }
    shapes = [raw / "source_shape", raw / "target_shape", encoder / "speech_shape"]
    lengths = [read_table(path) for path in shapes]
    texts = {name: read_table(raw / file) for file, name in texts_of(raw).items()}
    keys = sorted(set.intersection(*(set(table) for table in (*sources.values(), *lengths))))
    random.Random(0).shuffle(keys)
    out.mkdir(parents=True, exist_ok=True)
    rows = [[int(table[key].split(",")[0]) for table in lengths] for key in keys]
    np.save(out / "lengths.npy", np.array(rows, np.int32))
    shards = Shards(out, size, tuple(sources))
    for number in range(len(shards)):
        if shards.path("texts", number).is_file():  # written last
            continue
        chosen = [keys[row] for row in shards.rows(number)]
        for field, table in sources.items():
            _write_tar(shards.path(field, number), (table[key] for key in chosen))
        lines = [{"id": key} | {name: t[key] for name, t in texts.items()} for key in chosen]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_text(shards.path("texts", number), text)
        logging.info("%s: shard %d of %d", out, number + 1, len(shards))
    about: Mapping = {"size": size, "fields": list(sources), "utterances": len(keys)}
    write_text(out / "shards.json", json.dumps(about) + "\n")


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
