"""Tux Paint's stamps, in Debian's tuxpaint-stamps-default: pictures with a spoken description."""

from collections.abc import Iterator
from pathlib import Path

STAMPS = "usr/share/tuxpaint/stamps"


def descriptions(folder: Path, lang: str) -> Iterator[tuple[Path, str, str]]:
    """Of the unpacked package: where a stamp's recording would be, its text, its English.

    A stamp's `.txt` has English on its first line and `<lang>.utf8=` lines below.
    """
    for stamp in sorted((folder / STAMPS).rglob("*.txt")):
        english, *others = stamp.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        for line in others:
            code, _, text = line.partition("=")
            if code == f"{lang}.utf8" and text.strip() and english.strip():
                yield (
                    stamp.with_name(f"{stamp.stem}_desc_{lang}.ogg"),
                    text.strip(),
                    english.strip(),
                )


def pairs(folder: Path, lang: str) -> Iterator[tuple[str, str]]:
    """Raw (foreign, English) texts."""
    for _, text, english in descriptions(folder, lang):
        yield text, english
