"""Translate whole talks, and cut their translations into the segments of a test set."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.sets import test_sets
from comsl.errors import DataError
from comsl.parts import Job, add_options, make_part
from comsl.settings_file import read_search


class Talk(NamedTuple):
    """A recording, and the translations of its segments in their order, by utterance."""

    audio: str
    milliseconds: int
    references: dict[str, str]

    def __len__(self) -> int:
        return self.milliseconds


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", required=True, help="experiment, checkpoint or packed model")
    parser.add_argument("--data", type=Path, required=True, help="folder of talks (stage 1)")
    add_sets(parser, "sets to decode")
    parser.add_argument("--decode_config", type=Path, required=True, help="YAML: beam and batch")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="<out>/<set>_<lang>/text.st, and talk.st unsegmented",
    )
    add_options(parser)
    args = parser.parse_args()
    search = read_search(args.decode_config)
    sets = test_sets(args.data / "talks", args.set, args.langs)
    talks = {name: read_talks(args.data, name) for name in sets}

    from comsl.inference import SpeechTranslator, choose_checkpoint

    model = choose_checkpoint(Path(args.model))

    def work(part: Path, job: Job) -> None:
        translator = SpeechTranslator.from_pretrained(model, job.device(args.ngpu))
        for name, lang in sets.items():
            wanted = read_table(args.raw / name / "utt2lang").keys()
            translate(translator, job.share_of(talks[name]), lang, wanted, part / name, search)

    folders = [folder / name for name in sets for folder in (args.data / "talks", args.raw)]
    make_part(args, [model, *folders], work)


def read_talks(data: Path, name: str) -> dict[str, Talk]:
    """The talks of a set. DataError: stage 1 has written none."""
    folder = data / "talks" / name
    if not folder.is_dir():
        raise DataError(f"{folder}: no whole talks; only recipes whose stage 1 keeps them have any")
    translations = read_table(data / name / "text.tgt")
    places = defaultdict(list)
    for utterance, value in read_table(folder / "segments").items():
        talk, start, _ = value.split()
        places[talk].append((float(start), utterance))
    durations = read_table(folder / "utt2dur")
    return {
        talk: Talk(
            audio,
            round(1000 * float(durations[talk])),
            {utterance: translations[utterance] for _, utterance in sorted(places[talk])},
        )
        for talk, audio in read_table(folder / "wav.scp").items()
    }


def translate(translator, talks: dict[str, Talk], lang: str, wanted, out: Path, search) -> None:
    """Write the segments' translations, those of the wanted utterances, and the talks'.

    DataError: a talk can't be heard to its end.
    """
    from comsl.evaluation.resegmentation import resegment
    from comsl.recordings.translation import translate_recordings

    segments, whole = {}, {}
    sources = [talk.audio for talk in talks.values()]
    recordings = translate_recordings(translator, sources, lang, **search)
    for (name, talk), recording in zip(talks.items(), recordings, strict=True):
        if recording.error:
            raise recording.error
        whole[name] = " ".join(recording.text.split())
        pieces = resegment(whole[name], list(talk.references.values()), translator.target_lang)
        segments |= dict(zip(talk.references, pieces, strict=True))
    kept = {utterance: text for utterance, text in segments.items() if utterance in wanted}
    write_table(out / "text.st", kept)
    write_table(out / "talk.st", whole)


if __name__ == "__main__":
    main()
