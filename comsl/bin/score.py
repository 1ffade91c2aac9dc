"""Score hypotheses and write the report: results.json, RESULTS.md, index.html and plots."""

import argparse
import json
import logging
from pathlib import Path

from comsl.cli import add_sets, command, new_parser
from comsl.errors import DataError


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument("--recipe", required=True, help="name of the recipe, for the titles")
    add_sets(parser, "sets to score")
    parser.add_argument("--data", type=Path, help="stage 1's folder, for the sets' published sizes")
    parser.add_argument("--target_lang", default="en", help="language of the translations, or all")
    parser.add_argument(
        "--system",
        required=True,
        action="append",
        metavar="NAME=DIR",
        help="a system's hypotheses, DIR/<set>_<lang>/text.{st,asr,mt}; may be repeated",
    )
    parser.add_argument(
        "--experiment",
        action="append",
        default=[],
        type=Path,
        help="a training's folder, for the curves; may be repeated, in the order of training",
    )
    parser.add_argument("--metrics", default="bleu chrf", help='of "bleu chrf comet"')
    parser.add_argument("--comet_model", help="its name on the hub, or a checkpoint's file")
    parser.add_argument("--ngpu", type=int, default=0, help="0: COMET runs on the CPU")
    parser.add_argument("--published", type=Path, help="results of others to show beside these")
    parser.add_argument(
        "--language_model",
        type=Path,
        help="language model whose tokenizer comsl has; it limits the BLEU that a model can reach",
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the report")
    parser.add_argument("--command", required=True, help="the user's command, to be quoted")
    return parser.parse_args()


def parse_systems(pairs: list[str]) -> dict[str, Path]:
    """`NAME=DIR` arguments as a dict. DataError: no `=`, or a name given twice."""
    systems: dict[str, Path] = {}
    for pair in pairs:
        name, equals, folder = pair.partition("=")
        if not (name and equals and folder):
            raise DataError(f"--system {pair}: write it as NAME=DIR")
        if name in systems:
            raise DataError(f"--system {pair}: '{name}' is given twice")
        systems[name] = Path(folder)
    return systems


@command
def main() -> None:
    args = parse_args()
    from comsl.corpora.sets import test_sets
    from comsl.evaluation import comet, curves, plots, report, scoring
    from comsl.files import write_text
    from comsl.languages import language
    from comsl.made import lineage

    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    systems, metrics = parse_systems(args.system), args.metrics.split()
    if unknown := set(metrics) - set(scoring.METRICS):
        raise DataError(f"--metrics: no '{min(unknown)}', there are {' '.join(scoring.METRICS)}")
    if "comet" in metrics:
        comet.find_command()
    langs = " ".join(language(code).code for code in args.langs.split())
    sets = {}
    for folder, lang in test_sets(args.raw, args.set, langs).items():
        sets.setdefault(folder.removesuffix(f"_{lang}"), []).append(lang)
    read = {name: read_set(args.raw, name, where, systems) for name, where in sets.items()}
    first, references, outputs = next(iter(read.values()))
    runs = [curves.read_run(experiment) for experiment in args.experiment]
    samples = report.pick_samples(args.raw, first, references, outputs)
    results, *further = [score_set(args, *parts) for parts in read.values()]
    made_from = lineage([output.folder for output in outputs] + args.experiment)
    results["further"] = further
    results["run"] = report.provenance(args.command) | {"made": made_from}
    tables = report.all_tables(results)

    args.out.mkdir(parents=True, exist_ok=True)
    report.draw_bleu(results, args.out / "bleu.png")
    if runs:
        plots.draw_curves(runs, args.out / "curves.png")
    title = f"ComSL on {args.recipe}, {first} set"
    written = [*tables, report.lineage_table(made_from)] if made_from else tables
    report.write_markdown(args.out / "RESULTS.md", title, written, results["run"])
    report.write_html(args.out / "index.html", title, written, samples, results["run"])
    # last: where it stands, the report is complete
    text = json.dumps(results, ensure_ascii=False, indent=2)
    write_text(args.out / "results.json", text + "\n")
    for table in tables:
        print(f"{table.title}\n{table.format('simple')}\n")
    print(f"report: {args.out / 'index.html'}")


def read_set(raw: Path, name: str, langs: list[str], systems: dict[str, Path]) -> tuple:
    """A set's name, its references, and what the systems made of it, those that decoded it."""
    from comsl.evaluation import scoring

    references = scoring.read_references(raw, name, langs)
    outputs = scoring.read_outputs(systems, name, references)
    for system in systems.keys() - {output.name for output in outputs}:
        logging.info("%s: no hypotheses in %s of %s, left out", system, systems[system], name)
    return name, references, outputs


def score_set(args: argparse.Namespace, name: str, references: dict, outputs: list) -> dict:
    """What `results.json` says of a set. DataError: no system decoded it, and as COMET."""
    from comsl.corpora.coverage import read_coverage
    from comsl.evaluation import comet, scoring
    from comsl.languages import language

    target_lang = " ".join(language(code).code for code in args.target_lang.split())
    metrics = args.metrics.split()
    results = scoring.score(args.recipe, name, references, outputs, target_lang, metrics)
    if "comet" in metrics:
        model = args.comet_model or comet.MODEL
        scoring.add_comet(results, references, outputs, model, min(args.ngpu, 1))
    if args.data:
        counts = {lang: len(table) for lang, table in references["asr"].items()}
        results["coverage"] = read_coverage(args.data, name, counts, counts)
    if args.language_model:
        from comsl.tokenizer import Tokenizer

        tokenizer = Tokenizer(args.language_model)
        results["ceiling"] = scoring.ceiling(references["st"], tokenizer, target_lang, metrics)
    if args.published:
        if published := scoring.read_published(args.published, results):
            results["published"] = published
        else:
            logging.info("%s: of other sets or languages than %s, left out", args.published, name)
    return results


if __name__ == "__main__":
    main()
