"""Where parallel text lies in Debian packages: message catalogues, GNOME and KDE manuals,
LibreOffice's help. Everything here yields raw (foreign, English) texts; `parallel_text` cleans."""

import gettext
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from comsl.data.parallel_text import HOLE
from comsl.errors import DataError

# Inside a sentence; every other element begins a new one.
_INLINE = set(
    "a abbrev acronym anchor app application b bold citetitle command em emphasis emph"
    " firstterm guibutton guiicon guilabel guimenu guimenuitem guisubmenu gui i interface keycap"
    " keysym link mousebutton option phrase productname quote replaceable span strong"
    " subscript superscript sys systemitem trademark u ulink var varname wordasword".split()
)
# Inside a sentence, but it can't be spoken, or what is there is put in when the manual is shown.
_UNSPOKEN = set(
    "cmd code computeroutput email envar file filename footnote function guiseq indexterm"
    " inlineequation inlinemediaobject inlinegraphic input key keycode keycombo keyseq literal media menuchoice output"
    " parameter prompt property shortcut tt type uri userinput xref".split()
)
_SKIPPED = set(
    "bookinfo articleinfo refentryinfo chapterinfo sectioninfo setinfo credit mal:credit"
    " head legalnotice programlisting revhistory screen script style synopsis".split()
)
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
    """Messages of a compiled gettext catalogue; of plurals, the first form."""
    with catalogue.open("rb") as file:
        try:
            messages = gettext.GNUTranslations(file)._catalog
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise DataError(f"{catalogue}: not a message catalogue ({error})") from None
    for message, translation in messages.items():
        if isinstance(message, tuple):
            message, form = message
            if form:
                continue
        message = message.rpartition("\x04")[2]  # the context stands before it
        if message and translation:
            yield translation, message


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
    theirs, ours = (
        root / "usr/share/libreoffice/help" / name for root, name in ((folder, lang), (english, "en-US"))
    )
    for page in sorted(theirs.rglob("*.html")):
        original = ours / page.relative_to(theirs)
        if original.is_file():
            texts = dict(blocks(original))
            for key, text in blocks(page):
                if _HELP_ID.match(key) and key in texts:
                    yield text, texts[key]


def blocks(page: Path) -> list[tuple[str, str]]:
    """(element or LibreOffice's paragraph id, text) of each paragraph, heading, item, ..."""
    reader = _BlockReader()
    reader.feed(page.read_text(encoding="utf-8", errors="replace"))
    reader.close()
    reader.flush()
    return reader.blocks


class _BlockReader(HTMLParser):
    """A lenient reader of HTML and XML alike: KDE's manuals name entities that aren't there."""

    CDATA_CONTENT_ELEMENTS = RCDATA_CONTENT_ELEMENTS = ()

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
        elif tag in _UNSPOKEN:
            self._text.append(HOLE)
            self._skipped = [tag]
        elif identifier.startswith("MAC"):  # LibreOffice's wording for another system
            self._skipped = [tag]
        elif tag not in _INLINE:
            self.flush()
            self._key = identifier if _HELP_ID.match(identifier) else tag
            self._skipped = [tag] * (tag in _SKIPPED)

    def handle_endtag(self, tag):
        if self._skipped:
            self._skipped = self._skipped[: len(self._skipped) - (tag == self._skipped[0])]
        elif tag not in _INLINE:
            self.flush()

    def handle_data(self, data):
        if not self._skipped:
            self._text.append(data)

    def flush(self):
        """End the block that is being read."""
        text = " ".join("".join(self._text).split())
        if text:
            self.blocks.append((self._key, text))
        self._text = []
