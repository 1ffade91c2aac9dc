"""Stage 10's number and pictures from what `comsl.bin.similarity` has measured.

Of the whole set one number, how much nearer a token is to the speech of its own word than to that
of others (similarity.json); of its first utterances matrices, tokens by time, as pictures
(similarity_<utterance>.png) and numbers (similarity.npz). The report's index.html, where there is
one, takes them in.
"""

import json
import logging
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora.kaldi import read_table
from comsl.corpora.sets import sets_of
from comsl.errors import DataError
from comsl.files import write_text


@command
def main() -> None:
    """Average, draw, and bring the report up to date."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add(
        "--similarity", type=Path, required=True, help="folder with <set>_<lang>/similarity.<layer>"
    )
    add("--set", default="test", help="the set to look at")
    add("--langs", required=True, help='languages, such as "fr it"')
    add("--out", type=Path, required=True, help="folder of the report")
    args = parser.parse_args()
    folders = {lang: args.similarity / name for name, lang in sets_of(args.set, args.langs).items()}
    tables = {lang: find_table(folder) for lang, folder in folders.items()}
    layers = {int(table.suffix[1:]) for table in tables.values()}
    if len(layers) > 1:
        raise DataError(f"{args.similarity}: of different layers, {layers}; measure it anew")

    from comsl.evaluation.similarity import average, load_panels

    means, panels = {}, {}
    for lang, table in tables.items():
        rows = read_table(table, empty_ok=True)
        means[lang] = {key: tuple(map(float, row.split())) or None for key, row in rows.items()}
        panels |= dict(map(load_panels, sorted(table.parent.glob("*.npz"))))
    results = {"set": args.set, "layer": layers.pop()} | average(means)
    if not results["utterances"]["all"]:
        logging.warning("no utterance of %s has two words that are aligned: no means", args.set)
    write(args.out, panels, results)


def find_table(folder: Path) -> Path:
    """DataError: there is none, or several."""
    tables = list(folder.glob("similarity.*"))
    if len(tables) != 1:
        raise DataError(f"{folder}: {len(tables)} tables similarity.<layer>, not one; run stage 10")
    return tables[0]


def write(out: Path, panels: dict[str, list[tuple]], results: dict) -> None:
    """Pictures and matrices, then the numbers: where similarity.json stands, all is there."""
    import numpy as np

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
