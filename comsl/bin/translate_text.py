"""Stage 4: pseudo speech translation data: translate the transcripts of sets that lack one.

What the training set or the sets held out have already, an utterance or a sentence, is left out and
listed in dropped.tsv with the reason.
"""

import argparse
import logging
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora.sets import HELD_OUT, TRAIN
from comsl.parts import Job, add_options, make_part


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", required=True, help="language model: experiment or checkpoint")
    parser.add_argument(
        "--raw", type=Path, required=True, help="stage 2's folder, with train and --held_out"
    )
    parser.add_argument("--held_out", default=HELD_OUT, help="sets that the data may not repeat")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="sets to translate")
    parser.add_argument("--out", type=Path, required=True, help="the set to write")
    add_options(parser)
    return parser


@command
def main() -> None:
    """Translate the sets, together, into one set; each job its share of it."""
    args = parser().parse_args()
    from comsl.corpora import held_out, kaldi

    for folder in args.data:
        kaldi.validate_dir(folder, texts=["text.src"])
    tables = kaldi.combine([kaldi.read_dir(folder) for folder in args.data])
    known = held_out.read_known(args.raw / TRAIN, args.held_out)
    held_out.leave_out(tables, known)  # tells at once if nothing may be used

    from comsl.inference import choose_checkpoint

    model = choose_checkpoint(Path(args.model))
    others = [args.raw / TRAIN, *held_out.held_out_folders(args.raw, args.held_out)]

    def work(part: Path, job: Job) -> None:
        mine = set(job.share({key: len(text) for key, text in tables["text.src"].items()}))
        share = {
            field: {key: value for key, value in table.items() if key in mine}
            for field, table in tables.items()
        }
        translate(model, job.device(args.ngpu), share, known, part)

    make_part(args, [model, *args.data, *others], work)


def translate(model: Path, device: str, tables: dict, known, part: Path) -> None:
    """The set of `tables`, translated, into `part`, with what is left out in dropped.tsv."""
    from comsl.corpora import pseudo
    from comsl.corpora.dropped import write_dropped
    from comsl.corpora.kaldi import write_table
    from comsl.inference import SpeechTranslator
    from comsl.journal import generate

    translator = SpeechTranslator.from_pretrained(model, device)
    journal = part / "text.tgt.jsonl"
    whole, dropped = pseudo.make_pseudo(
        tables,
        known,
        lambda texts, langs, targets: generate(
            translator, "mt", texts, langs, journal, targets=targets
        ),
        translator.tokenizer.lengths,
        translator.target_lang,
    )
    for field, table in whole.items():
        write_table(part / field, table)
    write_dropped(part / "dropped.tsv", dropped)
    journal.unlink(missing_ok=True)
    logging.info(
        "%s: %d utterances, %d left out (dropped.tsv)", part, len(whole["text.tgt"]), len(dropped)
    )


if __name__ == "__main__":
    main()
