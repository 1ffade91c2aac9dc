"""One update of Whisper large-v3 with NLLB-200 600M by LoRA, at their true dimensions, with a trace
of the memory it takes.

The baseline is full fine-tuning, for which these two cores have no memory: weights, gradients and
AdamW's two numbers for each, and the frozen teacher, are counted, activations left out. Weights and
speech are random, so that nothing is downloaded; LoRA's teacher is the language model without it.
"""

import argparse
import logging
import tempfile
from pathlib import Path

from benchmarks.common import report, row
from comsl.cli import command
from comsl.dimensions import NLLB_600M, WHISPER
from comsl.planning.untrained import configuration, write_language_model
from local.training_step import OPTIMIZERS, MemoryTrace, run_step

LORA = {"language_model": {"rank": 16}, "speech_encoder": {"rank": 16}}
TEACHER, BYTES = 617e6, 4  # NLLB's parameters; of a number in single precision


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="Length of the one clip")
    parser.add_argument("--json", type=Path, help="File to write the results to")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    trace = MemoryTrace()
    with tempfile.TemporaryDirectory() as folder:
        write_language_model(Path(folder), NLLB_600M, "m2m_100")
        trace.phase("random NLLB on disk")
        configured = configuration("large", Path(folder), dimensions=WHISPER["large-v3"])
        configured.lora_conf = LORA
        configured.optim, configured.optim_conf = "adamw", OPTIMIZERS["adamw"]
        parameters = run_step(configured, arguments.seconds, trace)
    full = (4 * parameters + TEACHER) * BYTES / 2**30
    rows = [row("memory", trace.peak, full, "GiB at most", better="lower")]
    report(rows, arguments, {"GiB at most": trace.phases})


if __name__ == "__main__":
    main()
