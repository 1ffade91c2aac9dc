"""Synthetic training speech: some sentence pairs of each language, their source side spoken by
espeak-ng in many voices."""

import argparse
import hashlib
import random
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError

VOICES = {
    "es": "es-419",
    "zh-CN": "cmn",
}  # Latin America's Spanish; others have the language's name
VARIANTS = ("m1", "m3", "m7", "f1", "f2", "f3", "f4", "f5")
SPEED, PITCH = (125, 185), (30, 70)
MARGIN = 0.1  # seconds kept before and after what is heard


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pairs", type=Path, required=True, help="folder with train_<lang>, text.src and text.tgt"
    )
    parser.add_argument("--langs", required=True, help="languages")
    parser.add_argument("--number", type=int, default=1500, help="pairs of each language")
    parser.add_argument("--min_words", type=int, default=3, help="of a translation")
    parser.add_argument("--max_words", type=int, default=14, help="of a translation")
    parser.add_argument("--out", type=Path, required=True, help="folder for spoken_<lang>")
    return parser


def choose(args: argparse.Namespace, lang: str) -> dict[str, tuple[str, str]]:
    """Pair id -> source and target, in an order that depends on the translations alone, so that
    languages say much the same. DataError: too few."""
    from comsl.corpora.kaldi import read_table
    from comsl.languages import language

    folder = args.pairs / f"train_{language(lang).code}"
    source, target = read_table(folder / "text.src"), read_table(folder / "text.tgt")
    keys = [k for k in source if args.min_words <= len(target[k].split()) <= args.max_words]
    if len(keys) < args.number:
        raise DataError(
            f"{folder}: only {len(keys)} pairs of {args.min_words} to {args.max_words} words;"
            f" --number {args.number} is too many"
        )
    keys.sort(key=lambda k: hashlib.sha256(target[k].encode()).digest())
    return {k: (source[k], target[k]) for k in keys[: args.number]}


def say(key: str, text: str, lang: str):
    """Waveform (samples,) and speaker, both following from the pair's id."""
    import numpy as np

    from comsl.corpora.audio import RATE
    from comsl.corpora.synthesis import speak

    draw = random.Random(key)
    variant = draw.choice(VARIANTS)
    voice = f"{VOICES.get(lang, lang.split('-')[0])}+{variant}"
    wave = speak(text, voice, draw.randint(*SPEED), draw.randint(*PITCH)).samples
    heard = np.flatnonzero(np.abs(wave) > 0.003)
    margin = int(MARGIN * RATE)
    return wave[max(0, heard[0] - margin) : heard[-1] + margin], f"espeak_{lang}-{variant}"


def write(out: Path, lang: str, pairs: dict[str, tuple[str, str]]) -> None:
    """One language's set, and its audio below out/audio."""
    from comsl.corpora.audio import RATE, write_flac
    from comsl.corpora.kaldi import write_dir

    fields = ("wav.scp", "utt2spk", "utt2dur", "utt2lang", "text.src", "text.tgt")
    tables = {field: {} for field in fields}
    for key, (source, target) in pairs.items():
        wave, speaker = say(key, source, lang)
        path = out / "audio" / "espeak" / f"{key}.flac"
        write_flac(path, wave)
        values = (str(path), speaker, f"{len(wave) / RATE:.3f}", lang, source, target)
        for field, value in zip(fields, values, strict=True):
            tables[field][f"{speaker}-{key}"] = value
    write_dir(out / f"spoken_{lang}", tables)
    hours = sum(map(float, tables["utt2dur"].values())) / 3600
    print(f"{out / f'spoken_{lang}'}: {len(tables['text.src'])} utterances, {hours:.2f} h")


@command
def main() -> None:
    """Speak every language's pairs."""
    args = parser().parse_args()
    if args.number < 1:
        raise DataError(f"--number {args.number}: at least one pair, please")
    chosen = {lang: choose(args, lang) for lang in args.langs.split()}
    for lang, pairs in chosen.items():
        write(args.out, lang, pairs)


if __name__ == "__main__":
    main()
