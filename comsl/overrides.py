"""Partial configurations, conf/<study>/<row>.yaml: what a training changes against its base.

run:                   # options of run.sh; nothing empties one
  frozen_phase: none
model_conf:            # everything else is ESPnet's
  w_cml: 0
"""

from pathlib import Path

import yaml

from comsl.errors import DataError
from comsl.settings_file import read_settings

RUN = "run"


def espnet_options(path: Path) -> list[str]:
    """ESPnet's settings of a file as words of its command line, which go on top of any others:
    `--model_conf w_cml=0`. DataError as `read`, or a list, which no option of ESPnet's takes."""
    words = []
    for option, value in read(path).items():
        if option == RUN:
            continue
        for key, one in _flatten(path, value):
            words += [f"--{option}", f"{key}={_yaml(one)}" if key else _plain(one)]
    return words


def run_options(path: Path) -> dict[str, str]:
    """A file's options of run.sh by name; an empty one is "". DataError as `read`."""
    settings = read(path).get(RUN, {})
    return {name: "" if value is None else _plain(value) for name, value in settings.items()}


def read(path: Path) -> dict:
    """A file's settings by name. DataError as `read_settings`, or no settings under `run`."""
    settings = read_settings(path)
    if not isinstance(settings.get(RUN, {}), dict):
        raise DataError(f"{path}: write settings as lines `name: value`, those of run.sh under run")
    return settings


def _flatten(path: Path, value, key: str = "") -> list[tuple[str, object]]:
    """The values of nested settings with their dotted keys."""
    if isinstance(value, list):
        raise DataError(f"{path}: {key or 'an option'} is a list: only single values can change")
    if not isinstance(value, dict) or (key and not value):
        return [(key, value)]
    inner = [_flatten(path, item, f"{key}.{name}".lstrip(".")) for name, item in value.items()]
    return [pair for pairs in inner for pair in pairs]


def _yaml(value: object) -> str:
    """As YAML writes it: Python's `1e-05` would be text there."""
    return yaml.safe_dump(value, default_flow_style=True, width=1_000_000).splitlines()[0]


def _plain(value: object) -> str:
    """The same, but text without quotation marks."""
    return value if isinstance(value, str) else _yaml(value)
