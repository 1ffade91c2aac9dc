"""Write a language model with a token for each language that it may lack, and a mask."""

from pathlib import Path

from comsl.cli import command, new_parser


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--language_model", required=True, help="language model: hub id or folder")
    parser.add_argument("--langs", required=True, help='Common Voice codes, such as "ca cy fr"')
    parser.add_argument("--out", type=Path, required=True, help="Hugging Face folder to write")
    args = parser.parse_args()

    from comsl.tokenizer import Tokenizer

    tokenizer = Tokenizer(args.language_model)
    added = tokenizer.add_missing(args.langs.split())

    import torch

    from comsl.model.language_model import LanguageModel

    torch.manual_seed(0)
    model = LanguageModel(args.language_model)
    model.add_tokens(len(tokenizer) - model.config.vocab_size)
    model.save(args.out, tokenizer)
    print(f"{args.out}: {args.language_model} with {' '.join(added) or 'all these languages'}")


if __name__ == "__main__":
    main()
