"""Compare the rows of a study: results.json, RESULTS.md, index.html and a chart."""

import argparse
import json
import logging
from pathlib import Path

from comsl.cli import command, new_parser


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--study", required=True, help="its name, such as ablation")
    add("--rows", required=True, help="names of its rows, in order")
    add(
        "--fold",
        required=True,
        action="append",
        nargs=2,
        type=Path,
        metavar=("RAW", "EXP"),
        help="a split: its sets (stage 2), the folder with an experiment a row; may be repeated",
    )
    add("--recipe", required=True, help="name of the recipe, for the titles")
    add("--set", default="test", help="the set that was decoded")
    add("--langs", required=True, help='Common Voice codes: "es fr"')
    add("--target_lang", default="en", help="of the translations")
    add("--decode", default="decode", help="an experiment's folder of translations")
    add("--out", required=True, type=Path, help="folder to write, inside the recipe's report")
    add("--command", required=True, help="the user's command, to be quoted")
    return parser.parse_args()


@command
def main() -> None:
    """Command-line entry."""
    args = parse_args()
    from comsl.evaluation import report, study
    from comsl.files import write_text
    from comsl.languages import language

    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    langs = [language(code).code for code in args.langs.split()]
    folds = [study.Fold(*fold) for fold in args.fold]
    parts = study.references(folds, args.set, langs)
    prefix = args.study.replace("_", "-")
    rows = [
        study.read_row(f"{prefix}/{name}", name, folds, args.decode, args.set, parts)
        for name in args.rows.split()
    ]
    whole = study.pool(parts)
    results = study.compare(
        args.recipe, args.study, args.set, rows, whole, len(folds), args.target_lang
    )
    results["run"] = report.provenance(args.command)

    args.out.mkdir(parents=True, exist_ok=True)
    report.draw_bleu(results, args.out / "bleu.png")
    table, title = report.study_table(results), f"{report.study_title(results)} of {args.recipe}"
    report.write_markdown(args.out / "RESULTS.md", title, [table], results["run"])
    report.write_html(args.out / "index.html", title, [table], [], results["run"])
    text = json.dumps(results, ensure_ascii=False, indent=2)
    write_text(args.out / "results.json", text + "\n")
    report.update_pictures(args.out.parent)
    print(f"{table.format('simple')}\n\n{table.note}\n\nreport: {args.out / 'index.html'}")


if __name__ == "__main__":
    main()
