"""Reading YAML files of settings; values that no setting can have are refused."""

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
            raise DataError(f"{path}: {name} is {value}, not a finite number")
    return settings


def _values(settings: dict, above: str = "") -> Iterator[tuple[str, object]]:
    """Every single value with its dotted name."""
    for name, value in settings.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _values(one, f"{above}{name}.")
            else:
                yield f"{above}{name}", one


# A search's settings -> their types, in words too.
COUNT = (int,), "a whole number above 0"
SEARCH = {
    "beam_size": COUNT,
    "batch_size": COUNT,
    "length_penalty": ((int, float), "a number"),
    "early_stopping": ((bool,), "true or false"),
}


def read_search(path: Path) -> dict[str, int | float | bool]:
    """The settings of SEARCH that a file has. DataError as `read_settings`, another setting, or a
    value that it can't have."""
    settings = read_settings(path)
    for name, value in settings.items():
        if name not in SEARCH:
            raise DataError(f"{path}: no setting '{name}': known are {', '.join(SEARCH)}")
        types, words = SEARCH[name]
        if type(value) not in types or (SEARCH[name] == COUNT and value < 1):
            raise DataError(f"{path}: {name} is {words}, not {value!r}")
    return settings
