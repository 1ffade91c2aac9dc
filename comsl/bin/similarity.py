"""Stage 10: cosine similarity of speech and transcript inside the language encoder.

Of the whole set one number, how much nearer a token is to the speech of its own word than to that
of others (similarity.json); of its first utterances matrices, tokens by time, as pictures
(similarity_<utterance>.png) and numbers (similarity.npz). The report's index.html, where there is
one, takes them in.
"""

import argparse
import json
import logging
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--model", required=True, help="experiment, checkpoint or packed zip")
    add("--compare_with", help="another one, whose matrices stand to the left of the model's")
    add("--raw", type=Path, required=True, help="folder with <set>_<lang>")
    add("--alignment", type=Path, required=True, help="folder with <set>_<lang>/words.ctm")
    add("--set", default="test", help="the set to look at")
    add("--langs", required=True, help='languages, such as "fr it"')
    add("--count", type=int, default=2, help="utterances a language to draw, the first")
    add("--layer", type=int, help="encoder layer; without it a third of the way up, as ERM's")
    add("--out", type=Path, required=True, help="folder of the report")
    add("--ngpu", type=int, default=0, help="0 runs on the CPU")
    return parser


@command
def main() -> None:
    """Compare, draw, and bring the report up to date."""
    args = parser().parse_args()
    sets = {lang: f"{args.set}_{lang}" for lang in args.langs.split()}
    clips = {lang: read_clips(args.raw / x, args.alignment / x) for lang, x in sets.items()}

    from comsl.evaluation.similarity import average

    shown = {lang: dict(islice(table.items(), args.count)) for lang, table in clips.items()}
    panels = {}
    if args.compare_with:
        other = load(args.compare_with, args.ngpu)
        layer = chosen_layer(other, args.layer)
        for lang, table in shown.items():
            for key, similarity in look(other, table, lang, layer):
                panels[key] = [(Path(args.compare_with).name, similarity)]
        del other  # before the next is loaded
    translator = load(args.model, args.ngpu)
    layer, means = chosen_layer(translator, args.layer), {}
    for lang, table in clips.items():
        means[lang] = {}
        for key, similarity in look(translator, table, lang, layer):
            means[lang][key] = similarity.means()
            if key in shown[lang]:
                panels.setdefault(key, []).append((Path(args.model).name, similarity))
                if similarity.tokens != panels[key][0][1].tokens:
                    raise DataError(f"--compare_with {args.compare_with}: it has another tokenizer")
    results = {"set": args.set, "layer": layer} | average(means)
    write(args.out, panels, results)


def read_clips(raw: Path, alignment: Path) -> dict[str, tuple]:
    """Utterance -> path of its audio, transcript, and words with their times."""
    from comsl.corpora.kaldi import read_table
    from comsl.evaluation.word_alignment import read_ctm

    waves, texts = read_table(raw / "wav.scp"), read_table(raw / "text.src")
    words = read_ctm(alignment / "words.ctm")
    return {key: (path, texts[key], words.get(key, [])) for key, path in waves.items()}


def load(model: str, ngpu: int):
    """A trained model as SpeechTranslator."""
    from comsl.inference import SpeechTranslator

    return SpeechTranslator.from_pretrained(model, "cuda" if ngpu else "cpu")


def chosen_layer(translator, layer: int | None) -> int:
    """The encoder layer to look at."""
    from comsl.model.objectives.cml import matched_layer

    layers = translator.model.language_model.config.encoder_layers
    return matched_layer(layers) if layer is None else layer


def look(translator, clips: dict[str, tuple], lang: str, layer: int) -> Iterator[tuple]:
    """Each utterance with its Similarity, and a line of progress now and then."""
    from comsl.corpora.waves import read_wave
    from comsl.evaluation.similarity import compare

    start = time.monotonic()
    for number, (key, (path, text, words)) in enumerate(clips.items(), start=1):
        yield key, compare(translator, read_wave(key, path), text, words, lang, layer)
        if number % 100 == 0 or number == len(clips):
            logging.info("%s: %d/%d, %.0f s", lang, number, len(clips), time.monotonic() - start)


def write(out: Path, panels: dict[str, list[tuple]], results: dict) -> None:
    """Pictures and matrices, then the numbers: where similarity.json stands, all is there."""
    import numpy as np

    from comsl.corpora.kaldi import write_text
    from comsl.evaluation.plots import draw_similarity
    from comsl.evaluation.report import similarity_table, update_pictures

    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("similarity_*.png"):
        old.unlink()
    for utterance, pair in panels.items():
        draw_similarity(pair, out / f"similarity_{utterance.replace('/', '_')}.png")
    temporary = out / ".similarity.tmp.npz"
    np.savez_compressed(temporary, **{key: pair[-1][1].matrix for key, pair in panels.items()})
    temporary.replace(out / "similarity.npz")
    write_text(out / "similarity.json", json.dumps(results, indent=2) + "\n")
    update_pictures(out)
    print(f"{similarity_table(results).format('simple')}\n\n{out / 'similarity.json'}")


if __name__ == "__main__":
    main()
