"""Names of files, which may be in another Unicode form on the disk than in a table."""

from pathlib import Path
from unicodedata import normalize


def find_file(path: Path) -> Path:
    """The path, or, where nothing is there, what has its name in NFC or NFD (as macOS writes "é").

    Returned as it is if nothing has that name either.
    """
    if path.exists():
        return path
    found = Path(path.anchor)
    for part in path.relative_to(found).parts:
        forms = (found / form for form in (part, normalize("NFC", part), normalize("NFD", part)))
        found = next((form for form in forms if form.exists()), None)
        if found is None:
            return path
    return found
