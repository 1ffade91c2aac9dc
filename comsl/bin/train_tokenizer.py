"""Make the folder of a new language model: a tokenizer and a configuration, without weights.

The pieces are SentencePiece's, in mBART-50's tokenizer."""

import itertools
import json
import tempfile
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora.kaldi import read_table
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Kaldi-style folder with texts")
    parser.add_argument("--config", type=Path, required=True, help="JSON of MBartConfig")
    parser.add_argument("--langs", default="", help="languages that must have a token")
    parser.add_argument("--vocab_size", type=int, default=8000, help="SentencePiece pieces")
    parser.add_argument("--out", type=Path, required=True, help="Hugging Face folder to write")
    args = parser.parse_args()
    try:
        size = dict(json.loads(args.config.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{args.config}: no JSON object: {error}") from None

    import sentencepiece
    from transformers import MBartConfig

    from comsl.tokenizer import Tokenizer, from_sentencepiece

    tables = [read_table(args.data / name) for name in ("text.src", "text.tgt")]
    texts = list(itertools.chain.from_iterable(table.values() for table in tables))
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"{folder}/pieces"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=prefix,
            vocab_size=args.vocab_size,
            model_type="unigram",
            character_coverage=0.9998,
            hard_vocab_limit=False,  # a small text may not hold that many pieces
            # The tokenizer made from it changes no character.
            normalization_rule_name="identity",
            input_sentence_size=1_000_000,
            shuffle_input_sentence=True,
            minloglevel=1,
        )
        from_sentencepiece(f"{prefix}.model").save_pretrained(args.out)
    tokenizer = Tokenizer(args.out)
    if tokenizer.add_missing(args.langs.split()):
        tokenizer.backend.save_pretrained(args.out)
    config = MBartConfig(**size | {"vocab_size": len(tokenizer)})
    config.save_pretrained(args.out)
    print(f"{len(tokenizer)} tokens -> {args.out}")


if __name__ == "__main__":
    main()
