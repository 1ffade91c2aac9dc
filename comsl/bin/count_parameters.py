"""Count the parameters of ComSL with mBART-50, without its weights: nothing is downloaded."""

from comsl.cli import command, new_parser
from comsl.dimensions import MBART_50, WHISPER


def count_parameters(speech_encoder: str) -> dict[str, int]:
    """Parameters by component, the frozen teacher not counted; `speech_encoder`: one of WHISPER."""
    import tempfile

    import torch
    from transformers import MBartConfig

    from comsl.encoders.whisper import WhisperEncoder
    from comsl.model.adapter import Adapter
    from comsl.model.language_model import LanguageModel

    # On the device "meta" tensors have shapes, but no memory.
    with tempfile.TemporaryDirectory() as folder, torch.device("meta"):
        MBartConfig(**MBART_50).save_pretrained(folder)
        language_model = LanguageModel(folder, from_scratch=True)
        encoder = WhisperEncoder(dims=WHISPER[speech_encoder])
        adapter = Adapter(encoder.output_size(), language_model.config.d_model)
    components = {
        "speech encoder": encoder,
        "adapter": adapter,
        "language blocks": language_model,
    }
    return {
        name: sum(parameter.numel() for parameter in component.parameters())
        for name, component in components.items()
    }


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "--speech_encoder", nargs="+", choices=WHISPER, default=["medium", "large-v2"],
        help="Whisper models, one row each", metavar="MODEL",
    )  # fmt: skip
    args = parser.parse_args()

    counts = {name: count_parameters(name) for name in args.speech_encoder}
    columns = [*next(iter(counts.values())), "all"]
    print("".join(f"{name:>17}" for name in ["millions", *columns]))
    for name, row in counts.items():
        numbers = [*row.values(), sum(row.values())]
        print(f"{name:>17}" + "".join(f"{number / 1e6:17.1f}" for number in numbers))


if __name__ == "__main__":
    main()
