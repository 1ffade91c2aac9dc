"""Write a fine-tuned Whisper as a checkpoint in OpenAI's format, which openai-whisper loads."""

import argparse
from pathlib import Path

from comsl.cli import command


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="A *.pth of ESPnet's")
    parser.add_argument("--out", type=Path, required=True, help="Checkpoint to write, *.pt")
    args = parser.parse_args()

    from comsl.inference import load_weights, read_config
    from comsl.whisper_task import WhisperTask
    from comsl.whisper_weights import save_whisper

    model = load_weights(WhisperTask.build_model(read_config(args.checkpoint)), args.checkpoint)
    save_whisper(model.assemble(), args.out)


if __name__ == "__main__":
    main()
