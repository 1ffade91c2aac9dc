"""Scores of translations (BLEU, chrF) and transcripts (WER, CER), in the form of `results.json`."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from comsl.bleu import NO_MECAB, bleu_metric, lacks_mecab
from comsl.corpora.kaldi import TARGETS, read_table
from comsl.corpora.sets import folder_name
from comsl.corpora.targets import Texts, by_direction, source_of, target_of
from comsl.corpora.text import NORMALISER, normalise
from comsl.errors import DataError
from comsl.evaluation.comet import comet_scores
from comsl.evaluation.significance import compare_bleu
from comsl.languages import language

REFERENCES = {"st": "text.tgt", "mt": "text.tgt", "asr": "text.src"}  # task -> reference file
BASELINES = ("whisper-zero-shot", "whisper-fine-tuned")  # what comsl is tested against
GROUPS = ("high", "mid", "low")
METRICS = ("bleu", "chrf", "comet")

logger = logging.getLogger(__name__)


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
    """Reference texts by task: `raw/<split>_<lang>/text.{tgt,src}`; translations by direction where
    the set has several. DataError as `read_table`."""
    folders = {lang: raw / folder_name(split, lang) for lang in langs}
    by_file = {
        name: {lang: read_table(folder / name) for lang, folder in folders.items()}
        for name in set(REFERENCES.values())
    }
    several = {lang: f / TARGETS for lang, f in folders.items() if (f / TARGETS).is_file()}
    targets = {lang: read_table(path) for lang, path in several.items()}
    by_file["text.tgt"] = by_direction(by_file["text.tgt"], targets)
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
            langs: Texts = {}
            for column, table in texts.items():
                langs.setdefault(source_of(column), {}).update(table)
            paths = {lang: folder / folder_name(split, lang) / f"text.{task}" for lang in langs}
            if not any(path.exists() for path in paths.values()):
                continue
            found = {lang: _read_hypotheses(path, langs[lang]) for lang, path in paths.items()}
            hypotheses = {
                column: {key: found[source_of(column)][key] for key in table}
                for column, table in texts.items()
            }
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
    recipe: str,
    split: str,
    references: Mapping[str, Texts],
    outputs: Sequence[Output],
    target_lang: str = "en",
    metrics: Sequence[str] = ("bleu", "chrf"),
) -> dict:
    """Everything that can be said of the outputs, as `results.json` holds it.

    Scores are percentages, per language or direction (in the order of `references`), `avg` (mean
    over them) and the resource groups that occur. target_lang: of the translations, or all of them;
    it decides how BLEU takes them apart. metrics: of METRICS, those of translations. Where several
    sets were decoded, the file is of the first, and its list `further` of the others, each of the
    same form. DataError: no outputs at all.
    """
    if not outputs:
        raise DataError("no system has hypotheses for this set; decode first (stages 7 and 8)")
    bleu_note = NO_MECAB if any(map(lacks_mecab, target_lang.split())) else ""
    if bleu_note:
        logger.warning(bleu_note)
    results = {
        "recipe": recipe,
        "split": split,
        "target_lang": target_lang,
        "signature": signatures(target_lang, metrics),
        "normaliser": NORMALISER,
        "bleu_note": bleu_note,
        "systems": [
            _score_output(output, references[output.task], target_lang, metrics)
            for output in outputs
        ],
    }
    by_key = {(output.name, output.task): output for output in outputs}
    ours = by_key.get(("comsl", "st"))
    baselines = [by_key[name, "st"] for name in BASELINES if (name, "st") in by_key]
    if ours and baselines:
        results["significance"] = [
            significance(ours, baseline, references["st"], target_lang) for baseline in baselines
        ]
    return results


def ceiling(
    references: Texts, tokenizer, target_lang: str, metrics: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Scores of the translations once they have been a model's tokens: letters that these lack are
    lost, and no system that writes them can have more. In the form of `score`."""
    decoded = {
        lang: {
            key: tokenizer.decode(tokenizer.encode(text, target_of(lang, target_lang)))
            for key, text in t.items()
        }
        for lang, t in references.items()
    }
    entry = _score_output(Output("", "st", Path(), decoded), references, target_lang, metrics)
    return {name: entry[name] for name in metrics if name in entry}


def read_published(path: Path, results: Mapping) -> dict | None:
    """Scores that others published (egs2/covost2/comsl1/published.json is an example).

    None where they are of another set, target or choice of languages than `results`: averages over
    those would mean something else. DataError: the file is not of this form.
    """
    try:
        published = json.loads(path.read_text(encoding="utf-8"))
        theirs = [published["split"], published["target_lang"], set(published["langs"].split())]
        for system in published["systems"]:
            float(system["bleu"]["avg"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no table of published scores: {error}") from None
    langs = set(results["systems"][0]["utterances"])
    return published if theirs == [results["split"], results["target_lang"], langs] else None


def add_comet(
    results: dict,
    references: Mapping[str, Texts],
    outputs: Sequence[Output],
    model: str,
    gpus: int = 0,
) -> None:
    """Give the translations of `results`, which `score` has made of the same, their COMET too.
    DataError as `comet_scores`."""
    translated = {f"{o.name} {o.task}": o for o in outputs if o.task != "asr"}
    places = [(lang, key) for lang, texts in references["st"].items() for key in texts]
    sources, targets = (
        [references[task][column(lang)][key] for lang, key in places]
        for task, column in (("asr", source_of), ("st", str))
    )
    texts = {name: [o.texts[lang][key] for lang, key in places] for name, o in translated.items()}
    scores = comet_scores(texts, sources, targets, model, gpus)
    for entry in results["systems"]:
        if values := scores.get(f"{entry['name']} {entry['task']}"):
            by_lang: dict[str, list[float]] = {lang: [] for lang in references["st"]}
            for (lang, _), value in zip(places, values, strict=True):
                by_lang[lang].append(value)
            entry["comet"] = summarise({lang: mean(items) for lang, items in by_lang.items()})
    results["signature"]["comet"] = f"{model}, times 100, by unbabel-comet"


def _score_output(
    output: Output, references: Texts, target_lang: str, metrics: Sequence[str]
) -> dict:
    entry = {
        "name": output.name,
        "task": output.task,
        "config": str(output.folder),
        "utterances": {lang: len(texts) for lang, texts in output.texts.items()},
    }
    pairs = {lang: align(output.texts[lang], texts) for lang, texts in references.items()}
    if output.task == "asr":
        rates = {lang: error_rate(lang, *pair) for lang, pair in pairs.items()}
        units = {lang: "word" if language(lang).spaced else "character" for lang in pairs}
        whisper = {lang: whisper_error_rate(lang, *pair) for lang, pair in pairs.items()}
        return entry | {
            "wer": summarise(rates),
            "wer_whisper": summarise(whisper),
            "error_unit": units,
        }
    values: dict[str, dict[str, float]] = {}
    for lang, (hypotheses, texts) in pairs.items():
        for name, metric in _metrics(target_of(lang, target_lang), metrics).items():
            values.setdefault(name, {})[lang] = metric.corpus_score(hypotheses, [texts]).score
    return entry | {name: summarise(scores) for name, scores in values.items()}


def align(hypotheses: Mapping[str, str], references: Mapping[str, str]) -> tuple[list, list]:
    """Two lists of texts in the same order, that of the references' utterances."""
    return [hypotheses[key] for key in references], list(references.values())


def _metrics(target_lang: str, names: Sequence[str]) -> dict:
    """Of BLEU and chrF2, which reads characters in any language, those that are named."""
    from sacrebleu.metrics import CHRF

    known = {"bleu": bleu_metric(target_lang), "chrf": CHRF()}
    return {name: metric for name, metric in known.items() if name in names}


def signatures(target_lang: str, names: Sequence[str]) -> dict[str, str]:
    """What sacreBLEU prints beside a score, so that others can repeat it; of several target
    languages all that differ."""
    found: dict[str, dict[str, None]] = {}
    for target in target_lang.split():
        for name, metric in _metrics(target, names).items():
            metric.corpus_score(["a"], [["a"]])  # the number of references is known only now
            found.setdefault(name, {})[str(metric.get_signature())] = None
    return {name: ", ".join(signatures) for name, signatures in found.items()}


def summarise(values: Mapping[str, float]) -> dict[str, float]:
    """Per-language values, then `avg` and the mean of each resource group, to two decimals."""
    means = {"avg": list(values.values())}
    for group in GROUPS:
        means[group] = [value for name, value in values.items() if _group(name) == group]
    averages = {name: sum(group) / len(group) for name, group in means.items() if group}
    return {name: round(value, 2) for name, value in {**values, **averages}.items()}


def _group(name: str) -> str | None:
    """The resource group of a language, or of a direction's source."""
    return language(source_of(name)).group


def whisper_error_rate(lang: str, hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """WER in percent as OpenAI and those after it publish it: of texts that Whisper's own
    normalisers have passed, which take a language without spaces apart into characters."""
    import jiwer
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

    clean = BasicTextNormalizer(split_letters=not language(lang).spaced)
    if lang == "en":
        clean = EnglishTextNormalizer()
    pair = [[" ".join(clean(text).split()) for text in side] for side in (references, hypotheses)]
    return 100 * jiwer.wer(*pair)


def error_rate(lang: str, hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """WER in percent of normalised texts; CER where the language does not space its words."""
    import jiwer

    pair = [[normalise(text) for text in side] for side in (references, hypotheses)]
    if language(lang).spaced:
        return 100 * jiwer.wer(*pair)
    return 100 * jiwer.cer(*([text.replace(" ", "") for text in side] for side in pair))


def significance(ours: Output, baseline: Output, references: Texts, target_lang: str) -> dict:
    """`compare_bleu` of two systems' outputs, with their names; of several target languages BLEU
    takes all apart as the first."""
    return {
        "metric": "bleu",
        "system": ours.name,
        "baseline": baseline.name,
        "task": ours.task,
        **compare_bleu(ours.texts, baseline.texts, references, target_lang.split()[0]),
    }
