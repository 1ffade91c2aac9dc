"""Select the part of a training set whose translations are most like other texts.

It serves the end of a training, when the learning rate is low. The share is the same in every
language.
"""

from collections import defaultdict
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora import kaldi
from comsl.corpora.nearness import nearest_first
from comsl.errors import DataError

TABLES = ("source_shape", "target_shape", "speech_shape", "feats.scp")  # beside Kaldi's own


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--near", type=Path, required=True, help="table of the other texts")
    add("--share", type=float, required=True, help="share of the utterances to select, from 0 to 1")
    add("--name", required=True, help="name of the folders to write, each beside its source")
    add("set", type=Path, help="training set (stage 2), or sentence pairs")
    add("further", type=Path, nargs="*", help="folders of its states (stage 5)")
    args = parser.parse_args()
    if not 0 < args.share <= 1:
        raise DataError(f"--share {args.share}: write a share, such as 0.5")

    near = list(kaldi.read_table(args.near).values())
    langs = kaldi.read_table(args.set / "utt2lang")
    by_lang: dict[str, dict[str, str]] = defaultdict(dict)
    for utterance, text in kaldi.read_table(args.set / "text.tgt").items():
        by_lang[langs[utterance]][utterance] = text
    chosen: set[str] = set()
    for texts in by_lang.values():
        chosen.update(nearest_first(texts, near)[: round(args.share * len(texts))])
    for folder in (args.set, *args.further):
        rows = (row for row in kaldi.rows_of(_tables(folder)) if row[0] in chosen)
        number = kaldi.write_rows(folder.with_name(args.name), rows)
        print(f"{folder.with_name(args.name)}: {number} utterances")


def _tables(folder: Path) -> dict:
    """All tables of a folder by name, read line by line."""
    names = [*kaldi.fields_of(folder), *(name for name in TABLES if (folder / name).is_file())]
    return {name: kaldi.iter_table(folder / name, empty_ok=True) for name in names}


if __name__ == "__main__":
    main()
