"""Fine-tune Whisper on the data that ComSL trains on: ESPnet's options and YAML."""

from comsl.cli import command


@command
def main() -> None:
    """Command-line entry."""
    from comsl.baselines.whisper_task import WhisperTask

    WhisperTask.main()


if __name__ == "__main__":
    main()
