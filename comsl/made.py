"""One answer to "is it made already?": a record of what a thing was made from, beside the thing.

A thing is a folder or a file. Its record is `<thing>.made.json`, and `<thing>.begun.json` until it
is whole. The record holds the settings and a hash of everything that the thing reads: of a made
thing the hash in its record, of a user's file the hash of its bytes. Of YAML and JSON the hash is
that of what they say, so that comments don't count. A large file counts by size and time.

A thing is skipped where its record is the wanted one. Times of made things never count: what was
deleted and made again is the same. `begin` and `finish` stand around what makes a thing (`to_make`
and `made` in run.sh).
"""

import hashlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from comsl.errors import DataError

LARGE = 64 << 20  # bytes of a user's file that is hashed by size and time

# What becomes of an earlier thing that was made from something else, and where the new one grows.
NEW = ".new"  # the ending of a thing while it is made
REPLACE = "replace"  # at <thing>.new, which takes its place when it is finished
HERE = "here"  # in its own place, cleared: it holds its own path
KEEP = "keep"  # in its own place, over what is there: what makes it knows what to keep
ASIDE = "aside"  # in its own place; the earlier one, hours of training, gets the date in its name
EARLIER = (REPLACE, HERE, KEEP, ASIDE)


class NotMade(DataError):
    """A thing reads another that isn't made yet."""


def record_of(thing: Path, kind: str = "made") -> Path:
    """Where a thing's record lies; kind: `made`, or `begun` as long as it isn't whole."""
    return thing.with_name(f"{thing.name}.{kind}.json")


def read_record(thing: Path, kind: str = "made") -> dict | None:
    """A thing's record; None where there is none. DataError: it isn't one."""
    path = record_of(thing, kind)
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise DataError(f"{path}: no record; remove it, and what lies beside it") from None


def is_whole(thing: Path) -> bool:
    """Whether a thing is there, and made."""
    return record_of(thing).is_file() and thing.exists()


def is_made(thing: Path, wanted: dict) -> bool:
    """Whether a thing is there, and made of what is wanted."""
    return _same(read_record(thing), wanted) and thing.exists()


def describe(
    settings: Mapping[str, str], reads: Sequence[Path], cached: Sequence[Path] = ()
) -> dict:
    """The record of a thing that these settings and things make.

    settings: name -> value; of a value that names files, their content counts. cached: what it
    reads too, but may have been deleted since it was made. NotMade: something isn't there.
    """
    sources = [_source(path) for path in reads]
    sources += [_source(path) | {"cached": True} for path in cached]
    sources = list({source["path"]: source for source in sources}.values())
    values = {name: _value(value) for name, value in settings.items()}
    record = {"settings": values, "reads": sources}
    return {"hash": _identity(record), **record, "begun": _now()}


def begin(
    thing: Path, wanted: dict, earlier: str = REPLACE, deletable: bool = False
) -> Path | None:
    """Where to write a thing, begun here or before; None if it is made already.

    wanted: from `describe`; earlier: one of REPLACE, HERE, KEEP, ASIDE; deletable: once made, it
    need not be there any more. NotMade: something that it reads is not made, or not whole.
    """
    made, begun = read_record(thing), read_record(thing, "begun")
    if is_made(thing, wanted) or (deletable and _same(made, wanted)):
        return None
    _check_reads(wanted)
    new = thing.with_name(f"{thing.name}{NEW}") if earlier == REPLACE else thing
    if not _same(begun, wanted):
        _clear(new, earlier, changes(begun or made, wanted))
        new.parent.mkdir(parents=True, exist_ok=True)
        _write(record_of(thing, "begun"), wanted)
    if new == thing:
        record_of(thing).unlink(missing_ok=True)
    return new


def _same(record: dict | None, wanted: dict) -> bool:
    return record is not None and record["hash"] == wanted["hash"]


def finish(thing: Path) -> None:
    """Say that a thing, wherever `begin` had it written, is whole. DataError: nothing was made."""
    new = thing.with_name(f"{thing.name}{NEW}")
    if os.path.lexists(new):
        record_of(thing).unlink(missing_ok=True)
        _remove(thing)
        new.rename(thing)
    if is_whole(thing) or not os.path.lexists(thing):  # the earlier one, or none
        raise DataError(f"{thing}: nothing was made")
    record_of(thing, "begun").rename(record_of(thing))


def changes(before: dict | None, wanted: dict) -> str:
    """What differs between two records, in words."""
    if before is None:
        return "no record of what it was made from"
    old, new = before["settings"], wanted["settings"]
    odd = [n for n in old.keys() | new.keys() if _digest(old.get(n)) != _digest(new.get(n))]
    paths = [source["path"] for source in wanted["reads"]]
    known = [_digest(source) for source in before["reads"]]
    odd += [s["path"] for s in wanted["reads"] if _digest(s) not in known]
    odd += [s["path"] for s in before["reads"] if s["path"] not in paths]
    return f"{', '.join(sorted(odd))} changed"


def lineage(things: Sequence[Path]) -> dict[str, dict]:
    """Thing -> its settings and what it reads, of these and of all that they were made from."""
    found: dict[str, dict] = {}
    pending = list(things)
    while pending:
        thing = pending.pop(0)
        record = read_record(thing)
        if record is None or str(thing) in found:
            continue
        paths = [source["path"] for source in record["reads"]]
        found[str(thing)] = {"settings": record["settings"], "reads": paths}
        pending += map(Path, paths)
    return found


def _check_reads(wanted: dict) -> None:
    for source in wanted["reads"]:
        if "made" in source and "cached" not in source and not is_whole(Path(source["path"])):
            raise NotMade(f"needs {source['path']}, which is not made yet, or in part")


def _clear(thing: Path, earlier: str, why: str) -> None:
    if not os.path.lexists(thing) or earlier == KEEP:
        return
    if earlier == ASIDE and any(thing.iterdir()):
        aside = _dated(thing)
        thing.rename(aside)
        if record_of(thing).exists():
            record_of(thing).rename(record_of(aside))
        print(f"{thing}: {why}; what was trained before is now {aside}", file=sys.stderr)
        return
    record_of(thing).unlink(missing_ok=True)
    if earlier == HERE and thing.is_dir():
        for path in thing.iterdir():  # it may be a link to another disk
            _remove(path)
    else:
        _remove(thing)


def _dated(thing: Path) -> Path:
    """A name that is free, with the date."""
    name = f"{thing.name}.{datetime.now():%Y%m%d-%H%M%S}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for path in map(thing.with_name, names) if not path.exists())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, record: dict) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    temporary.replace(path)


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d %H:%M:%S}"


def _identity(record: dict) -> str:
    """A hash of the settings and of what is read, whatever its path. An empty setting doesn't
    count: what was made before there was such an option stays."""
    settings = {name: _digest(value) for name, value in record["settings"].items() if value != ""}
    return _sha256([sorted(settings.items()), [_digest(source) for source in record["reads"]]])


def _digest(value) -> object:
    """What counts of a setting's value, or of a source."""
    if isinstance(value, list):
        return [_digest(one) for one in value]
    if isinstance(value, dict):
        return {key: value[key] for key in ("made", "sha256", "size", "time") if key in value}
    return value


def _value(text: str) -> object:
    """A setting's value, or the content of the files that it names. A word without slash or dot is
    no path: a folder that happens to be called `test` is not the set."""
    if _is_path(text) and os.path.exists(text):  # which finds text too long for a path absent
        return _source(Path(text))
    words = text.split()
    files = {word for word in words if _is_path(word) and os.path.isfile(word)}
    return [_source(Path(word)) if word in files else word for word in words] if files else text


def _is_path(text: str) -> bool:
    return "/" in text or "." in text


def _source(path: Path) -> dict:
    """What a path stands for: the made thing that it is, or lies in, or a user's file or folder.

    NotMade: nothing is there.
    """
    for thing in (path, *path.parents):
        record = read_record(thing) or read_record(thing, "begun") if thing.name else None
        if record:
            return {"path": str(thing), "made": record["hash"]}
    if path.is_file():
        return {"path": str(path), **_file(path)}
    if path.is_dir():
        listing = [[str(file.relative_to(path)), _file(file)] for file in _files(path)]
        return {"path": str(path), "sha256": _sha256(listing)}
    raise NotMade(f"needs {path}, which is not made yet")


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent.name != "__pycache__")


def _file(path: Path) -> dict:
    stat = path.stat()
    if stat.st_size > LARGE:
        return {"size": stat.st_size, "time": stat.st_mtime_ns}  # too large to be hashed
    data = path.read_bytes()
    if path.suffix in (".yaml", ".yml", ".json"):
        data = _said(path.suffix, data)
    return {"sha256": hashlib.sha256(data).hexdigest()}


def _said(suffix: str, data: bytes) -> bytes:
    """What YAML or JSON says, in one way of writing it; data that are neither as they are."""
    try:
        value = json.loads(data) if suffix == ".json" else _yaml(data)
    except ValueError:
        return data
    return json.dumps(value, sort_keys=True, default=str).encode()


def _yaml(data: bytes) -> object:
    """What YAML says. ValueError: nothing, it is none."""
    import yaml

    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
