"""What `comsl translate` would gain by fewer bits, and lose: clips a second, and BLEU.

The development set's clips, read in advance, are translated with each `--dtype`, which take turns:
float32 is the baseline. BLEU is the mean over the languages.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.common import dev_clips, english_bleu, interleave, parser, report, row
from comsl.serving.command_line import DTYPES


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=2)
    options.add_argument("--model", type=Path, default=Path("comsl/pretrained"))
    options.add_argument("--raw", type=Path, default=Path("dump/asterisk/raw"))
    options.add_argument("--langs", default="es fr it ru")
    options.add_argument("--utterances", type=int, help="of each language; without it, all")
    options.add_argument("--batch_size", type=int, default=16)
    options.add_argument("--beam_size", type=int, default=5)
    return options.parse_args()


Clips = dict[str, tuple[list[np.ndarray], list[str]]]  # language -> waves, their translations


def translators(options: argparse.Namespace) -> dict[str, Callable[[list, list], list[str]]]:
    """Precision -> what translates waves of these languages."""
    from comsl.inference import SpeechTranslator

    search = {"batch_size": options.batch_size, "beam_size": options.beam_size}

    def load(dtype: str) -> Callable:
        translator = SpeechTranslator.from_pretrained(options.model, dtype=dtype)
        return lambda waves, langs: translator.generate("st", waves, langs, **search)

    return {dtype: load(dtype) for dtype in DTYPES}


def mean_bleu(texts: list[str], clips: Clips) -> float:
    """Over the languages, of texts in the order of their clips."""
    left, scores = iter(texts), []
    for waves, references in clips.values():
        hypotheses = [next(left) for _ in waves]
        scores.append(english_bleu(hypotheses, references))
    return float(np.mean(scores))


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    torch.set_num_threads(options.threads)
    clips = {
        lang: dev_clips(options.raw, lang, options.utterances) for lang in options.langs.split()
    }
    texts = {}
    waves = [wave for waves, _ in clips.values() for wave in waves]
    langs = [lang for lang, (waves, _) in clips.items() for _ in waves]

    def run(name: str, translate: Callable) -> Callable:
        return lambda: texts.update({name: translate(waves, langs)})

    todo = {name: run(name, translate) for name, translate in translators(options).items()}
    seconds = interleave(todo, options.repeats)
    bleu = {name: mean_bleu(texts[name], clips) for name in texts}
    rows = []
    for name in DTYPES[1:]:
        rates = len(waves) / seconds[name], len(waves) / seconds["float32"]
        rows.append(row(f"{name}, speed", *rates, "clips/s"))
        rows.append(row(f"{name}, BLEU", bleu[name], bleu["float32"], "BLEU"))
    report(rows, options, {"clips": len(waves)})


if __name__ == "__main__":
    main()
