"""Write the shape files that ESPnet batches by: tokens of both texts of every utterance.

Utterances with a longer text are left out of them, and listed in the folder's dropped.tsv. Nothing
is left out of a test set: what of it doesn't fit the model is named at once, before any training.
So is, of every set, the share of tokens that stand for letters which the vocabulary lacks, and the
BLEU of translations that have only been through the tokenizer: no model's can be higher.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora.dropped import Dropped, write_dropped
from comsl.corpora.kaldi import iter_table, row_writer, rows_of
from comsl.errors import DataError

SHAPES = {"text.src": "source_shape", "text.tgt": "target_shape"}
MANY_UNKNOWN, TOO_MANY_UNKNOWN = 0.001, 0.05  # of all tokens
MAX_REFERENCES = 2000
BATCH = 1000  # texts that are tokenized together


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--language_model", required=True, help="language model: hub id or folder")
    parser.add_argument("--target_lang", default="en", help="language of text.tgt")
    parser.add_argument("--max_tokens", type=int, default=256, help="longest text, in tokens")
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        help="Kaldi-style folders; source_shape and target_shape are written into them",
    )
    parser.add_argument(
        "--test_set", default="", help='sets beside them whose texts must fit, such as "test"'
    )
    args = parser.parse_args()
    raw = args.folders[0].parent
    # Once, though `test_*` finds those of test_other too.
    tested = sorted({path for name in args.test_set.split() for path in raw.glob(f"{name}_*/")})

    from transformers import AutoConfig

    from comsl.tokenizer import Tokenizer

    tokenizer = Tokenizer(args.language_model)
    positions = AutoConfig.from_pretrained(args.language_model).max_position_embeddings
    for folder in (*tested, *args.folders):
        report_unknown(folder, tokenizer, args.target_lang)
        report_ceiling(folder, tokenizer, args.target_lang)
    for folder in tested:
        check_texts(folder, tokenizer, args.target_lang, positions)
    for folder in args.folders:
        write_shapes(folder, tokenizer, args.target_lang, min(args.max_tokens, positions))


def iter_texts(folder: Path, name: str, target_lang: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Utterance -> a text and its language; a transcript may be empty. DataError: it isn't known
    into which language one of the set's translations is."""
    from comsl.corpora.targets import iter_targets

    texts = iter_table(folder / name, empty_ok=name == "text.src")
    if name == "text.src":
        langs = iter_table(folder / "utt2lang")
    else:
        keys = (key for key, _ in iter_table(folder / name))
        langs = iter_targets(folder, keys, target_lang)
    for (key, text), (_, lang) in zip(texts, langs, strict=True):
        yield key, (text, lang)


def report_unknown(folder: Path, tokenizer, target_lang: str) -> None:
    """Say which share of a set's tokens stands for letters that the vocabulary lacks, and which
    letters. DataError: they are so many that a model could not learn from the texts."""
    for text in SHAPES:
        share = tokenizer.unknown_share(row for _, row in iter_texts(folder, text, target_lang))
        message = f"{folder}/{text}: {share:.2%} of the tokens stand for letters that"
        message += f" '{tokenizer.path}' lacks"
        if share < MANY_UNKNOWN:
            logging.info("%s", message)
            continue
        letters = Counter()
        for _, (value, lang) in iter_texts(folder, text, target_lang):
            letters.update((letter, lang) for letter in value)
        lacking = [row[0] for row, _ in letters.most_common() if tokenizer.unknown_share([row])]
        message += f", and will never write: {' '.join(dict.fromkeys(lacking))}"
        if share >= TOO_MANY_UNKNOWN:
            raise DataError(f"{message}: choose a language model that knows them")
        logging.warning("%s", message)


def report_ceiling(folder: Path, tokenizer, target_lang: str) -> None:
    """Say the BLEU of a set's translations, of a large set's first, when they have been tokens."""
    from comsl.bleu import bleu_metric

    references, decoded = [], []
    for _, (text, lang) in iter_texts(folder, "text.tgt", target_lang):
        if len(references) < MAX_REFERENCES:
            references.append(text)
            decoded.append(tokenizer.decode(tokenizer.encode(text, lang)))
    bleu = bleu_metric(target_lang.split()[0]).corpus_score(decoded, [references]).score
    what = f"{len(references)} translations, through the tokenizer"
    logging.info("%s: %s: BLEU %.1f at most", folder, what, bleu)


def check_texts(folder: Path, tokenizer, target_lang: str, positions: int) -> None:
    """DataError: a text of the set has more tokens than the model has positions."""
    for text in SHAPES:
        table = dict(iter_texts(folder, text, target_lang))
        lengths = tokenizer.lengths(*zip(*table.values(), strict=True))
        lengths = dict(zip(table, lengths, strict=True))
        if longer := {key: length for key, length in lengths.items() if length > positions}:
            worst = max(longer, key=longer.get)
            raise DataError(
                f"{folder}/{text}: {len(longer)} texts don't fit the language model, which has"
                f" {positions} positions, such as '{worst}' of {longer[worst]} tokens: shorten them"
                " or remove their utterances from the corpus"
            )


def write_shapes(folder: Path, tokenizer, target_lang: str, max_tokens: int) -> None:
    """Measure a set; a line in text.src may be empty. DataError: nothing is left of it."""
    dropped, number = [], 0
    rows = rows_of({text: iter_texts(folder, text, target_lang) for text in SHAPES})
    with row_writer(folder) as write:
        for batch in itertools.batched(rows, BATCH):
            columns = [
                tokenizer.lengths(*zip(*(row[text] for _, row in batch), strict=True))
                for text in SHAPES
            ]
            for (utterance, row), *lengths in zip(batch, *columns, strict=True):
                shape = dict(zip(SHAPES, lengths, strict=True))
                if long := [text for text, length in shape.items() if length > max_tokens]:
                    why = f"{shape[long[-1]]} tokens in {long[-1]}, more than {max_tokens}"
                    dropped.append(Dropped(utterance, row["text.src"][1], why))
                else:
                    write(utterance, {SHAPES[text]: str(n) for text, n in shape.items()})
            number += len(batch)
        if len(dropped) == number:
            raise DataError(
                f"{folder}: nothing is left: {dropped[0]}, and so on; cut longer texts into parts"
            )
    write_dropped(folder / "dropped.tsv", dropped)
    if dropped:
        count = f"{len(dropped)} of {number} utterances"
        logging.warning("%s: %s left out, see dropped.tsv: %s ...", folder, count, dropped[0])


if __name__ == "__main__":
    main()
