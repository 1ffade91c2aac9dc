"""Stage 4: pseudo speech translation data: translate the transcripts of sets that lack one.

Utterances and sentences of dev and test are left out, and listed in dropped.tsv with the reason.
"""

import argparse
import logging
from functools import partial
from pathlib import Path

from comsl.cli import command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="language model: experiment or checkpoint")
    parser.add_argument(
        "--raw", type=Path, required=True, help="stage 2's folder: train, dev, test"
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="sets to translate")
    parser.add_argument("--out", type=Path, required=True, help="the set to write")
    parser.add_argument("--ngpu", type=int, default=0, help="0 translates on the CPU")
    return parser


@command
def main() -> None:
    """Translate the sets, together, into one set."""
    args = parser().parse_args()
    from comsl.corpora import kaldi, pseudo
    from comsl.corpora.dropped import write_dropped

    for folder in args.data:
        kaldi.validate_dir(folder, translated=False)
    tables = kaldi.combine([kaldi.read_dir(folder) for folder in args.data])
    known = pseudo.read_known(args.raw)

    from comsl.inference import SpeechTranslator
    from comsl.journal import generate

    translator = SpeechTranslator.from_pretrained(args.model, "cuda" if args.ngpu else "cpu")
    journal = args.out.with_name(f"{args.out.name}.jsonl")
    whole, dropped = pseudo.make_pseudo(
        tables,
        known,
        partial(generate, translator, "mt", path=journal),
        translator.tokenizer.lengths,
    )
    kaldi.write_dir(args.out, whole)
    write_dropped(args.out / "dropped.tsv", dropped)
    journal.unlink()
    logging.info(
        "%s: %d utterances, %d left out (dropped.tsv)",
        args.out,
        len(whole["text.tgt"]),
        len(dropped),
    )


if __name__ == "__main__":
    main()
