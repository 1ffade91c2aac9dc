"""Decode sets with a trained model: ST, ASR and MT, one file a set and task."""

import argparse
from pathlib import Path

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.sets import test_sets
from comsl.corpora.targets import read_targets
from comsl.corpora.waves import open_waves
from comsl.errors import DataError
from comsl.parts import Job, add_options, make_part
from comsl.settings_file import read_search

TASKS = ("st", "asr", "mt")
SEARCH = ("beam_size", "max_tokens", "length_penalty", "early_stopping")


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", required=True, help="experiment, checkpoint or packed model")
    add_sets(parser, "sets to decode")
    parser.add_argument(
        "--tasks", default="st asr mt", help='what to decode, of "st", "asr" and "mt"'
    )
    parser.add_argument(
        "--transcripts",
        type=Path,
        help="cascade: folder of recognised transcripts (<set>_<lang>/text.asr); their "
        "translation is written as text.st",
    )
    parser.add_argument("--beam_size", type=int, default=5)
    parser.add_argument(
        "--max_tokens", type=int, help="longest text; without it, as long as its input can be"
    )
    parser.add_argument("--batch_size", type=int, default=32, help="utterances a batch")
    parser.add_argument("--decode_config", type=Path, help="YAML of these and further settings")
    parser.add_argument("--out", type=Path, required=True, help="<out>/<set>_<lang>/text.<task>")
    add_options(parser)
    args = parser.parse_args()
    if args.decode_config:
        vars(args).update(read_search(args.decode_config))
    sets = test_sets(args.raw, args.set, args.langs)
    if not set(args.tasks.split()) <= set(TASKS):
        raise DataError(f"--tasks '{args.tasks}': known are {' '.join(TASKS)}")
    inputs = read_inputs(args, list(sets))

    from comsl.inference import SpeechTranslator, choose_checkpoint

    model = choose_checkpoint(Path(args.model))

    def work(part: Path, job: Job) -> None:
        translator = SpeechTranslator.from_pretrained(model, job.device(args.ngpu))
        for task, tables in inputs.values():
            for waves in tables.values() if task != "mt" else ():
                translator.check(waves)
        for suffix, (task, tables) in inputs.items():
            decode(translator, task, tables, sets, args, part, job, suffix)
        for journal in part.glob("*.jsonl"):  # kept until all tasks are done: some may be left
            journal.unlink()

    folders = [folder / name for folder in (args.raw, args.transcripts) if folder for name in sets]
    make_part(args, [model, *folders], work)


def read_inputs(args: argparse.Namespace, sets: list[str]) -> dict[str, tuple[str, dict]]:
    """What the output's name ends in -> the task, and its inputs by set and utterance."""
    if folder := args.transcripts:
        texts = {name: read_table(folder / name / "text.asr", empty_ok=True) for name in sets}
        return {"st": ("mt", texts)}
    tasks, speech, texts = args.tasks.split(), {}, {}
    if {"st", "asr"} & set(tasks):
        speech = {name: open_waves(read_table(args.raw / name / "wav.scp")) for name in sets}
    if "mt" in tasks:
        texts = {name: read_table(args.raw / name / "text.src") for name in sets}
    return {task: (task, texts if task == "mt" else speech) for task in tasks}


def decode(
    translator, task: str, tables: dict, sets: dict, args, part: Path, job: Job, suffix: str
) -> None:
    """Decode the job's share of all sets in one go, since utterances of like length may share a
    batch, and write `text.<suffix>` of each."""
    from comsl.journal import generate

    utterances = job.share(
        {(name, key): len(item) for name, table in tables.items() for key, item in table.items()}
    )
    known = " ".join(translator.targets)
    targets = {name: read_targets(args.raw / name, table, known) for name, table in tables.items()}
    texts = generate(
        translator,
        task,
        [tables[name][utterance] for name, utterance in utterances],
        [sets[name] for name, _ in utterances],
        part / f"text.{suffix}.jsonl",
        args.batch_size,
        [targets[name][utterance] for name, utterance in utterances],
        **{name: getattr(args, name) for name in SEARCH if name in args},
    )
    for name in sets:
        table = {
            utterance: text
            for (owner, utterance), text in zip(utterances, texts, strict=True)
            if owner == name
        }
        write_table(part / name / f"text.{suffix}", table)


if __name__ == "__main__":
    main()
