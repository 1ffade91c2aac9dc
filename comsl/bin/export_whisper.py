"""Write a fine-tuned Whisper as a checkpoint in OpenAI's format, which openai-whisper loads."""

from pathlib import Path

from comsl.cli import command, new_parser


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="experiment or checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write, *.pt")
    args = parser.parse_args()

    from comsl.baselines.whisper_task import WhisperTask
    from comsl.encoders.whisper_weights import save_whisper
    from comsl.inference import choose_checkpoint, load_weights, read_config

    checkpoint = choose_checkpoint(args.model)
    model = load_weights(WhisperTask.build_model(read_config(checkpoint)), checkpoint)
    save_whisper(model.assemble(), args.out)


if __name__ == "__main__":
    main()
