"""The corpus for pretraining a small mBART: what Debian's catalogues and manuals say, in pairs."""

import logging
from collections.abc import Iterator
from pathlib import Path

from comsl.corpora import catalogues, debian, fillets, kaldi, tuxpaint
from comsl.corpora.parallel_text import (
    MIN_WORDS,
    Pair,
    dev_sentences,
    pairs_of,
    sentences,
    unique,
)
from comsl.corpora.split import is_held_out
from comsl.corpora.text import plain_words
from comsl.errors import DataError
from comsl.files import write_text

GAMES = {"fillets-ng-data": fillets.pairs, "tuxpaint-stamps-default": tuxpaint.pairs}

logger = logging.getLogger(__name__)


def prepare(
    packages: Path,
    langs: list[str],
    downloads: Path,
    out: Path,
    exclude: Path | None,
    dev_size: int = 100,
) -> None:
    """Fetch the packages, write `out`/{train,dev}_<lang>, `out`/{train,dev} and the counts.

    packages: list of package names, `#` begins a comment; exclude: texts, one a line, of which
    neither the whole nor a sentence may be a side of a pair; dev_size: pairs of dev, each language.
    """
    folders = debian.fetch(read_packages(packages), downloads)
    banned = excluded(_lines(exclude)) if exclude else set()
    counts: dict[str, dict[str, int]] = {package: {} for package in folders}
    corpora = {lang: _collect(folders, lang, banned, counts) for lang in langs}
    _split(corpora, dev_size, out)
    rows = ["\t".join(["package", "version", *langs])]
    for package, folder in folders.items():
        numbers = (str(counts[package].get(lang, 0)) for lang in langs)
        rows.append("\t".join([package, debian.version(folder), *numbers]))
    write_text(out / "packages.tsv", "\n".join(rows) + "\n")


def read_packages(path: Path) -> list[str]:
    """Package names of a list. DataError: none in it, or one twice."""
    names = [name for line in _lines(path) for name in line.partition("#")[0].split()]
    if not names:
        raise DataError(f"{path}: no package in it")
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(f"{path}: {sorted(twice)[0]} stands there twice")
    return names


def excluded(texts: list[str]) -> set[str]:
    """The texts, normalised, and the sentences of each."""
    parts = {plain_words(part) for text in texts for part in (text, *sentences(text))}
    return parts - {""}


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return path.read_text(encoding="utf-8").splitlines()


def _collect(folders, lang: str, banned: set[str], counts) -> list[Pair]:
    """The unique clean pairs of a language; `counts[package][lang]`: what each package gave."""
    found, left_out = [], 0
    for package, folder in folders.items():
        pairs = [pair for raw in _raw(package, folder, lang) for pair in pairs_of(*raw, lang)]
        kept = [pair for pair in pairs if not banned & {plain_words(side) for side in pair}]
        counts[package][lang] = len(kept)
        left_out += len(pairs) - len(kept)
        found += kept
    pairs = unique(found)
    logger.info(
        "%s: %d pairs, %d after removing repeated ones, %d words of English; %d pairs left out"
        " because a side is a sentence to be excluded",
        *(lang, len(found), len(pairs), sum(len(pair.tgt.split()) for pair in pairs), left_out),
    )
    return pairs


def _raw(package: str, folder: Path, lang: str) -> Iterator[tuple[str, str]]:
    """A package's raw texts; LibreOffice's help has the English in a package of its own."""
    if package in GAMES:
        return GAMES[package](folder, lang)
    if package == f"libreoffice-help-{lang}":
        return catalogues.help_pairs(folder, folder.with_name("libreoffice-help-en-us"), lang)
    return catalogues.package_pairs(folder, lang)


def _split(corpora: dict[str, list[Pair]], dev_size: int, out: Path) -> None:
    """Write train and dev; an English sentence that is held out is in no train set."""
    both: dict[str, list[kaldi.Tables]] = {"train": [], "dev": []}
    for lang, pairs in corpora.items():
        keys = {pair: f"{lang}-{number:06}" for number, pair in enumerate(pairs)}
        first = {plain_words(pair.tgt): pair for pair in reversed(pairs)}
        dev = [first[sentence] for sentence in dev_sentences(pairs, dev_size)]
        train = [
            pair
            for pair in pairs
            if len(pair.tgt.split()) >= MIN_WORDS and not is_held_out(plain_words(pair.tgt))
        ]
        for name, part in (("train", train), ("dev", dev)):
            tables = {
                "utt2lang": {keys[pair]: lang for pair in part},
                "text.src": {keys[pair]: pair.src for pair in part},
                "text.tgt": {keys[pair]: pair.tgt for pair in part},
            }
            kaldi.write_dir(out / f"{name}_{lang}", tables)
            both[name].append(tables)
    for name, parts in both.items():
        kaldi.write_dir(out / name, kaldi.combine(parts))
        logger.info("%s: %d pairs", out / name, sum(len(part["utt2lang"]) for part in parts))
