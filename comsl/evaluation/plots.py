"""Pictures of the report: BLEU per language, training curves, similarity of speech and text."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from comsl.evaluation.curves import Curve, Run
from comsl.files import atomic_file

if TYPE_CHECKING:
    from comsl.evaluation.similarity import Similarity

# An objective keeps its colour in every picture.
COLOURS = ("#3b6fb6", "#d1743c", "#4f9d69", "#8d6bb8", "#b8495f", "#7a7a7a", "#2fa3a8", "#b59a2b")


def draw_bars(labels: Sequence[str], series: dict[str, Sequence[float]], path: Path) -> None:
    """Grouped bars, a group a label and a bar a series: `series[name][i]` is BLEU at label i."""
    from matplotlib.figure import Figure

    few = len(labels) * len(series) <= 60  # room for a number over each bar
    figure = Figure(figsize=(8.0 if few else 16.0, 3.6))
    axes = figure.add_subplot()
    width = 0.8 / len(series)
    for index, (name, values) in enumerate(series.items()):
        places = [place + (index - (len(series) - 1) / 2) * width for place in range(len(labels))]
        colour = COLOURS[index % len(COLOURS)]
        bars = axes.bar(places, values, 0.92 * width, label=name, color=colour)
        if few:
            axes.bar_label(bars, fmt="%.1f", fontsize=6, padding=1)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("BLEU")
    _tidy(axes)
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    _save(figure, path)


def draw_curves(runs: Sequence[Run], path: Path) -> None:
    """Train loss per objective, dev ST loss and dev BLEU; runs joined, a dashed line between."""
    from matplotlib.figure import Figure

    panels = [
        ("training loss per objective", "epochs", _objectives(runs, "train"), "log"),
        ("dev ST loss", "epochs", _tags(runs, "valid", ["loss_st"]), "linear"),
        ("dev BLEU", "minutes", _tags(runs, "valid", ["bleu"]), "linear"),
    ]
    panels = [panel for panel in panels if panel[2]]
    figure = Figure(figsize=(4.6 * max(1, len(panels)), 3.6))
    for index, (title, axis, tags, scale) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), index)
        _draw_panel(axes, runs, tags, axis)
        axes.set(title=title, xlabel=axis.replace("minutes", "minutes of training"), yscale=scale)
        _tidy(axes)
    _save(figure, path)


def _objectives(runs: Sequence[Run], side: str) -> dict[str, list[Curve | None]]:
    tags = {tag: None for run in runs for tag in getattr(run, side)}
    # ESPnet's own `loss_scale` is no objective.
    names = [tag for tag in tags if tag.startswith("loss_") and tag != "loss_scale"]
    return _tags(runs, side, list(names))


def _tags(runs: Sequence[Run], side: str, tags: list[str]) -> dict[str, list[Curve | None]]:
    """Tag -> its curve in each run; only tags that some run has."""
    found = {tag: [getattr(run, side).get(tag) for run in runs] for tag in tags}
    return {tag: curves for tag, curves in found.items() if any(curves)}


def _draw_panel(axes, runs: Sequence[Run], tags: dict[str, list[Curve | None]], axis: str) -> None:
    starts = [0.0, *accumulate(getattr(run, axis) for run in runs[:-1])]
    for index, (tag, curves) in enumerate(tags.items()):
        colour = COLOURS[index % len(COLOURS)]
        label = tag.removeprefix("loss_")
        for start, curve in zip(starts, curves, strict=True):
            if curve:
                places = [start + place for place in getattr(curve, axis)]
                marker = "o" if len(places) < 60 else None
                axes.plot(places, curve.values, color=colour, label=label, marker=marker, ms=2.5)
                label = None  # a joined curve stands in the legend once
    for start, run in zip(starts[1:], runs[1:], strict=True):
        axes.axvline(start, color="#999999", linestyle="--", linewidth=0.8)
        where = axes.get_xaxis_transform()  # x in data, y from the bottom (0) to the top (1)
        axes.text(start, 0.02, f" {run.name}", transform=where, fontsize=7, color="#777777")
    if len(tags) > 1:
        axes.legend(fontsize=7, frameon=False)


def draw_similarity(panels: Sequence[tuple[str, "Similarity"]], path: Path) -> None:
    """The matrices of one utterance by several models, each with its name, side by side in the same
    colours.

    A row a token over seconds, below the recording's level, so that silence is seen; a frame around
    the speech of a token's word, none for punctuation; a dashed line where the recording ends and
    the silence appended to it begins.
    """
    from matplotlib.figure import Figure

    tokens = panels[0][1].tokens
    rows = [1, max(2, 0.25 * len(tokens))]
    figure = Figure(figsize=(1.0 + 7.0 * len(panels), 1.8 + 0.2 * len(tokens)))
    grid = figure.subplots(
        2, len(panels), sharex=True, sharey="row", squeeze=False, height_ratios=rows
    )
    lowest = min(similarity.matrix.min() for _, similarity in panels)
    highest = max(similarity.matrix.max() for _, similarity in panels)
    for (name, similarity), above, below in zip(panels, *grid, strict=True):
        above.set_title(name, fontsize=9)
        _draw_level(above, similarity.wave)
        image = _draw_matrix(below, similarity, lowest, highest)
    grid[0, 0].set_ylabel("dB", fontsize=8)
    grid[1, 0].set_yticks(range(len(tokens)), tokens, fontsize=8)
    figure.colorbar(image, ax=grid, label="cosine similarity")
    _save(figure, path)


def _draw_level(axes, wave) -> None:
    """Level of every 20 ms of a wave (samples,) at 16 kHz, in dB below full scale."""
    from comsl.corpora.loudness import levels
    from comsl.corpora.samples import RATE

    floor = -80.0
    heights = levels(wave, RATE // 50).clip(min=floor)
    seconds = [0.02 * (index + 0.5) for index in range(len(heights))]
    axes.fill_between(seconds, heights, floor, color="#777777", linewidth=0)
    axes.tick_params(labelsize=7)
    _tidy(axes)


def _draw_matrix(axes, similarity: "Similarity", lowest: float, highest: float):
    """The matrix in colours from `lowest` to `highest`, with frames around the spans."""
    from matplotlib.patches import Rectangle

    from comsl.corpora.samples import RATE

    rows, columns = similarity.matrix.shape
    step = similarity.seconds
    left, right = -step / 2, (columns - 0.5) * step  # a position is at its centre
    image = axes.imshow(
        similarity.matrix,
        aspect="auto",
        extent=(left, right, rows - 0.5, -0.5),
        interpolation="nearest",
        vmin=lowest,
        vmax=highest,
    )
    for row, span in enumerate(similarity.spans):
        if span:
            place, width = (span[0], row - 0.5), span[1] - span[0]
            axes.add_patch(Rectangle(place, width, 1, fill=False, edgecolor="white", linewidth=0.7))
    axes.axvline(len(similarity.wave) / RATE, color="white", linestyle="--", linewidth=0.8)
    axes.set(xlabel="seconds", xlim=(left, right))
    return image


def _tidy(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)


def _save(figure, path: Path) -> None:
    figure.set_layout_engine("constrained")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
