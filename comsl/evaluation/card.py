"""The card of a packed model, README.md on the hub: its use, data, licences, scores, and what it
was made from."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from comsl.errors import DataError
from comsl.evaluation.report import environment, lineage_table, render, score_tables
from comsl.files import write_text
from comsl.languages import language
from comsl.made import NEW
from comsl.model.packed import read_section, read_tensors

CARD = "README.md"
MARK = "---\n"  # around the front matter


def write_card(folder: Path, results: Mapping | None, about: str) -> None:
    """Write the card of the packed model in `folder`.

    results: of its recipe (`results.json`), where there are any; about: Markdown on data and
    licences, whose front matter, if it has one, adds to the card's. DataError: that is no YAML.
    """
    section = read_section(folder)
    langs, targets = section["languages"], section["target_lang"].split()
    front = {
        "language": list(dict.fromkeys([*langs, *targets])),
        "license": "other",
        "library_name": "comsl",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["speech-translation", "comsl"],
    }
    added, about = _split(about)
    tables, run = [], {}
    if results:
        tables, run = score_tables(results), results["run"]
        if run["made"]:
            tables.append(lineage_table(run["made"]))
    published = section["speech_encoder"].get("model")
    sizes = [tensor.numel() for tensor in read_tensors(folder).values()]
    text = render(
        "card.md.j2",
        front=yaml.safe_dump(front | added, allow_unicode=True, sort_keys=False),
        sources=", ".join(language(lang).name for lang in langs),
        target=", ".join(language(lang).name for lang in targets),
        langs=langs,
        name=folder.name.removesuffix(NEW),
        millions=round(sum(sizes) / 1e6),
        fetched=f"; what else the speech encoder {published} has is fetched" if published else "",
        about=about,
        tables=tables,
        run=run,
        environment=environment(run) if run else {},
    )
    write_text(folder / CARD, text)


def _split(about: str) -> tuple[dict, str]:
    """The front matter of a Markdown text, and the rest."""
    if not about.startswith(MARK):
        return {}, about.strip()
    front, _, text = about.removeprefix(MARK).partition(f"\n{MARK}")
    try:
        return dict(yaml.safe_load(front)), text.strip()
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise DataError(f"the front matter of the card's text is no YAML: {error}") from None
