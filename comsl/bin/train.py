"""Train a ComSL model, or its language model alone: ESPnet's options and YAML."""

from comsl.cli import command


@command
def main() -> None:
    """Command-line entry."""
    from comsl.training.task import ComSLTask

    ComSLTask.main()


if __name__ == "__main__":
    main()
