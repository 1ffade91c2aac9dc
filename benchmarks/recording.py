"""What is lost where clips stand in a long recording, by the model that comes with the package.

The prompts of each language's development set are joined, with gaps of 1 to 3 seconds between them:
silence in one recording, and in another silence, faint noise, hiss and chords in turn. `comsl
translate` finds out the language of these recordings and translates them. Their texts, cut at the
references' boundaries, are scored beside those of the clips one by one, as stage 7 decodes them,
BLEU as the mean over the languages; where cues begin and end, beside where prompts do. At last the
language of every clip by itself is found out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.common import dev_clips, english_bleu, parser, report, row
from comsl.corpora.loudness import SILENCE, levels
from comsl.corpora.samples import RATE

BEAM = 5
STEP = RATE // 100  # samples: how exactly it is known where a prompt begins and ends
NEAR = 0.3  # seconds between an edge of a prompt and of its cue
EDGES, RIGHT = 95, 95  # percent of edges and of languages: what the project set itself


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=1)
    options.add_argument("--model", type=Path, default=Path("comsl/pretrained"))
    options.add_argument("--raw", type=Path, default=Path("dump/asterisk/raw"))
    options.add_argument("--langs", default="es fr it ru")
    options.add_argument("--utterances", type=int, help="of each language; without it, all")
    return options.parse_args()


@dataclass(frozen=True)
class Joined:
    """The clips of a language, their translations, and where in the recording `wave` they are heard
    (start, end), in seconds."""

    clips: list[np.ndarray]
    references: list[str]
    wave: np.ndarray
    places: list[tuple[float, float]]


def chords(seconds: int) -> np.ndarray:
    """Music (T,), one chord a second."""
    time = np.arange(seconds * RATE) / RATE
    roots = 220 * 2 ** (np.array([0, 5, 7, 3, 8])[time.astype(int) % 5] / 12)
    phase = 2 * np.pi * np.cumsum(roots) / RATE
    return 0.05 * sum(np.sin(phase * ratio) for ratio in (1, 1.25, 1.5))


def gaps(quiet: bool) -> Iterator[np.ndarray]:
    """What stands between the prompts, again and again, the same every time."""
    draw = np.random.default_rng(0)
    noise, silence = draw.standard_normal(3 * RATE), np.zeros(3 * RATE)
    kinds = [silence, 10 ** (-80 / 20) * noise, chords(3), 0.003 * noise]
    for kind in cycle([silence] if quiet else kinds):
        yield kind[: draw.integers(RATE, 3 * RATE)].astype(np.float32)


def join(options: argparse.Namespace, lang: str, quiet: bool) -> Joined:
    """A language's prompts as one recording; quiet: with nothing but silence between them."""
    clips, references = dev_clips(options.raw, lang, options.utterances)
    parts, places, position = [], [], 0
    for clip, gap in zip(clips, gaps(quiet), strict=False):
        heard = np.flatnonzero(levels(clip, STEP) > SILENCE) * STEP
        places.append(((position + heard[0]) / RATE, (position + heard[-1] + STEP) / RATE))
        parts += [clip, gap]
        position += len(clip) + len(gap)
    return Joined(clips, references, np.concatenate(parts), places)


def translate(model: Path, recordings: dict[str, Joined]) -> dict[str, dict]:
    """Language -> what the command writes of its recording, as --format json has it."""
    import soundfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for lang, recording in recordings.items():
            soundfile.write(folder / f"{lang}.flac", recording.wave, RATE)
        command = [sys.executable, "-m", "comsl", "translate", "--format", "json"]
        command += ["--model", str(model), "--output_dir", name, name]
        subprocess.run(command, check=True)
        return {
            lang: json.loads((folder / f"{lang}.json").read_text("utf-8")) for lang in recordings
        }


def edges(places: list[tuple[float, float]], cues: list[dict]) -> tuple[list[bool], int]:
    """Whether each edge of each prompt is near its cues'; number of cues that are no prompt's."""
    near, outside = [], len(cues)
    for start, end in places:
        own = [cue for cue in cues if start - NEAR < (cue["start"] + cue["end"]) / 2 < end + NEAR]
        outside -= len(own)
        near += [
            bool(own) and abs(own[0]["start"] - start) <= NEAR,
            bool(own) and abs(own[-1]["end"] - end) <= NEAR,
        ]
    return near, outside


def compare(
    recordings: dict[str, Joined], written: dict[str, dict]
) -> tuple[float, list[bool], int]:
    """Mean BLEU of the recordings' texts; of their cues, what `edges` finds."""
    from comsl.evaluation.resegmentation import resegment

    scores, near, outside = [], [], 0
    for lang, recording in recordings.items():
        pieces = resegment(written[lang]["text"], recording.references, "en")
        scores.append(english_bleu(pieces, recording.references))
        found, cues = edges(recording.places, written[lang]["segments"])
        near, outside = near + found, outside + cues
    return float(np.mean(scores)), near, outside


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    from comsl.serving.systems import load_system

    torch.set_num_threads(options.threads)
    langs = options.langs.split()
    system, detector = load_system("comsl", options.model)
    own, right = [], []
    for lang in langs:
        joined = join(options, lang, quiet=True)
        clips = joined.clips
        texts = system.generate("st", clips, [lang] * len(clips), batch_size=16, beam_size=BEAM)
        own.append(english_bleu(texts, joined.references))
        right += [detector.detect([clip], system.languages) == [lang] for clip in clips]
    limit, rows, notes = "%; the baseline is the limit", [], {}
    for between, quiet in (("silence", True), ("noise and music too", False)):
        recordings = {lang: join(options, lang, quiet) for lang in langs}
        written = translate(options.model, recordings)
        score, near, outside = compare(recordings, written)
        rows.append(row(f"{between}: one recording against clips", score, np.mean(own), "BLEU"))
        rows.append(row(f"{between}: edges within {NEAR} s", 100 * np.mean(near), EDGES, limit))
        notes[f"{between}: cues in gaps"] = outside
        notes[f"{between}: languages right"] = sum(written[x]["language"] == x for x in langs)
        seconds = sum(len(recording.wave) for recording in recordings.values()) / RATE
        notes[f"{between}: minutes"] = round(seconds / 60, 1)
    rows.append(row("clips' language found out", 100 * np.mean(right), RIGHT, limit))
    report(rows, options, notes)


if __name__ == "__main__":
    main()
