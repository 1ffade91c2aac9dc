"""Write the adapter of a packed model as a checkpoint for a training's --init_param."""

import argparse
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="Packed model: folder or hub id")
    parser.add_argument("--speech_encoder", required=True, help="Whose states it will read")
    parser.add_argument("--language_model", required=True, help="Whose encoder will read it")
    parser.add_argument("--out", type=Path, required=True, help="Checkpoint to write")
    args = parser.parse_args()

    import torch
    from transformers import AutoConfig

    from comsl.corpora.kaldi import atomic_file
    from comsl.encoders.choices import encoder_class
    from comsl.inference import find_model
    from comsl.model.adapter import Adapter
    from comsl.model.packed import ADAPTER, read_tensors

    tensors = read_tensors(find_model(args.model))
    adapter = {name: t.float() for name, t in tensors.items() if name.startswith(ADAPTER)}
    width = encoder_class(args.speech_encoder).published_width(args.speech_encoder)
    depth = AutoConfig.from_pretrained(args.language_model).d_model
    if width:
        wanted = Adapter(width, depth).state_dict(prefix=ADAPTER)
        shapes = [{name: tensor.shape for name, tensor in x.items()} for x in (adapter, wanted)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"{args.model}: its adapter doesn't fit between {args.speech_encoder}, {width}"
                f" wide, and {args.language_model}, {depth} wide"
            )
    with atomic_file(args.out) as temporary:
        torch.save(adapter, temporary)


if __name__ == "__main__":
    main()
