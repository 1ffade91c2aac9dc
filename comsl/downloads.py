"""Where what is fetched is kept: in the clone, or in the user's cache where comsl is installed."""

from pathlib import Path

_TOP = Path(__file__).resolve().parent.parent
DOWNLOADS = str(
    _TOP / "downloads" if (_TOP / "path.sh").is_file() else Path.home() / ".cache" / "comsl"
)
