"""Give a language model pieces for all characters that its tokenizer lacks, and for bytes."""

from pathlib import Path

from comsl.cli import command, new_parser


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--language_model", required=True, help="language model: hub id or folder")
    parser.add_argument("--out", type=Path, required=True, help="Hugging Face folder to write")
    args = parser.parse_args()

    import torch

    from comsl.model.language_model import LanguageModel
    from comsl.tokenizer import Tokenizer
    from comsl.vocabulary import alike, cover

    torch.manual_seed(0)
    tokenizer, model = Tokenizer(args.language_model), LanguageModel(args.language_model)
    known = tokenizer.backend.get_vocab()
    codes = tokenizer.backend.convert_tokens_to_ids(tokenizer.backend.extra_special_tokens)
    tokenizer.backend, new = cover(tokenizer.backend)
    model.add_tokens(len(new))
    rows = model.embeddings.data
    # The codes, most of which no text has, stand for what is not to be expected: a row quite like
    # another's would take half of its probability.
    unexpected = rows[codes].mean(0)
    for row, piece in enumerate(new, start=len(known)):
        ids = alike(piece, known)
        rows[row] = (rows[ids].mean(0) + unexpected) / 2 if ids else unexpected
    model.save(args.out, tokenizer)
    print(f"{args.out}: {args.language_model} with {len(new)} more pieces")


if __name__ == "__main__":
    main()
