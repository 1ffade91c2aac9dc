"""The report: tables of scores as text, Markdown and HTML, with pictures and clips to play.

Its pieces stand alone (a table, a picture, a sample, the three writers): a study's report is made
of them too, in a folder of its own below the recipe's, whose index.html takes its table in.
"""

import base64
import io
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from comsl.corpora.kaldi import read_table
from comsl.corpora.sets import folder_name
from comsl.corpora.targets import source_of
from comsl.errors import DataError
from comsl.evaluation.plots import draw_bars
from comsl.evaluation.scoring import GROUPS, Output, Texts
from comsl.files import write_text
from comsl.table import Table

PACKAGES = ("espnet", "torch", "transformers", "openai-whisper", "sacrebleu", "jiwer")
TITLES = {"bleu": "BLEU", "chrf": "chrF", "comet": "COMET"}
CAPTIONS = {"bleu": "BLEU per language and system", "curves": "Training curves"}
STUDY_NOTE = (
    "BLEU by language, on average, and of all languages together; {utterances} utterances; splits "
    "of the corpus whose test sets are pooled: {folds}. NLL: negative log-likelihood a token of "
    "the references given the speech (teacher-forced, in nats, lower is better). Differences are "
    "to {compared}. 95 % intervals and p by a paired bootstrap over the {sentences} sentences of "
    "the references: utterances that translate one sentence are drawn together. Similarity: mean "
    "cosine of a token with the speech of its word, less that with the speech of other words, "
    "inside the language encoder. Updates and minutes of training on one split; GB: peak memory "
    "of its process. Published: by ComSL's authors on CoVoST 2, 21 languages, ComSL Medium, not "
    "ours. BLEU's signature: {signature}"
)
WHISPER_NOTE = (
    "Percent; texts normalised by openai-whisper's own normalisers, so that it compares with "
    "published figures, and taken apart into characters where words have no spaces between them."
)
SIMILARITY_NOTE = (
    "Of states in layer {layer} of the language encoder: mean cosine of a token with the speech of "
    "its own word (aligned), with the speech of the utterance's other words (unaligned), and the "
    "difference, by which models can be ranked. When a word is said comes from Whisper as "
    "published, the same for every model. Of utterances with two words and more."
)
# In index.html studies, similarity and pictures stand between these: a later stage brings them up
# to date.
PICTURES = ("<!-- pictures -->\n", "<!-- end of pictures -->")


@dataclass(frozen=True)
class Sample:
    """One test clip: its audio, what was said, and what each system made of it."""

    lang: str
    utterance: str
    audio: str  # data: URI
    transcript: str
    reference: str
    translations: dict[str, str] = field(default_factory=dict)


def provenance(command: str) -> dict:
    """What a result needs beside it to be repeated: command, commit, date, machine, versions."""
    return {
        "command": command,
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
    }


def _commit() -> str:
    """Of the working directory's repository; `unknown` where there is no git or no repository."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def lineage_table(lineage: Mapping[str, Mapping]) -> Table:
    """What everything was made from, as `comsl.made.lineage` has it."""

    def shown(value) -> str:
        if isinstance(value, list):
            return " ".join(map(shown, value))
        return value["path"] if isinstance(value, Mapping) else value

    rows = [
        [
            thing,
            ", ".join(
                f"{name}={shown(value)}" for name, value in entry["settings"].items() if value
            ),
            ", ".join(entry["reads"]),
        ]
        for thing, entry in lineage.items()
    ]
    note = "Records of what was made lie beside it, <thing>.made.json, with hashes."
    return Table("Made from", ["thing", "by", "from"], rows, note=note)


def score_tables(results: Mapping) -> list[Table]:
    """BLEU, chrF and WER tables of `results.json`, those that have rows."""
    signatures = {key: f"Signature: {value}" for key, value in results["signature"].items()}
    for note in (results["bleu_note"], _published_note(results)):
        if note and "bleu" in signatures:
            signatures["bleu"] += f". {note}"
    kinds = [
        *((key, TITLES[key], note) for key, note in signatures.items()),
        ("wer", "Word error rate", f"Percent; texts normalised: {results['normaliser']}."),
        ("wer_whisper", "Word error rate by Whisper's normalisers", WHISPER_NOTE),
    ]
    return [
        _score_table(title, key, results, note)
        for key, title, note in kinds
        if any(key in entry for entry in results["systems"])
    ]


def all_tables(results: Mapping) -> list[Table]:
    """The tables of every set in `results.json`, scores and significance; titles name those of
    further sets."""
    tables = score_tables(results)
    if significance := significance_table(results):
        tables.append(significance)
    for further in results.get("further", []):
        tables += [
            replace(table, title=f"{table.title}, {further['split']} set")
            for table in all_tables(further)
        ]
    return tables


def _published_note(results: Mapping) -> str:
    published = results.get("published")
    return f"Published, not ours: {published['source']}" if published else ""


def _score_table(title: str, key: str, results: Mapping, note: str) -> Table:
    entries = [entry for entry in results["systems"] if key in entry]
    first = entries[0]
    langs = list(first["utterances"])
    columns = langs + [name for name in (*GROUPS, "avg") if name in first[key]]
    units = first.get("error_unit", {})
    header = [f"{name} (CER)" if units.get(name) == "character" else name for name in columns]
    rows = [
        [entry["name"], entry["task"], *(entry[key][name] for name in columns)] for entry in entries
    ]
    rows += _published_rows(results, key, columns)
    if scores := results.get("ceiling", {}).get(key):
        label = "references through comsl's tokenizer"
        rows.append([label, "", *(scores[name] for name in columns)])
    counts = [first["utterances"][lang] for lang in langs]
    blank = [""] * (len(columns) - len(langs) - 1)
    rows.append(["utterances", "", *counts, *blank, sum(counts)])
    if coverage := results.get("coverage"):
        shares = [f"{coverage[lang]:.1f} %" if lang in coverage else "" for lang in langs]
        rows.append(["of the published set", "", *shares, *blank, ""])
    return Table(title, ["system", "task", *header], rows, note=note)


def _published_rows(results: Mapping, key: str, columns: Sequence[str]) -> list[list[str]]:
    """Scores of others with the decimals that they gave; what they did not give stays empty."""
    rows = []
    for entry in results.get("published", {"systems": []})["systems"]:
        if key in entry:
            facts = ", ".join(
                ["published", *(entry[x] for x in ("derived", "source") if x in entry)]
            )
            scores = (f"{entry[key][name]:g}" if name in entry[key] else "" for name in columns)
            rows.append([f"{entry['name']} ({facts})", "st", *scores])
    return rows


def significance_table(results: Mapping) -> Table | None:
    """The paired tests of `results.json`; None where there are none."""
    tests = results.get("significance")
    if not tests:
        return None
    rows = [
        [
            f"{test['system']} against {test['baseline']}",
            _interval(test["score"], test["ci95"]),
            _interval(test["baseline_score"], test["baseline_ci95"]),
            _signed_interval(test["score"] - test["baseline_score"], test["difference_ci95"], 1),
            f"{test['p_value']:.4f}",
        ]
        for test in tests
    ]
    header = ["systems", "BLEU, 95 % interval", "baseline's", "difference, 95 % interval", "p"]
    note = (
        f"All languages pooled, {tests[0]['utterances']} utterances. A paired bootstrap"
        f" ({tests[0]['resamples']} resamples) over the {tests[0]['sentences']} sentences of the"
        " references: utterances that translate one sentence are drawn together."
    )
    return Table("Significance", header, rows, note=note)


def study_title(results: Mapping) -> str:
    """What a study's table is called."""
    return f"Study: {results['study'].replace('_', ' ')}"


def study_table(results: Mapping) -> Table:
    """The rows of a study's `results.json`."""
    tests = results["significance"]
    langs = [*results["systems"][0]["utterances"], "avg"]
    header = ["row", *langs, "all, 95 % interval", "difference, 95 % interval", "p"]
    header += ["NLL", "NLL difference, 95 % interval", "similarity"]
    header += ["updates", "minutes", "GB", "published"]
    rows = [_study_row(*pair, langs) for pair in zip(results["systems"], tests, strict=True)]
    note = STUDY_NOTE.format(
        **tests[0],
        folds=results["folds"],
        compared=results["compared"],
        signature=results["signature"]["bleu"],
    )
    return Table(study_title(results), header, rows, note=note)


def _study_row(entry: Mapping, test: Mapping, langs: Sequence[str]) -> list[str | int | float]:
    nll, cost, similarity = entry["nll"], entry["cost"], entry.get("similarity")
    differences = ["", "", ""]
    if test["system"] != test["baseline"]:
        differences = [
            _signed_interval(test["score"] - test["baseline_score"], test["difference_ci95"], 1),
            f"{test['p_value']:.4f}",
            _signed_interval(nll["difference"], nll["ci95"], 3),
        ]
    return [
        entry["name"].partition("/")[2],
        *(entry["bleu"][lang] for lang in langs),
        _interval(test["score"], test["ci95"]),
        *differences[:2],
        f"{nll['per_token']:.3f}",
        differences[2],
        f"{similarity['difference']:.3f}" if similarity else "",
        *(cost[name] for name in ("updates", "minutes", "memory_gb")),
        "" if entry["published"] is None else f"{entry['published']:.2f}",
    ]


def similarity_table(results: Mapping) -> Table:
    """What stage 10's similarity.json says."""
    kinds = ("utterances", "aligned", "unaligned", "difference")
    langs = list(results["utterances"])
    rows = [[kind, *(results[kind].get(lang, "") for lang in langs)] for kind in kinds]
    title = f"Similarity of speech and transcript, {results['set']} set"
    note = SIMILARITY_NOTE.format(layer=results["layer"])
    return Table(title, ["", *langs], rows, decimals=3, note=note)


def _signed_interval(difference: float, bounds: Sequence[float], decimals: int) -> str:
    shown, low, high = (f"{value:+.{decimals}f}" for value in (difference, *bounds))
    return f"{shown} [{low}, {high}]"


def _interval(score: float, bounds: Sequence[float]) -> str:
    return f"{score:.1f} [{bounds[0]:.1f}, {bounds[1]:.1f}]"


def draw_bleu(results: Mapping, path: Path) -> None:
    """Bar chart of BLEU: a group a language and for their average, a bar a system."""
    entries = [entry for entry in results["systems"] if "bleu" in entry]
    if entries:
        labels = [*entries[0]["utterances"], "avg"]
        series = {_label(entry): [entry["bleu"][label] for label in labels] for entry in entries}
        draw_bars(labels, series, path)


def _label(entry: Mapping) -> str:
    return Output(entry["name"], entry["task"], Path(), {}).label


def pick_samples(
    raw: Path,
    split: str,
    references: Mapping[str, Texts],
    outputs: Sequence[Output],
    count: int = 3,
) -> list[Sample]:
    """`count` clips a language, evenly spaced over the set: chosen without looking at any output.

    Only references of three words and more, where there are any. DataError: audio missing or
    unreadable.
    """
    samples = []
    for lang, texts in references["st"].items():
        path = raw / folder_name(split, source_of(lang)) / "wav.scp"
        wav_scp = read_table(path)
        utterances = [key for key in texts if len(texts[key].split()) >= 3] or list(texts)
        size = len(utterances)
        for key in (utterances[index * size // count] for index in range(min(count, size))):
            if key not in wav_scp:
                raise DataError(f"{path}: no audio for utterance '{key}'")
            said = {o.label: o.texts[lang][key] for o in outputs if o.task != "asr"}
            audio = _audio_uri(key, Path(wav_scp[key]))
            transcript = references["asr"][source_of(lang)].get(key, "")
            samples.append(Sample(lang, key, audio, transcript, texts[key], said))
    return samples


def _audio_uri(utterance: str, path: Path) -> str:
    """The clip as a FLAC `data:` URI, which every current browser plays."""
    import soundfile

    buffer = io.BytesIO()
    try:
        samples, rate = soundfile.read(path)
        soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: audio of utterance '{utterance}': {error}") from None
    return _data_uri("audio/flac", buffer.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def pictures(out: Path) -> dict[str, str]:
    """Caption -> data: URI of the folder's bleu.png, curves.png and every similarity_*.png."""
    paths = [out / "bleu.png", out / "curves.png", *sorted(out.glob("similarity_*.png"))]
    return {
        _caption(path.stem): _data_uri("image/png", path.read_bytes())
        for path in paths
        if path.is_file()
    }


def read_tables(out: Path) -> list[Table]:
    """The tables of the studies whose reports lie in folders of `out`, and of stage 10.

    Other reports may lie there too, such as that of several splits scored together.
    """
    reports = [_read_json(path) for path in sorted(out.glob("*/results.json"))]
    tables = [study_table(results) for results in reports if "study" in results]
    similarity = out / "similarity.json"
    return tables + ([similarity_table(_read_json(similarity))] if similarity.is_file() else [])


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _caption(stem: str) -> str:
    similarity = f"Similarity of speech and transcript: {stem.removeprefix('similarity_')}"
    return CAPTIONS.get(stem, similarity)


def write_markdown(path: Path, title: str, tables: Sequence[Table], run: Mapping) -> None:
    """RESULTS.md: the command, the tables with their notes, and what it all ran on."""
    parts = [f"# {title}", f"```\n{run['command']}\n```"]
    for table in tables:
        parts += [f"## {table.title}", table.format("github"), *([table.note] * bool(table.note))]
    facts = [f"- {name}: {value}" for name, value in environment(run).items()]
    parts += ["## Environment", "\n".join(facts)]
    write_text(path, "\n\n".join(parts) + "\n")


def write_html(
    path: Path, title: str, tables: Sequence[Table], samples: Sequence[Sample], run: Mapping
) -> None:
    """index.html: one file that needs no other; takes in the pictures that lie beside it."""
    by_lang: dict[str, list[Sample]] = {}
    for sample in samples:
        by_lang.setdefault(sample.lang, []).append(sample)
    html = render(
        "report.html.j2",
        title=title,
        tables=tables,
        further_tables=read_tables(path.parent),
        pictures=pictures(path.parent),
        samples=by_lang,
        command=run["command"],
        environment=environment(run),
    )
    write_text(path, html)


def update_pictures(folder: Path) -> None:
    """Put what lies in `folder`, pictures and the tables of `read_tables`, into its index.html, if
    there is one yet."""
    path = folder / "index.html"
    if path.is_file():
        begin, end = PICTURES
        before, _, rest = path.read_text(encoding="utf-8").partition(begin)
        after = rest.partition(end)[2]
        tables, images = read_tables(folder), pictures(folder)
        block = render("pictures.html.j2", further_tables=tables, pictures=images)
        write_text(path, f"{before}{begin}{block}{end}{after}")


def render(template: str, **values: object) -> str:
    """A template of this package, filled in; what goes into HTML is escaped."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment_ = Environment(
        loader=PackageLoader("comsl.evaluation"),
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment_.get_template(template).render(**values)


def environment(run: Mapping) -> dict[str, str]:
    """The facts of `provenance` but for the command, one line each."""
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return {name: run[name] for name in ("date", "commit", "machine")} | {"versions": versions}
