"""Where parallel text lies in Debian packages: message catalogues, GNOME and KDE manuals,
LibreOffice's help. Everything here yields raw (foreign, English) texts; `parallel_text` cleans."""

import re
import struct
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from comsl.corpora.parallel_text import HOLE
from comsl.errors import DataError

# Inside a sentence; every other element begins a new one.
_INLINE = re.compile(
    "a|abbrev|acronym|anchor|app|application|b|bold|citetitle|command|em|emph|emphasis|firstterm|"
    "gui|guibutton|guiicon|guilabel|guimenu|guimenuitem|guisubmenu|i|input|interface|keycap|"
    "keysym|link|mousebutton|option|phrase|productname|quote|replaceable|span|strong|subscript|"
    "superscript|sys|systemitem|trademark|u|ulink|var|varname|wordasword"
)
# Inside a sentence, but it can't be spoken, or what is there is put in when the manual is shown.
_UNSPOKEN = re.compile(
    "cmd|code|computeroutput|email|envar|file|filename|footnote|function|guiseq|indexterm|"
    "inlineequation|inlinegraphic|inlinemediaobject|key|keycode|keycombo|keyseq|literal|media|"
    "menuchoice|output|parameter|prompt|property|shortcut|tt|type|uri|userinput|xref"
)
_SKIPPED = re.compile(
    "articleinfo|bookinfo|chapterinfo|credit|head|legalnotice|mal:credit|programlisting|"
    "refentryinfo|revhistory|screen|script|sectioninfo|setinfo|style|synopsis"
)
# What stands for the number that a message with a plural speaks of, and two that fit every
# language's first and last form.
_NUMBER = re.compile(r"%(?:\d\$|\(\w+\)|')?(?:l|ll|z)?[diun]|%\d(?!\d)|\{(?:\d|n|num|count)?\}")
ONE, MANY = "1", "15"
_HELP_ID = re.compile(r"(par|hd)_id")


def package_pairs(folder: Path, lang: str) -> Iterator[tuple[str, str]]:
    """Raw (foreign, English) texts of an unpacked package: catalogues, then manuals."""
    code = f"{lang}(_{lang.upper()})?"  # as in `es`, `es_ES`, but not in `es_MX`
    for catalogue in sorted(folder.rglob("*.mo")):
        if re.search(rf"/{code}/LC_MESSAGES/|[/-]{code}\.mo$", str(catalogue)):
            yield from catalogue_pairs(catalogue)
    for page, english in _manuals(folder, lang):
        yield from manual_pairs(page, english)


def catalogue_pairs(catalogue: Path) -> Iterator[tuple[str, str]]:
    """Messages of a compiled gettext catalogue; of one with a plural, the first and last form.

    DataError: not such a catalogue. One in another encoding than UTF-8 gives nothing.
    """
    data = catalogue.read_bytes()
    try:
        originals, translations = _strings(data)
    except (struct.error, KeyError):
        raise DataError(f"{catalogue}: not a message catalogue; fetch its package anew") from None
    for original, translation in zip(originals, translations, strict=True):
        try:
            forms = translation.decode("utf-8").split("\0")
            messages = original.decode("utf-8").rpartition("\x04")[2].split("\0")
        except UnicodeDecodeError:
            continue
        if not messages[0]:  # the catalogue's own header
            continue
        if len(messages) == 1:
            yield forms[0], messages[0]
        else:
            yield with_number(forms[0], ONE), with_number(messages[0], ONE)
            yield with_number(forms[-1], MANY), with_number(messages[1], MANY)


def _strings(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """Originals and translations of a .mo file (its layout: GNU gettext's manual, section 10.3)."""
    order = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}[data[:4]]
    count, *tables = struct.unpack_from(f"{order}3I", data, 8)
    originals, translations = (_texts(data, f"{order}2I", start, count) for start in tables)
    return originals, translations


def _texts(data: bytes, entry: str, start: int, count: int) -> list[bytes]:
    """The texts of a table of `count` entries, each a length and a position."""
    spans = [struct.unpack_from(entry, data, start + 8 * number) for number in range(count)]
    return [struct.unpack_from(f"{size}s", data, at)[0] for size, at in spans]


def with_number(text: str, number: str) -> str:
    """A message with `number` in place of its only placeholder, a number's; else unchanged."""
    return _NUMBER.sub(number, text) if len(_NUMBER.findall(text)) == 1 else text


def _manuals(folder: Path, lang: str) -> Iterator[tuple[Path, Path]]:
    """Pages of GNOME's (Mallard, DocBook) and KDE's (DocBook) manuals beside their originals."""
    for root, original in (("usr/share/help", "C"), ("usr/share/doc/HTML", "en")):
        for page in sorted((folder / root / lang).rglob("*.*")):
            english = folder / root / original / page.relative_to(folder / root / lang)
            if page.suffix in (".page", ".docbook", ".xml") and english.is_file():
                yield page, english


def manual_pairs(page: Path, english: Path) -> Iterator[tuple[str, str]]:
    """Paragraphs of a manual's page, if both languages have the same elements in the same order."""
    src, tgt = blocks(page), blocks(english)
    if [key for key, _ in src] == [key for key, _ in tgt]:
        yield from ((theirs, ours) for (_, theirs), (_, ours) in zip(src, tgt, strict=True))


def help_pairs(folder: Path, english: Path, lang: str) -> Iterator[tuple[str, str]]:
    """Paragraphs of LibreOffice's help, two unpacked packages, matched by their ids."""
    theirs = folder / "usr/share/libreoffice/help" / lang
    ours = english / "usr/share/libreoffice/help/en-US"
    for page in sorted(theirs.rglob("*.html")):
        original = ours / page.relative_to(theirs)
        if original.is_file():
            src, tgt = _identified(page), _identified(original)
            yield from ((text, tgt[key]) for key, text in src.items() if key in tgt)


def _identified(page: Path) -> dict[str, str]:
    """{id: text} of a help page's paragraphs; some ids stand at several, and say nothing then."""
    times = Counter(key for key, _ in blocks(page))
    return {key: text for key, text in blocks(page) if _HELP_ID.match(key) and times[key] == 1}


@cache  # the English pages are read for every language
def blocks(page: Path) -> list[tuple[str, str]]:
    """(element or LibreOffice's paragraph id, text) of each paragraph, heading, item, ..."""
    reader = _BlockReader()
    reader.feed(page.read_text(encoding="utf-8", errors="replace"))
    reader.close()
    reader.flush()
    return reader.blocks


class _BlockReader(HTMLParser):
    """A lenient reader of HTML and XML alike: KDE's manuals name entities that aren't there."""

    RCDATA_CONTENT_ELEMENTS = ()  # a manual's title may have elements in it

    def __init__(self):
        super().__init__()
        self.blocks = []
        self._key = ""
        self._text = []
        self._skipped = []  # the open element whose inside is passed over, once per nesting

    def handle_starttag(self, tag, attrs):
        identifier = dict(attrs).get("id") or ""
        if self._skipped:
            self._skipped += [tag] * (tag == self._skipped[0])
        elif _UNSPOKEN.fullmatch(tag):
            self._text.append(HOLE)
            self._skipped = [tag]
        elif identifier.startswith("MAC"):  # LibreOffice's wording for another system
            self._skipped = [tag]
        elif not _INLINE.fullmatch(tag):
            self.flush()
            self._key = identifier if _HELP_ID.match(identifier) else tag
            self._skipped = [tag] * bool(_SKIPPED.fullmatch(tag))

    def handle_endtag(self, tag):
        if self._skipped:
            self._skipped = self._skipped[: len(self._skipped) - (tag == self._skipped[0])]
        elif not _INLINE.fullmatch(tag):
            self.flush()

    def handle_data(self, data):
        if not self._skipped:
            self._text.append(data)

    def flush(self):
        """End the block that is being read."""
        text = " ".join("".join(self._text).split())
        if text:
            self.blocks.append((self._key, text))
        self._key, self._text = "", []
