"""What is wrong with a training's configuration, said before anything is loaded."""

import inspect
import math
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping
from types import NoneType, UnionType
from typing import get_args

from comsl.errors import DataError

# Settings that are one, whatever has them; that mask_probability makes sense, Settings checks.
SHARES = {"alpha_st", "alpha_mt", "denoise", "dropout", "label_smoothing", "typeset"}


def class_of(setting: str, name: str, classes: Mapping[str, type]) -> type:
    """The class that a setting names. DataError: there is none of that name."""
    if name not in classes:
        raise DataError(f"{setting}: there is no '{name}'; known: {', '.join(sorted(classes))}")
    return classes[name]


def check_settings(name: str, part: Callable, settings: Mapping, given: int = 0) -> None:
    """DataError: the option `name` gives a part of the training a setting that it doesn't have, or
    a value that the setting can't have. given: so many of its first parameters are no settings."""
    known = dict(list(inspect.signature(part).parameters.items())[given:])
    if unknown := sorted(settings.keys() - known.keys()):
        raise DataError(f"{name}: no setting '{unknown[0]}'; known: {' '.join(known)}")
    check_numbers(name, settings)
    for setting, value in settings.items():
        kinds = _kinds(known[setting])
        if bool in kinds and not isinstance(value, bool):
            raise DataError(f"{name}: {setting} is true or false, not {value!r}")
        absent = value is None and NoneType in kinds
        if kinds & {int, float} and not absent and not isinstance(value, int | float):
            raise DataError(f"{name}: {setting} is a number, not {value!r}")
        if setting in SHARES and not absent and not 0 <= value <= 1:
            raise DataError(f"{name}: {setting} is a share, from 0 to 1, not {value}")
        if setting.startswith("w_") and value < 0:
            raise DataError(f"{name}: {setting} is a weight, at least 0, not {value}")


def _kinds(parameter: inspect.Parameter) -> set:
    """Types that a parameter may have, by its annotation and its default."""
    annotation = parameter.annotation
    annotated = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return {*annotated, type(parameter.default)}


def check_numbers(name: str, value: object) -> None:
    """DataError: within nested settings a number is NaN or infinite, or was read as text."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            check_numbers(f"{name}: {key}", one)
    elif isinstance(value, list | tuple):
        for one in value:
            check_numbers(name, one)
    elif isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{name} is a finite number, not {value}")
    elif isinstance(value, str) and _is_number(value):
        raise DataError(f"{name} is a number, not {value!r}; to YAML 1e-3 is text: write 1.0e-3")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_criteria(args: Namespace, statistics: Mapping[str, Collection[str]]) -> None:
    """DataError: a criterion for the best model, for stopping early or for the learning rate names
    no statistic. statistics: those of each phase, `train` and `valid`."""
    for option, criteria in {
        "best_model_criterion": args.best_model_criterion,
        "early_stopping_criterion": [args.early_stopping_criterion],
        "val_scheduler_criterion": [args.val_scheduler_criterion],
    }.items():
        for phase, name, *mode in criteria:
            if phase not in statistics:
                raise DataError(f"{option}: '{phase}' is neither train nor valid")
            if name not in statistics[phase]:
                known = " ".join(sorted(statistics[phase]))
                raise DataError(f"{option}: no statistic '{name}' in {phase}; there are {known}")
            if mode and mode[0] not in ("min", "max"):
                raise DataError(f"{option}: '{mode[0]}' is neither min nor max")
