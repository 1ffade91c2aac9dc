"""Write the shape files that ESPnet batches by: tokens of both texts of every utterance.

Utterances with a longer text are left out of them, and listed in the folder's dropped.tsv. Nothing
is left out of a test set: what of it doesn't fit the model is named at once, before any training.
So is, of every set, the share of tokens that stand for letters which the vocabulary lacks, and the
BLEU of translations that have only been through the tokenizer: no model's can be higher.
"""

import itertools
import logging
from collections import Counter
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora.dropped import Dropped, write_dropped
from comsl.corpora.kaldi import read_table, write_table
from comsl.errors import DataError

SHAPES = {"text.src": "source_shape", "text.tgt": "target_shape"}
MANY_UNKNOWN, TOO_MANY_UNKNOWN = 0.001, 0.05  # of all tokens
MAX_REFERENCES = 2000


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
    tested = [path for name in args.test_set.split() for path in sorted(raw.glob(f"{name}_*/"))]

    from transformers import AutoConfig

    from comsl.tokenizer import Tokenizer

    tokenizer = Tokenizer(args.language_model)
    positions = AutoConfig.from_pretrained(args.language_model).max_position_embeddings
    for folder in (*tested, *args.folders):
        report_unknown(folder, tokenizer)
        report_ceiling(folder, tokenizer, args.target_lang)
    for folder in tested:
        check_texts(folder, tokenizer, positions)
    for folder in args.folders:
        write_shapes(folder, tokenizer, min(args.max_tokens, positions))


def report_unknown(folder: Path, tokenizer) -> None:
    """Say which share of a set's tokens stands for letters that the vocabulary lacks, and which
    letters. DataError: they are so many that a model could not learn from the texts."""
    for text in SHAPES:
        texts = list(read_table(folder / text, empty_ok=text == "text.src").values())
        share = tokenizer.unknown_share(texts)
        message = f"{folder}/{text}: {share:.2%} of the tokens stand for letters that"
        message += f" '{tokenizer.path}' lacks"
        if share < MANY_UNKNOWN:
            logging.info("%s", message)
            continue
        letters = Counter(itertools.chain.from_iterable(texts))
        lacking = [
            letter for letter, _ in letters.most_common() if tokenizer.unknown_share([letter])
        ]
        message += f", and will never write: {' '.join(lacking)}"
        if share >= TOO_MANY_UNKNOWN:
            raise DataError(f"{message}: choose a language model that knows them")
        logging.warning("%s", message)


def report_ceiling(folder: Path, tokenizer, lang: str) -> None:
    """Say the BLEU of a set's translations, of a large set's first, when they have been tokens."""
    from comsl.bleu import bleu_metric
    from comsl.corpora.targets import read_targets

    table = read_table(folder / "text.tgt")
    targets = read_targets(folder, table, lang)
    texts = dict(itertools.islice(table.items(), MAX_REFERENCES))
    decoded = [
        tokenizer.decode(tokenizer.encode(text, targets[key])) for key, text in texts.items()
    ]
    references = list(texts.values())
    bleu = bleu_metric(lang.split()[0]).corpus_score(decoded, [references]).score
    what = f"{len(references)} translations, through the tokenizer"
    logging.info("%s: %s: BLEU %.1f at most", folder, what, bleu)


def check_texts(folder: Path, tokenizer, positions: int) -> None:
    """DataError: a text of the set has more tokens than the model has positions."""
    for text in SHAPES:
        table = read_table(folder / text)
        lengths = dict(zip(table, tokenizer.lengths(list(table.values())), strict=True))
        if longer := {key: length for key, length in lengths.items() if length > positions}:
            worst = max(longer, key=longer.get)
            raise DataError(
                f"{folder}/{text}: {len(longer)} texts don't fit the language model, which has"
                f" {positions} positions, such as '{worst}' of {longer[worst]} tokens: shorten them"
                " or remove their utterances from the corpus"
            )


def write_shapes(folder: Path, tokenizer, max_tokens: int) -> None:
    """Measure a set; a line in text.src may be empty. DataError: nothing is left of it."""
    lengths: dict[str, dict[str, int]] = {}
    reasons: dict[str, str] = {}
    for text in SHAPES:
        table = read_table(folder / text, empty_ok=text == "text.src")
        lengths[text] = dict(zip(table, tokenizer.lengths(list(table.values())), strict=True))
        for utterance, length in lengths[text].items():
            if length > max_tokens:
                reasons[utterance] = f"{length} tokens in {text}, more than {max_tokens}"
    langs = read_table(folder / "utt2lang")
    dropped = [Dropped(utterance, langs[utterance], why) for utterance, why in reasons.items()]
    if len(dropped) == len(langs):
        raise DataError(f"{folder}: nothing is left: {dropped[0]}, and so on; raise --max_tokens")
    for text, shape in SHAPES.items():
        kept = {key: str(n) for key, n in lengths[text].items() if key not in reasons}
        write_table(folder / shape, kept)
    write_dropped(folder / "dropped.tsv", dropped)
    if dropped:
        count = f"{len(dropped)} of {len(langs)} utterances"
        logging.warning("%s: %s left out, see dropped.tsv: %s ...", folder, count, dropped[0])


if __name__ == "__main__":
    main()
