"""Fish Fillets: a game whose fish talk, in Debian's fillets-ng-data (texts of all languages) and
fillets-ng-data-nl (their Dutch voices)."""

import re
from collections.abc import Iterator
from pathlib import Path

GAME = "usr/share/games/fillets-ng"
# dialogId("airplane-eye", "font_small", "English"), and on the next line dialogStr("own text").
_DIALOGUE = re.compile(
    r'dialogId\("([^"]+)",\s*"[^"]*",\s*"((?:[^"\\]|\\.)*)"\)'
    r'\s*dialogStr\("((?:[^"\\]|\\.)*)"\)'
)


def dialogues(folder: Path, lang: str) -> Iterator[tuple[str, str, str]]:
    """Of the unpacked fillets-ng-data: a line's `level/id`, its text, its English."""
    for script in sorted((folder / GAME / "script").glob(f"*/dialogs_{lang}.lua")):
        text = script.read_text(encoding="utf-8", errors="replace")
        for identifier, english, own in _DIALOGUE.findall(text):
            yield f"{script.parent.name}/{identifier}", _unescape(own), _unescape(english)


def recording(folder: Path, lang: str, line: str) -> tuple[Path, str]:
    """Of the unpacked fillets-ng-data-<lang>: the file of a line, and who speaks: `m`, the small
    fish, `v`, the big one, or `x`, anyone else."""
    level, identifier = line.split("/")
    role = re.match(r"[^-]+-([mv])-", identifier)
    path = folder / GAME / "sound" / level / lang / f"{identifier}.ogg"
    return path, role.group(1) if role else "x"


def pairs(folder: Path, lang: str) -> Iterator[tuple[str, str]]:
    """Raw (foreign, English) texts."""
    for _, own, english in dialogues(folder, lang):
        yield own, english


def _unescape(text: str) -> str:
    """A Lua string's escapes undone."""
    return re.sub(r"\\(.)", r"\1", text)
