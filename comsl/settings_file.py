"""Files of settings, YAML: read, with what no setting may be refused."""

import math
from collections.abc import Iterator
from pathlib import Path

from comsl.errors import DataError


def read_settings(path: Path) -> dict:
    """A file's settings by name. DataError: no such file, no YAML, no settings in it, or a number
    that is none (NaN, infinity)."""
    import yaml

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no YAML in UTF-8: {error}") from None
    if not isinstance(settings, dict):
        raise DataError(f"{path}: write settings as lines `name: value`")
    for name, value in _values(settings):
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{path}: {name} is {value}, no number to work with")
    return settings


def _values(settings: dict, above: str = "") -> Iterator[tuple[str, object]]:
    """Every single value with its dotted name."""
    for name, value in settings.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _values(one, f"{above}{name}.")
            else:
                yield f"{above}{name}", one


def read_search(path: Path) -> dict[str, int]:
    """The settings of a search, `beam_size` and `batch_size`, those that a file has. DataError as
    `read_settings`, another setting, or no whole number above 0."""
    settings = read_settings(path)
    for name, value in settings.items():
        if name not in ("beam_size", "batch_size"):
            raise DataError(f"{path}: no setting '{name}': known are beam_size and batch_size")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise DataError(f"{path}: {name} is a whole number above 0, not {value!r}")
    return settings
