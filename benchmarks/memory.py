"""Peak memory of what prepares data (stages 2, 4, 5), by hours of speech.

An hour is 720 clips, counted as 5 s each: lines of tables that name the same two short files. Tiny
random networks make the states. The baseline is the smallest corpus: what a command takes more than
there is what it holds of the corpus. Of a command's process, without those that it starts (--nj).
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from benchmarks.common import parser, peak_memory, report, row

CLIPS = 720  # an hour of 5 s
SOURCE = "Le train part demain matin à huit heures de la gare centrale."
TARGET = "The train leaves at eight o'clock tomorrow morning from the main station."


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=1)
    options.add_argument("--hours", default="1 10 100", help="sizes of the corpus")
    return options.parse_args()


def write_set(folder: Path, speaker: str, clips: int, audio: list[Path]) -> None:
    """A set in French, of 100 clips a speaker; neighbours are not of the same file."""
    from comsl.corpora.kaldi import write_dir

    keys = {f"fr_{speaker}{i // 100:06}-{i:07}": i for i in range(clips)}
    tables = {
        "wav.scp": {key: str(audio[i % 2]) for key, i in keys.items()},
        "utt2spk": {key: key.partition("-")[0] for key in keys},
        "utt2dur": dict.fromkeys(keys, "0.100"),
        "utt2lang": dict.fromkeys(keys, "fr"),
        "text.src": {key: f"{i} {SOURCE}" for key, i in keys.items()},
        "text.tgt": {key: f"{i} {TARGET}" for key, i in keys.items()},
    }
    write_dir(folder, tables)


def write_models(folder: Path) -> tuple[Path, Path]:
    """A tiny Whisper and a tiny mBART."""
    import torch
    import whisper

    from benchmarks.gpu import TINY, TINY_ENCODER
    from comsl.planning.untrained import write_language_model

    dims = {name.replace("n_", "n_audio_"): value for name, value in TINY_ENCODER.items()}
    dims["n_mels"] = dims.pop("n_audio_mels")
    dims |= {"n_vocab": 100, "n_text_ctx": 8, "n_text_state": 32, "n_text_head": 2}
    dims["n_text_layer"] = 1
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**dims))
    torch.save({"dims": dims, "model_state_dict": model.state_dict()}, folder / "whisper.pt")
    (folder / "mbart").mkdir()
    write_language_model(folder / "mbart", TINY)
    return folder / "whisper.pt", folder / "mbart"


def write_corpus(folder: Path, clips: int) -> None:
    """Stage 1's output: train, dev and test, and as much as train to be combined with it."""
    import numpy as np
    import soundfile

    folder.mkdir(parents=True)
    audio = [folder / "a.flac", folder / "b.flac"]
    for path in audio:
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(1600), 16000)
    write_set(folder / "data/train_fr", "a", clips, audio)
    write_set(folder / "data/spoken_fr", "b", clips, audio)
    for name in ("dev", "test"):
        write_set(folder / f"data/{name}_fr", name, 100, audio)


def commands(folder: Path, whisper: Path, mbart: Path) -> dict[str, list]:
    """Tool -> its options, in the order of the stages."""
    raw, both = folder / "raw", folder / "raw/both"
    encoder, teacher = folder / "encoder", folder / "teacher"
    return {
        "prepare_speech": ["--data", folder / "data", "--out", raw, "--langs", "fr", "--nj", 1],
        "combine_sets": ["--held_out", "dev test", "--out", both, raw / "train", raw / "spoken"],
        "token_lengths": ["--language_model", mbart, both],
        "extract_features": [
            *("--raw", raw, "--sets", "both", "--out", encoder, "--speech_encoder", whisper),
            *("--language_model", mbart, "--silence", 0, "--batch_seconds", 10),
        ],
        "extract_teacher": [
            "--raw", raw, "--sets", "both", "--out", teacher, "--language_model", mbart
        ],
        "write_shards": [
            *("--raw", both, "--encoder", encoder / "both", "--teacher", teacher / "both"),
            *("--out", folder / "shards"),
        ],
    }  # fmt: skip


def run(tool: str, options: list) -> None:
    """A command of ours."""
    sys.argv = [tool, *map(str, options)]
    importlib.import_module(f"comsl.bin.{tool}").main()


def main() -> None:
    args = parse_args()
    rows, least = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        models = write_models(Path(temporary))
        for hours in map(int, args.hours.split()):
            folder = Path(temporary, str(hours))
            write_corpus(folder, CLIPS * hours)
            for tool, options in commands(folder, *models).items():
                _, memory = peak_memory(run, tool, options)
                least.setdefault(tool, memory)
                rows.append(row(f"{hours} h: {tool}", memory, least[tool], "GiB", better="lower"))
                print(f"{hours} h: {tool}: {memory:.4f} GiB", file=sys.stderr, flush=True)
    report(rows, args)


if __name__ == "__main__":
    main()
