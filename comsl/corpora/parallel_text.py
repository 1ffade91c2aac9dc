"""Parallel text from software and manuals, made clean sentence pairs.

Catalogues are full of what nobody says: markup, keyboard mnemonics, format strings, paths. What is
safely removed is removed; a pair with anything left that isn't plain language is dropped.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from comsl.corpora.split import is_held_out
from comsl.corpora.text import plain_words

HOLE = "\ufffc"  # stands for something that can't be said; its sentence is dropped
MIN_WORDS = 2  # of English, in train: single words are labels
MAX_WORDS = 24  # of a sentence: what is said in 12 seconds
DEV_WORDS = 4


class Pair(NamedTuple):
    """A sentence in a foreign language and its English translation."""

    src: str
    tgt: str


_BREAK = re.compile(r"\n\s*\n|</?(?:p|br|li|ul|ol|h\d|para|title|div|tr|td|dt|dd)\b[^<>]*>", re.I)
_TAG = re.compile(
    r"</?(?:a|b|i|u|tt|em|strong|small|big|span|font|qt|html|body|nobr|interface|link|emphasis"
    r"|application|note|warning|bold|italic)\b[^<>]*>",
    re.I,
)
_ENTITY = re.compile(r"&[\w.-]+;")
_MNEMONIC = re.compile(r"[_&~](?=[^\W_])")
_ACCELERATOR = re.compile(r"\s*\([_&]\w\)")
_UNSPEAKABLE = re.compile(
    r"[\ufffc\ufffd\\|{}<>=#@^~_*/$%&+\[\]`•●■→▸►©®™°±×]|;\S"  # code, markup, placeholders
    r"|\w\.\w"  # file names, hosts, versions
    r"|(?:^|\s)--?\w"  # options
    r"|\w\(|\(\)|::"  # calls
    r"|[^\W\d_]\d|\d[^\W\d_]"  # identifiers: utf8, 3D
    r"|[\x00-\x1f\x7f\u200b-\u200f\ue000-\uf8ff]"
)
_QUOTES = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "‟": '"', "″": '"'}
    | {"‘": "'", "’": "'", "‚": "'", "`": "'", "´": "'", "ʼ": "'", "…": "..."}
    | {"–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "\u00ad": None, "\u00a0": " "}
)
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')]))\s+(?=[\"'(¿¡]?[^\W\d_a-zà-öø-ÿœа-яё])")
_CYRILLIC = re.compile(r"[а-яё]", re.I)
_LATIN = re.compile(r"[a-zà-öø-ÿœ]", re.I)


def pairs_of(src: str, tgt: str, lang: str) -> Iterator[Pair]:
    """The good sentence pairs of a message or paragraph and its English, cleaned.

    Paragraphs, then sentences, are taken apart where both sides have equally many.
    """
    for paragraphs in _aligned(_BREAK.split(src), _BREAK.split(tgt)):
        sides = [clean(side) for side in paragraphs]
        for pair in _aligned(*map(sentences, sides)):
            pair = Pair(*map(_trim, pair))
            if is_good(pair, lang):
                yield pair


def clean_pair(src: str, tgt: str, lang: str) -> Pair | None:
    """A text and its English, cleaned, in one piece; None if it isn't plain language."""
    pair = Pair(_trim(clean(src)), _trim(clean(tgt)))
    return pair if is_good(pair, lang) else None


def sentences(text: str) -> list[str]:
    """A paragraph taken apart."""
    return _SENTENCE_END.split(text)


def _aligned(src: list[str], tgt: list[str]) -> Iterator[tuple[str, str]]:
    """Parts that aren't blank, in pairs; all as one pair if their numbers differ."""
    src, tgt = ([part for part in parts if part.strip()] for parts in (src, tgt))
    if len(src) == len(tgt):
        yield from zip(src, tgt, strict=True)
    else:
        yield " ".join(src), " ".join(tgt)


def clean(text: str) -> str:
    """Text without markup and mnemonics, in NFC, plain quotes, single spaces."""
    text = _ENTITY.sub(HOLE, html.unescape(_TAG.sub("", text)))
    text = re.sub(r"«\s*|\s*»", '"', unicodedata.normalize("NFC", text).translate(_QUOTES))
    if len(_MNEMONIC.findall(text)) == 1:  # more of them are names: MAX_FILE_SIZE
        text = _MNEMONIC.sub("", _ACCELERATOR.sub("", text))
    return " ".join(text.split())


def _trim(text: str) -> str:
    """Without list marks, a colon at the end, quotes around the whole or without a partner."""
    text = re.sub(r"^[-*•\s]+(?=\w)|\s*[:;,]$|\s+(?=[.,;:?!])", "", text.strip())
    return unquote(re.sub(r"\.{3,}$", "...", text))


def unquote(text: str) -> str:
    """Without quotation marks that have no partner or only wrap the whole."""
    if text.count('"') % 2 or re.fullmatch(r'"[^"]*"', text):
        text = text.replace('"', "")
    return text.strip()


def is_good(pair: Pair, lang: str) -> bool:
    """Whether both sides are plain language, in the right script, of comparable length."""
    src, tgt = pair
    if any(_UNSPEAKABLE.search(side) or not _mostly_letters(side) for side in pair):
        return False
    script, other = (_CYRILLIC, _LATIN) if lang == "ru" else (_LATIN, _CYRILLIC)
    if len(script.findall(src)) < 2 * len(other.findall(src)) or _CYRILLIC.search(tgt):
        return False
    if sorted(re.findall(r"\d+", src)) != sorted(re.findall(r"\d+", tgt)):
        return False
    return plain_words(src) != plain_words(tgt) and _comparable(len(src), len(tgt))


def _mostly_letters(text: str) -> bool:
    """A text of 1 to MAX_WORDS words, not all capitals, with hardly anything but letters in it."""
    letters = sum(map(str.isalpha, text))
    others = len(re.findall(r"[^\W_]|[^\w\s.,;:?!'\"()-]", text)) - letters
    speakable = letters >= 2 and letters >= 3 * others
    return speakable and len(text.split()) <= MAX_WORDS and not text.isupper()


def _comparable(src: int, tgt: int) -> bool:
    """Whether the lengths, in characters, may be those of translations of each other."""
    return max(src, tgt) <= 2 * min(src, tgt) + 8


def unique(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs, sorted, without those that differ only in case and punctuation from another."""
    best = {}
    for pair in sorted(pairs):
        best.setdefault((plain_words(pair.src), plain_words(pair.tgt)), pair)
    return sorted(best.values(), key=lambda pair: (pair.tgt, pair.src))


def is_whole(text: str) -> bool:
    """Whether it is written as a sentence, not as a label."""
    return bool(text[0].isupper() and re.search(r"\w[.?!]$", text))


def dev_sentences(pairs: Iterable[Pair], size: int) -> set[str]:
    """Normalised English of `size` whole sentences of those held out, the same choice whatever
    else is there."""
    whole = {
        plain_words(tgt) for _, tgt in pairs if len(tgt.split()) >= DEV_WORDS and is_whole(tgt)
    }
    whole = {sentence for sentence in whole if is_held_out(sentence)}
    return set(sorted(whole, key=lambda text: hashlib.sha256(text.encode()).digest())[:size])
