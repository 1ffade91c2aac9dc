"""Cosine similarity of speech and transcript inside the language encoder (stage 10).

`<set>_<lang>/similarity.<layer>` says of every utterance how near its tokens are to the speech of
their own words, and to that of others; the matrices of a language's first utterances are beside it.
`comsl.bin.draw_similarity` makes the report's number and pictures of them.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.sets import sets_of
from comsl.corpora.waves import Wave, open_waves, read_waves
from comsl.errors import DataError
from comsl.parts import Job, add_options, make_part

Clips = dict[str, tuple[Wave, str, list]]  # waveform, transcript, words with their times
DRAWN = 2  # of a language, the first


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--model", required=True, help="experiment, checkpoint or packed model")
    add("--compare_with", help="another one, whose matrices stand to the left of the model's")
    add_sets(parser, "set to look at")
    add("--alignment", type=Path, required=True, help="folder with <set>_<lang>/words.ctm")
    add("--out", type=Path, required=True, help="gets <set>_<lang>/similarity.<layer>")
    add_options(parser)
    return parser.parse_args()


@command
def main() -> None:
    """Compare the job's share of all sets."""
    args = parse_args()
    sets = sets_of(args.set, args.langs)
    clips = {name: read_clips(args.raw / name, args.alignment / name) for name in sets}
    shown = {name: set(islice(table, DRAWN)) for name, table in clips.items()}

    from comsl.inference import choose_checkpoint

    def work(part: Path, job: Job) -> None:
        mine = {name: share(job, table) for name, table in clips.items()}
        others, device = {}, job.device(args.ngpu)
        if args.compare_with:
            other = load(args.compare_with, device)
            for name, lang in sets.items():
                drawn = {key: clip for key, clip in mine[name].items() if key in shown[name]}
                others |= look(other, drawn, lang, chosen_layer(other))
            del other  # before the next is loaded
        translator = load(args.model, device)
        layer = chosen_layer(translator)
        for name, lang in sets.items():
            means = {}
            for key, similarity in look(translator, mine[name], lang, layer):
                means[key] = similarity.means() or ()
                if key in shown[name]:
                    save(part / name, key, args, similarity, others.get(key))
            lines = {key: " ".join(f"{mean:.6f}" for mean in pair) for key, pair in means.items()}
            write_table(part / name / f"similarity.{layer}", lines)

    models = [choose_checkpoint(Path(model)) for model in (args.model, args.compare_with) if model]
    folders = [folder / name for folder in (args.raw, args.alignment) for name in sets]
    make_part(args, [*models, *folders], work)


def read_clips(raw: Path, alignment: Path) -> Clips:
    """Utterance -> its waveform, transcript, and words with their times."""
    from comsl.evaluation.word_alignment import read_ctm

    waves = open_waves(read_table(raw / "wav.scp"))
    texts, words = read_table(raw / "text.src"), read_ctm(alignment / "words.ctm")
    return {key: (wave, texts[key], words.get(key, [])) for key, wave in waves.items()}


def share(job: Job, clips: Clips) -> Clips:
    """The job's part of them."""
    return {key: clips[key] for key in job.share({k: len(clip[0]) for k, clip in clips.items()})}


def load(model: str, device: str):
    """A trained model as SpeechTranslator."""
    from comsl.inference import SpeechTranslator

    return SpeechTranslator.from_pretrained(model, device)


def chosen_layer(translator) -> int:
    """The encoder layer to look at: a third of the way up, as ERM's."""
    from comsl.model.objectives.cml import matched_layer

    return matched_layer(translator.model.language_model.config.encoder_layers)


def look(translator, clips: Clips, lang: str, layer: int) -> Iterator[tuple]:
    """Each utterance with its Similarity, and a line of progress now and then."""
    from comsl.evaluation.similarity import compare

    waves = {key: wave for key, (wave, *_) in clips.items()}
    for key, wave in read_waves(waves, lang):
        _, text, words = clips[key]
        yield key, compare(translator, wave, text, words, lang, layer)


def save(folder: Path, utterance: str, args, similarity, other) -> None:
    """An utterance's matrices, to be drawn. DataError: the other model has other tokens."""
    from comsl.evaluation.similarity import save_panels

    panels = [(Path(args.model).name, similarity)]
    if other:
        if other.tokens != similarity.tokens:
            raise DataError(f"--compare_with {args.compare_with}: it has another tokenizer")
        panels.insert(0, (Path(args.compare_with).name, other))
    save_panels(folder, utterance, panels)


if __name__ == "__main__":
    main()
