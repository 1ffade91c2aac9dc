"""Decoded texts on disk as they come: an interrupted command goes on where it stopped."""

import json
import logging
import time
from pathlib import Path

from comsl.corpora.waves import Wave
from comsl.files import write_text
from comsl.inference import SpeechTranslator


class Journal:
    """Texts by the key of what they were made from; a JSON line each, after a line of settings.

    settings: what else the texts depend on. Those of a file with other settings don't count, nor
    do lines that were cut short.
    """

    def __init__(self, path: Path, settings: list):
        self.path, self.settings = path, settings
        self.texts: dict[str, str] = self._read()
        self.begun = False

    def _read(self) -> dict[str, str]:
        if not self.path.is_file():
            return {}
        lines = map(_parsed, self.path.read_text("utf-8", errors="replace").split("\n"))
        if next(lines) != self.settings:
            return {}
        return dict(line for line in lines if line is not None)

    def add(self, texts: dict[str, str]) -> None:
        """Keep some more."""
        if not self.begun:
            write_text(self.path, _lines([self.settings, *self.texts.items()]))
            self.begun = True
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_lines(list(texts.items())))
        self.texts |= texts


def _parsed(line: str) -> list | None:
    """What a line holds; None where it was cut short."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _lines(items: list) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def generate(
    translator: SpeechTranslator,
    task: str,
    inputs: list[Wave] | list[str],
    langs: list[str],
    path: Path,
    batch_size: int = 32,
    targets: list[str] | None = None,
    **search: float,
) -> list[str]:
    """`translator.generate`, with every batch in the journal at `path` and a line of progress.

    What the journal has from the same model is not decoded again, nor is what occurs twice. The
    caller removes it once the texts are safe.
    """
    journal = Journal(path, [_stamp(translator.file), task, search])
    targets = targets or [translator.target_lang] * len(langs)
    rows = list(zip(inputs, langs, targets, strict=True))
    keys = [_key(*row) for row in rows]
    todo = dict(zip(keys, rows, strict=True))
    todo = {key: item for key, item in todo.items() if key not in journal.texts}
    order, start = list(todo), time.monotonic()
    known, before = len(set(keys)) - len(todo), len(journal.texts)
    if known:
        logging.info(f"{task}: {known} are in {path} already")

    def keep(texts: dict[int, str]) -> None:
        journal.add({order[index]: text for index, text in texts.items()})
        done = known + len(journal.texts) - before
        logging.info(f"{task}: {done}/{known + len(todo)}, {time.monotonic() - start:.0f} s")

    items, item_langs, item_targets = ([todo[key][i] for key in order] for i in range(3))
    translator.generate(task, items, item_langs, batch_size, keep, item_targets, **search)
    return [journal.texts[key] for key in keys]


def _key(item: Wave | str, lang: str, target: str) -> str:
    """Changes with a text, or with a file's path, size or time."""
    what = item if isinstance(item, str) else _stamp(Path(item.path))
    return f"{lang} {target} {what}"


def _stamp(file: Path) -> str:
    stat = file.stat()
    return f"{file} {stat.st_size} {stat.st_mtime_ns}"
