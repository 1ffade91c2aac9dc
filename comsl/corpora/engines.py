"""Speech synthesis engines by name."""

from pathlib import Path

from comsl.corpora.spoken import Engine
from comsl.errors import DataError


def engine_of(name: str, downloads: Path) -> Engine:
    """The engine, its voices fetched if need be. DataError: no such engine, out of reach."""
    if name == "espeak":
        from comsl.corpora.synthesis import Espeak

        return Espeak()
    if name == "kokoro":
        from comsl.corpora.kokoro import Kokoro

        return Kokoro(downloads)
    if name == "rhvoice":
        from comsl.corpora.rhvoice import RHVoice

        return RHVoice()
    if name == "pico":
        from comsl.corpora.pico import Pico

        return Pico()
    raise DataError(f"no engine '{name}'; known: espeak, kokoro, pico, rhvoice")
