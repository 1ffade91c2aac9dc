"""Write the language model of a training run as a Hugging Face folder."""

from pathlib import Path

from comsl.cli import command, new_parser


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="experiment or checkpoint")
    parser.add_argument("--half", action="store_true", help="store 16-bit weights")
    parser.add_argument("--out", type=Path, required=True, help="Hugging Face folder to write")
    args = parser.parse_args()

    from comsl.inference import choose_checkpoint, load_model

    model = load_model(choose_checkpoint(args.model))
    language_model = model.language_model
    if args.half:
        language_model.half()
    language_model.save(args.out, model.tokenizer)
    print(f"{sum(p.numel() for p in language_model.parameters())} parameters -> {args.out}")


if __name__ == "__main__":
    main()
