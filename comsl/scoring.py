"""Scores of translations (BLEU, chrF) and transcripts (WER, CER), in the form of `results.json`."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from comsl.data.kaldi import read_table
from comsl.errors import DataError
from comsl.languages import language

Texts = dict[str, dict[str, str]]  # language -> utterance -> text

REFERENCES = {"st": "text.tgt", "mt": "text.tgt", "asr": "text.src"}  # task -> reference file
UNSPACED = ("zh-CN", "ja")  # written without spaces between words: counted in characters
GROUPS = ("high", "mid", "low")
NORMALISER = (
    "NFKC, lower case, punctuation (Unicode categories P*) removed, white space collapsed; "
    "for characters (zh-CN, ja), white space removed"
)


@dataclass(frozen=True)
class Output:
    """What one system said in one task (`st`, `asr` or `mt`) on one test set."""

    name: str
    task: str
    folder: Path
    texts: Texts

    @property
    def label(self) -> str:
        """The name, with the task where that is neither translation of speech nor in the name."""
        plain = self.task == "st" or self.name.startswith(self.task)
        return self.name if plain else f"{self.name} ({self.task})"


def read_references(raw: Path, split: str, langs: Iterable[str]) -> dict[str, Texts]:
    """Reference texts by task: `raw/<split>_<lang>/text.{tgt,src}`. DataError as `read_table`."""
    by_file = {
        name: {lang: read_table(raw / f"{split}_{lang}" / name) for lang in langs}
        for name in set(REFERENCES.values())
    }
    return {task: by_file[name] for task, name in REFERENCES.items()}


def read_outputs(
    systems: Mapping[str, Path], split: str, references: Mapping[str, Texts]
) -> list[Output]:
    """The tasks that each system (name -> folder) did: `<folder>/<split>_<lang>/text.<task>`.

    A system or task of which no language has a file is left out. DataError: a file of only some
    languages, or utterances that are not exactly those of the reference.
    """
    outputs = []
    for name, folder in systems.items():
        for task, texts in references.items():
            paths = {lang: folder / f"{split}_{lang}" / f"text.{task}" for lang in texts}
            if not any(path.exists() for path in paths.values()):
                continue
            hypotheses = {lang: _read_hypotheses(path, texts[lang]) for lang, path in paths.items()}
            outputs.append(Output(name, task, folder, hypotheses))
    return outputs


def _read_hypotheses(path: Path, reference: Mapping[str, str]) -> dict[str, str]:
    hypotheses = read_table(path, empty_ok=True)
    if missing := sorted(reference.keys() - hypotheses.keys()):
        raise DataError(
            f"{path}: utterance '{missing[0]}' of the reference is missing ({len(missing)} of "
            f"{len(reference)} are); decode this set again"
        )
    if extra := sorted(hypotheses.keys() - reference.keys()):
        raise DataError(
            f"{path}: utterance '{extra[0]}' is not in the reference ({len(extra)} such); "
            "decode this set again"
        )
    return hypotheses


def score(
    recipe: str, split: str, references: Mapping[str, Texts], outputs: Sequence[Output]
) -> dict:
    """Everything that can be said of the outputs, as `results.json` holds it.

    Scores are percentages, per language (in the order of `references`), `avg` (mean over the
    languages) and the resource groups that occur. DataError: no outputs at all.
    """
    if not outputs:
        raise DataError("no system has hypotheses for this set; decode first (stages 7 and 8)")
    results = {
        "recipe": recipe,
        "split": split,
        "signature": signatures(),
        "normaliser": NORMALISER,
        "systems": [_score_output(output, references[output.task]) for output in outputs],
    }
    by_key = {(output.name, output.task): output for output in outputs}
    ours, baseline = (by_key.get((name, "st")) for name in ("comsl", "whisper-zero-shot"))
    if ours and baseline:
        results["significance"] = [paired_bootstrap(ours, baseline, references["st"])]
    return results


def _score_output(output: Output, references: Texts) -> dict:
    entry = {
        "name": output.name,
        "task": output.task,
        "config": str(output.folder),
        "utterances": {lang: len(texts) for lang, texts in output.texts.items()},
    }
    pairs = {lang: align(output.texts[lang], texts) for lang, texts in references.items()}
    if output.task == "asr":
        rates = {lang: error_rate(lang, *pair) for lang, pair in pairs.items()}
        units = {lang: "character" if lang in UNSPACED else "word" for lang in pairs}
        return entry | {"wer": summarise(rates), "error_unit": units}
    for name, metric in _metrics().items():
        values = {
            lang: metric.corpus_score(hypotheses, [texts]).score
            for lang, (hypotheses, texts) in pairs.items()
        }
        entry[name] = summarise(values)
    return entry


def align(hypotheses: Mapping[str, str], references: Mapping[str, str]) -> tuple[list, list]:
    """Two lists of texts in the same order, that of the references' utterances."""
    return [hypotheses[key] for key in references], list(references.values())


def _metrics() -> dict:
    """sacreBLEU's own defaults: 13a tokens, mixed case, exponential smoothing; chrF2."""
    from sacrebleu.metrics import BLEU, CHRF

    return {"bleu": BLEU(), "chrf": CHRF()}


def signatures() -> dict[str, str]:
    """What sacreBLEU prints beside a score, so that others can repeat it."""
    metrics = _metrics()
    for metric in metrics.values():
        metric.corpus_score(["a"], [["a"]])  # the number of references is known only now
    return {name: str(metric.get_signature()) for name, metric in metrics.items()}


def summarise(values: Mapping[str, float]) -> dict[str, float]:
    """Per-language values, then `avg` and the mean of each resource group, to two decimals."""
    means = {"avg": list(values.values())}
    for group in GROUPS:
        means[group] = [value for lang, value in values.items() if language(lang).group == group]
    averages = {name: sum(group) / len(group) for name, group in means.items() if group}
    return {name: round(value, 2) for name, value in {**values, **averages}.items()}


def normalise(text: str) -> str:
    """Text as WER compares it: see NORMALISER."""
    import jiwer

    text = jiwer.RemovePunctuation()(unicodedata.normalize("NFKC", text).lower())
    return " ".join(text.split())


def error_rate(lang: str, hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """WER in percent of normalised texts; CER where the language does not space its words."""
    import jiwer

    pair = [[normalise(text) for text in side] for side in (references, hypotheses)]
    if lang not in UNSPACED:
        return 100 * jiwer.wer(*pair)
    return 100 * jiwer.cer(*([text.replace(" ", "") for text in side] for side in pair))


def paired_bootstrap(ours: Output, baseline: Output, references: Texts) -> dict:
    """sacreBLEU's paired bootstrap (1000 resamples, fixed seed) on all languages pooled.

    `score` is BLEU of the pooled set, `ci95` its 95 % interval, `p_value` the probability of a
    difference this large between two systems that are equally good. Memory: about 50 kB an
    utterance.
    """
    from sacrebleu.metrics import BLEU
    from sacrebleu.significance import PairedTest

    pooled = [(output.label, _pool(output.texts, references)) for output in (baseline, ours)]
    texts = [text for table in references.values() for text in table.values()]
    test = PairedTest(pooled, {"BLEU": BLEU()}, [texts], test_type="bs")
    signature, scores = test()
    theirs, own = scores["BLEU"]
    # sacreBLEU counts resamples that differ by more than the systems do: none between equal ones
    p_value = 1.0 if pooled[0][1] == pooled[1][1] else own.p_value
    return {
        "metric": "bleu",
        "system": ours.name,
        "baseline": baseline.name,
        "task": ours.task,
        "utterances": len(texts),
        "score": round(own.score, 2),
        "ci95": _interval(own),
        "baseline_score": round(theirs.score, 2),
        "baseline_ci95": _interval(theirs),
        "p_value": round(p_value, 4),
        "signature": str(signature["BLEU"]),
    }


def _interval(result) -> list[float]:
    return [round(float(result.mean + sign * result.ci), 2) for sign in (-1, 1)]


def _pool(texts: Texts, references: Texts) -> list[str]:
    return [text for lang in references for text in align(texts[lang], references[lang])[0]]
