"""One update of Whisper large-v3 with NLLB-200 600M by LoRA, at their true dimensions, with a trace
of the memory it takes.

What full fine-tuning takes `local/training_step.py` says. Weights are random, so that nothing is
downloaded, and so is what is heard; the frozen teacher is the language model without LoRA.
"""

import argparse
import json
import logging
import shutil
import tempfile
from pathlib import Path

from comsl.cli import command
from comsl.dimensions import WHISPER
from local.training_step import OPTIMIZERS, TOKENIZER, TOP, MemoryTrace, run_step

# Keywords of M2M100Config, of facebook/nllb-200-distilled-600M.
NLLB_600M = dict(
    vocab_size=256206,
    d_model=1024,
    encoder_layers=12,
    decoder_layers=12,
    encoder_ffn_dim=4096,
    decoder_ffn_dim=4096,
    encoder_attention_heads=16,
    decoder_attention_heads=16,
    max_position_embeddings=1024,
    scale_embedding=True,
)
LORA = {"language_model": {"rank": 16}, "speech_encoder": {"rank": 16}}


def write_language_model(folder: Path) -> None:
    """NLLB with random weights, stored in half precision, and any tokenizer."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    for file in TOKENIZER.glob("tokenizer*"):
        shutil.copy(file, folder)
    config = M2M100Config(**NLLB_600M)
    model = M2M100ForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)


def configuration(folder: Path) -> argparse.Namespace:
    """The recipe's joint phase of Large, with LoRA on both parts."""
    from comsl.training.task import ComSLTask

    args = ComSLTask.get_parser().parse_args(
        [
            *("--config", str(TOP / "egs2/covost2/comsl1/conf/train_large_joint.yaml")),
            *("--language_model", str(folder), "--teacher", str(folder)),
            *("--speech_encoder_conf", f"dims={json.dumps(WHISPER['large-v3'])}"),
        ]
    )
    args.lora_conf, args.optim, args.optim_conf = LORA, "adamw", OPTIMIZERS["adamw"]
    return args


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="Length of the one clip")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    trace = MemoryTrace()
    with tempfile.TemporaryDirectory() as folder:
        write_language_model(Path(folder))
        trace.phase("random NLLB on disk")
        run_step(configuration(Path(folder)), arguments.seconds, trace)
    print(f"{trace.peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
