"""A study: models trained alike but for one thing a row, compared on the same test utterances.

Several splits of a corpus (folds) may share the work: the test sets of all are scored together.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from comsl.corpora.kaldi import read_table
from comsl.corpora.sets import folder_name
from comsl.corpora.targets import source_of
from comsl.errors import DataError
from comsl.evaluation.curves import read_run
from comsl.evaluation.rows import above
from comsl.evaluation.scoring import (
    Output,
    Texts,
    read_outputs,
    read_references,
    score,
    significance,
)
from comsl.evaluation.significance import interval, resample

# BLEU on CoVoST 2, 21 languages, as published (Le et al. 2023): not ours.
PUBLISHED = {
    "ablation": {"1_st": 26.48, "2_mt": 26.31, "7_cml": 29.69, "8_pseudo": 30.77},
    "modality_gap": {"cml": 29.69},
}


@dataclass(frozen=True)
class Fold:
    """One split of the corpus: its sets (stage 2), and the folder with an experiment a row."""

    raw: Path
    experiments: Path


@dataclass(frozen=True)
class Cost:
    """Of training one row on one fold, both phases together."""

    updates: int
    minutes: float
    memory_gb: float


@dataclass(frozen=True)
class Row:
    """What came of one row, the test sets of all folds pooled.

    nll: utterance -> negative log-likelihood of its reference, and the number of its tokens;
    similarity: as `read_similarity` has it.
    """

    name: str
    output: Output
    nll: dict[str, tuple[float, int]]
    costs: list[Cost]
    similarity: dict[str, float] | None


def references(folds: Sequence[Fold], split: str, langs: Sequence[str]) -> list[Texts]:
    """Reference translations of each fold's test set."""
    return [read_references(fold.raw, split, langs)["st"] for fold in folds]


def pool(parts: Sequence[Texts]) -> Texts:
    """The texts of all folds, by language. DataError: an utterance in two of them."""
    whole: Texts = {}
    for part in parts:
        for lang, texts in part.items():
            known = whole.setdefault(lang, {})
            if repeated := sorted(known.keys() & texts.keys()):
                raise DataError(f"utterance '{repeated[0]}' is in the test sets of two folds")
            known.update(texts)
    return whole


def read_row(
    label: str, name: str, folds: Sequence[Fold], decode: str, split: str, parts: Sequence[Texts]
) -> Row:
    """A row's results, from `<experiments>/<name>/<decode>/<split>_<lang>/{text,nll}.st`, and from
    its report's similarity.json.

    label: its name in results.json; parts: each fold's references. DataError: a file that is
    missing or of other utterances.
    """
    texts, nll, costs = [], {}, []
    for fold, part in zip(folds, parts, strict=True):
        folder = fold.experiments / name
        outputs = read_outputs({label: folder / decode}, split, {"st": part})
        if not outputs:
            raise DataError(f"{folder / decode}: nothing is decoded here (stage 7)")
        texts.append(outputs[0].texts)
        for lang in dict.fromkeys(map(source_of, part)):
            utterances = {key for name in part if source_of(name) == lang for key in part[name]}
            nll |= read_nll(folder / decode / folder_name(split, lang) / "nll.st", utterances)
        costs.append(read_cost(folder))
    output = Output(label, "st", folds[0].experiments / name / decode, pool(texts))
    similarity = [fold.experiments / name / "report" / "similarity.json" for fold in folds]
    return Row(name, output, nll, costs, read_similarity(similarity, split))


def read_nll(path: Path, utterances: set[str]) -> dict[str, tuple[float, int]]:
    """What `comsl.bin.likelihood` wrote. DataError: it is of other utterances."""
    table = {key: value.split() for key, value in read_table(path).items()}
    if odd := sorted(table.keys() ^ utterances):
        raise DataError(f"{path}: only this or the reference has '{odd[0]}'; decode the set again")
    return {key: (float(loss), int(tokens)) for key, (loss, tokens) in table.items()}


def read_cost(experiment: Path) -> Cost:
    """Updates, minutes and peak memory of an experiment's phases. DataError: not trained, or before
    memory was recorded."""
    frozen = experiment.with_name(f"{experiment.name}_frozen")
    starts = [Path(start).parent.name for start in _config(experiment)["init_param"]]
    folders = [frozen, experiment] if frozen.name in starts else [experiment]
    runs = [read_run(folder) for folder in folders]
    steps = [
        run.steps // _config(folder)["accum_grad"]
        for run, folder in zip(runs, folders, strict=True)
    ]
    memory = [curve.values for run in runs if (curve := run.valid.get("peak_memory_gb"))]
    if not memory:
        raise DataError(f"{experiment}: no peak memory in its curves; train it again (stage 6)")
    return Cost(sum(steps), sum(run.minutes for run in runs), max(map(max, memory)))


def _config(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def read_similarity(paths: Sequence[Path], split: str) -> dict[str, float] | None:
    """Means over the utterances of all folds (`aligned`, `unaligned`, `difference`), from what
    stage 10 wrote of each; None where one has nothing of this set, or all have no utterance."""
    if not all(path.is_file() for path in paths):
        return None
    folds = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if any(fold["set"] != split for fold in folds):
        return None
    total = sum(fold["utterances"]["all"] for fold in folds)
    if not total:
        return None

    def mean(kind: str) -> float:
        counted = (fold for fold in folds if fold["utterances"]["all"])
        return sum(fold[kind]["all"] * fold["utterances"]["all"] for fold in counted) / total

    return {kind: round(mean(kind), 4) for kind in ("aligned", "unaligned", "difference")}


def compare(
    recipe: str,
    study: str,
    split: str,
    rows: Sequence[Row],
    whole: Texts,
    folds: int,
    target_lang: str = "en",
) -> dict:
    """Everything that can be said of the rows, as the study's `results.json` holds it.

    whole: references of all folds pooled. Beside what `scoring.score` says, a row has the pooled
    languages' BLEU with its interval and its test against the row that it is compared with
    (`significance`), `nll` per token, `similarity`, `cost`; all intervals take utterances of one
    sentence together.
    """
    results = score(recipe, split, {"st": whole}, [row.output for row in rows], target_lang)
    names = [row.name for row in rows]
    compared = "the row above" if names[-1][0].isdigit() else f"the row {names[0]}"
    results |= {"study": study, "folds": folds, "compared": compared, "significance": []}
    for index, (row, entry) in enumerate(zip(rows, results["systems"], strict=True)):
        other = above(names, index)
        baseline = rows[names.index(other)] if other else row
        test = significance(row.output, baseline.output, whole, target_lang)
        results["significance"].append(test)
        entry["nll"] = _compare_nll(row, baseline, whole)
        entry["similarity"] = row.similarity
        entry["cost"] = {
            "updates": row.costs[0].updates,
            "minutes": round(sum(cost.minutes for cost in row.costs) / folds, 1),
            "memory_gb": round(max(cost.memory_gb for cost in row.costs), 2),
        }
        entry["published"] = PUBLISHED.get(study, {}).get(row.name)
    return results


def _compare_nll(row: Row, baseline: Row, whole: Texts) -> dict:
    """NLL per token, and its difference to the baseline's with a 95 % interval."""

    def per_token(sums) -> float:
        return float(sums[0] / sums[1])

    statistics = [
        [one.nll[utterance] for one in (row, baseline)]
        for texts in whole.values()
        for utterance in texts
    ]
    own, theirs = (
        per_token([sum(column) for column in zip(*side, strict=True)])
        for side in zip(*statistics, strict=True)
    )
    draws = resample(statistics, whole, per_token)
    return {
        "per_token": round(own, 4),
        "difference": round(own - theirs, 4),
        "ci95": interval(draws[:, 0] - draws[:, 1], digits=4),
    }
