"""What is lost where clips stand in a long recording, by the model that comes with the package.

The prompts of each language's development set are joined, with gaps of 1 to 3 seconds between them:
silence, faint noise, hiss, and chords. `comsl translate` finds out the language of these
recordings and translates them. Their texts, cut at the references' boundaries, are scored beside
those of the clips one by one, as stage 7 decodes them; where cues begin and end, beside where
prompts do. At last the language of every clip by itself is found out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.common import parser, report, row
from comsl.corpora.kaldi import read_table
from comsl.corpora.loudness import SILENCE, levels
from comsl.corpora.samples import RATE
from comsl.corpora.waves import read_wave

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


def gaps(draw: np.random.Generator):
    """What stands between the prompts, again and again."""
    noise = draw.standard_normal(3 * RATE)
    for kind in cycle([np.zeros(3 * RATE), 10 ** (-80 / 20) * noise, chords(3), 0.003 * noise]):
        yield kind[: draw.integers(RATE, 3 * RATE)].astype(np.float32)


def join(options: argparse.Namespace, lang: str) -> Joined:
    """A language's prompts as one recording, the same every time."""
    paths, texts = (
        read_table(options.raw / f"dev_{lang}" / name) for name in ("wav.scp", "text.tgt")
    )
    keys = list(paths)[: options.utterances]
    clips = [read_wave(key, paths[key]) for key in keys]
    parts, places, position = [], [], 0
    for clip, gap in zip(clips, gaps(np.random.default_rng(0)), strict=False):
        heard = np.flatnonzero(levels(clip, STEP) > SILENCE) * STEP
        places.append(((position + heard[0]) / RATE, (position + heard[-1] + STEP) / RATE))
        parts += [clip, gap]
        position += len(clip) + len(gap)
    return Joined(clips, [texts[key] for key in keys], np.concatenate(parts), places)


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


def bleu(texts: list[str], references: list[str]) -> float:
    """Of translations into English."""
    from comsl.bleu import bleu_metric

    return bleu_metric("en").corpus_score(texts, [references]).score


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    from comsl.evaluation.resegmentation import resegment
    from comsl.serving.systems import load_system

    torch.set_num_threads(options.threads)
    recordings = {lang: join(options, lang) for lang in options.langs.split()}
    written = translate(options.model, recordings)
    system, detector = load_system("comsl", options.model)
    rows, near, outside, right = [], [], 0, []
    for lang, recording in recordings.items():
        clips = recording.clips
        own = system.generate("st", clips, [lang] * len(clips), batch_size=16, beam_size=BEAM)
        whole = resegment(written[lang]["text"], recording.references, "en")
        scores = bleu(whole, recording.references), bleu(own, recording.references)
        rows.append(row(f"{lang}, as one recording against clips", *scores, "BLEU"))
        found, cues = edges(recording.places, written[lang]["segments"])
        near, outside = near + found, outside + cues
        right += [detector.detect([clip], system.languages) == [lang] for clip in clips]
    means = (float(np.mean([line[side] for line in rows])) for side in ("ours", "baseline"))
    rows.append(row("mean", *means, "BLEU"))
    limit = "%; the baseline is the limit"
    rows.append(row(f"edges of cues within {NEAR} s", 100 * np.mean(near), EDGES, limit))
    rows.append(row("clips' language found out", 100 * np.mean(right), RIGHT, limit))
    told = all(written[lang]["language"] == lang for lang in recordings)
    minutes = sum(len(recording.wave) for recording in recordings.values()) / RATE / 60
    notes = {"cues in gaps": outside, "recordings' languages right": told}
    report(rows, options, notes | {"minutes": round(minutes, 1)})


if __name__ == "__main__":
    main()
