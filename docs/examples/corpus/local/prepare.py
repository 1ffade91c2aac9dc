"""Stage 1 of the example: a folder with `metadata.csv` and `clips/` as Kaldi-style directories.

A line of metadata.csv is `clip|speaker|set|transcript|translation`, the set train, dev or test.
"""

import argparse
from pathlib import Path

from comsl.cli import command, corpus_parser, parse_corpus
from comsl.corpora.dropped import Dropped, check_share, write_dropped
from comsl.corpora.kaldi import write_dir
from comsl.corpora.utterances import Utterance, make_sets, plain_name
from comsl.errors import DataError
from comsl.files import atomic_dir, read_lines


def read_utterances(corpus: Path, lang: str) -> list[Utterance]:
    """One for each line. DataError: a line without its five fields."""
    table, utterances = corpus / "metadata.csv", []
    for number, line in enumerate(read_lines(table), start=1):
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 5 or not all(fields):
            raise DataError(f"{table}:{number}: five fields between '|' are needed, none empty")
        clip, speaker, name, transcript, translation = fields
        speaker = plain_name(f"{lang}_{speaker}")
        utterances.append(
            Utterance(
                set=name,
                lang=lang,
                speaker=speaker,
                id=f"{speaker}-{plain_name(Path(clip).stem)}",
                audio=corpus / "clips" / clip,
                flac=None,  # the clip stays where it is
                text=transcript,
                translation=translation,
            )
        )
    return utterances


def parser() -> argparse.ArgumentParser:
    """The command line: --out, --langs, --nj, --max_dropped, and the corpus's folder."""
    parser = corpus_parser(__doc__, "data/mycorpus")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of metadata.csv")
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parse_corpus(parser())
    utterances, dropped = read_utterances(args.corpus, args.langs), list[Dropped]()
    with atomic_dir(args.out, sign="dropped.tsv") as temporary:
        # Every clip is decoded to its end; what can't be heard goes to `dropped`.
        sets = make_sets(temporary, utterances, dropped, args.nj, home=args.out)
        check_share(args.corpus, dropped, len(utterances), args.max_dropped)
        for name, tables in sets.items():
            write_dir(temporary / name, tables)
        write_dropped(temporary / "dropped.tsv", dropped)


if __name__ == "__main__":
    main()
