"""Stage 10: cosine similarity of speech and transcript inside the language encoder, as pictures.

Writes similarity_<utterance>.png, similarity.npz (the matrices: tokens by time), and puts the
pictures into the report's index.html where there is one.
"""

import argparse
import logging
from pathlib import Path

from comsl.cli import command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="experiment, checkpoint or packed zip")
    parser.add_argument("--raw", type=Path, required=True, help="folder with <set>_<lang>")
    parser.add_argument("--set", default="test", help="the set to look at")
    parser.add_argument("--langs", required=True, help='languages, such as "fr it"')
    parser.add_argument("--count", type=int, default=2, help="utterances a language, the first")
    parser.add_argument("--layer", type=int, help="encoder layer; without it, that of ERM")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--ngpu", type=int, default=0, help="0 runs on the CPU")
    return parser


@command
def main() -> None:
    """Compare, draw, and bring the report up to date."""
    args = parser().parse_args()
    clips = read_clips(args.raw, args.set, args.langs.split(), args.count)

    from comsl.inference import SpeechTranslator
    from comsl.similarity import compare

    translator = SpeechTranslator.from_pretrained(args.model, "cuda" if args.ngpu else "cpu")
    layer = translator.model.erm_layer if args.layer is None else args.layer
    similarities = {
        utterance: compare(translator, wave, text, lang, layer)
        for utterance, (wave, text, lang) in clips.items()
    }
    write(args.out, similarities)
    logging.info("%s: layer %d, %d utterances", args.out, layer, len(similarities))


def read_clips(raw: Path, name: str, langs: list[str], count: int) -> dict[str, tuple]:
    """Utterance -> wave, transcript, language, of the first `count` of each language."""
    from comsl.data.kaldi import read_table
    from comsl.data.waves import read_wave

    clips = {}
    for lang in langs:
        folder = raw / f"{name}_{lang}"
        waves, texts = read_table(folder / "wav.scp"), read_table(folder / "text.src")
        for utterance in list(waves)[:count]:
            wave = read_wave(utterance, waves[utterance])
            clips[utterance] = (wave, texts[utterance], lang)
    return clips


def write(out: Path, similarities: dict) -> None:
    """Pictures, then the matrices: where similarity.npz stands, all is there."""
    import numpy as np

    from comsl.pictures import draw_similarity
    from comsl.report import update_pictures

    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("similarity_*.png"):
        old.unlink()
    for utterance, similarity in similarities.items():
        draw_similarity(similarity, out / f"similarity_{utterance.replace('/', '_')}.png")
    update_pictures(out)
    temporary = out / ".similarity.tmp.npz"
    np.savez_compressed(temporary, **{key: item.matrix for key, item in similarities.items()})
    temporary.replace(out / "similarity.npz")


if __name__ == "__main__":
    main()
