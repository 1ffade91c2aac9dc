"""Training curves, read from the TensorBoard events that ESPnet's trainer writes."""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from comsl.errors import DataError


@dataclass(frozen=True)
class Curve:
    """One logged quantity: `values` over `epochs` (fractions between) and `minutes` of training."""

    epochs: list[float]
    minutes: list[float]
    values: list[float]


@dataclass(frozen=True)
class Run:
    """One experiment's curves by tag (`loss_st`, ...), and how long it took; steps: batches."""

    name: str
    train: dict[str, Curve]
    valid: dict[str, Curve]
    epochs: float
    steps: int
    minutes: float


def read_run(experiment: Path) -> Run:
    """Read `<experiment>/tensorboard/{train,valid}`.

    A run that was stopped and resumed has one event file for each time that it was started: the
    minutes in between are not counted, and of steps done twice the last one counts. DataError:
    no events.
    """
    folder = experiment / "tensorboard"
    train, valid = _read_files(folder / "train"), _read_files(folder / "valid")
    scalars = _merge(train)
    if "iter_epoch" not in scalars:
        raise DataError(f"{folder}/train: no finished epoch in it; train first (stage 6)")
    # an epoch's number is logged at its last step
    ends = [(0, 0.0), *((step, value) for step, (_, value) in scalars.pop("iter_epoch").items())]
    sessions = [file.session for file in train]
    curves = [
        {tag: _curve(points, ends, sessions) for tag, points in side.items()}
        for side in (scalars, _merge(valid))
    ]
    steps, epochs = ends[-1]
    return Run(experiment.name, *curves, epochs, steps, _elapsed(sessions[-1][1], sessions))


@dataclass(frozen=True)
class _EventFile:
    session: tuple[float, float]  # first and last wall time, seconds
    scalars: dict[str, list]  # tag -> events with wall_time, step, value


def _read_files(folder: Path) -> list[_EventFile]:
    """Every event file that holds anything, oldest first."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = []
    for path in folder.glob("events.out.tfevents.*"):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
        if scalars:
            last = max(points[-1].wall_time for points in scalars.values())
            files.append(_EventFile((events.FirstEventTimestamp(), last), scalars))
    return sorted(files, key=lambda file: file.session)


def _merge(files: list[_EventFile]) -> dict[str, dict[int, tuple[float, float]]]:
    """Tag -> step -> (wall time, value), by step; a later event of a step replaces an earlier."""
    merged: dict[str, dict[int, tuple[float, float]]] = {}
    for file in files:
        for tag, events in file.scalars.items():
            merged.setdefault(tag, {}).update({e.step: (e.wall_time, e.value) for e in events})
    return {tag: dict(sorted(points.items())) for tag, points in merged.items()}


def _curve(points: dict[int, tuple[float, float]], ends: list, sessions: list) -> Curve:
    return Curve(
        [_epoch(step, ends) for step in points],
        [_elapsed(wall_time, sessions) for wall_time, _ in points.values()],
        [value for _, value in points.values()],
    )


def _epoch(step: int, ends: list[tuple[int, float]]) -> float:
    """Epoch at a step, linear between the ends of epochs and on past the last one."""
    index = min(max(bisect_right(ends, step, key=lambda end: end[0]), 1), len(ends) - 1)
    (step0, epoch0), (step1, epoch1) = ends[index - 1], ends[index]
    return epoch0 + (step - step0) * (epoch1 - epoch0) / (step1 - step0)


def _elapsed(wall_time: float, sessions: list[tuple[float, float]]) -> float:
    """Minutes for which the trainer had run at a wall time, pauses left out."""
    spent = (min(wall_time, end) - start for start, end in sessions if start < wall_time)
    return sum(spent) / 60
