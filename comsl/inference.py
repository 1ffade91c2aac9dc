"""Using a model: audio or text in, text out. Decoding, and the API all go through here."""

import argparse
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import yaml

from comsl.corpora.samples import RATE
from comsl.corpora.waves import Wave, check_window
from comsl.dtypes import DTYPES
from comsl.encoders.choices import choose
from comsl.errors import DataError
from comsl.hub import check_model
from comsl.languages import check_language
from comsl.model.build import build_model, lora_conf
from comsl.model.checkpoints import trained_checkpoint
from comsl.model.composite import Branch, ComSLModel
from comsl.model.lora import merge_lora
from comsl.model.objectives.likelihood import likelihood
from comsl.model.packed import is_packed, load_packed
from comsl.precision import autocast, to_int8
from comsl.read_ahead import read_ahead
from comsl.recordings.source import Audio
from comsl.recordings.translation import translate_recordings
from comsl.sequences import Sequences

logger = logging.getLogger(__name__)
ALIKE = 0.6  # share of the longest input's length that others of its batch have at least
INTERPOLATED = "interpolated.pth"  # between fine-tuned and start (comsl.bin.interpolate)


def load_model(checkpoint: Path | str) -> ComSLModel:
    """The model of a packed folder, or of an ESPnet checkpoint by the `config.yaml` beside it, in
    evaluation mode.

    A model trained on cached states gets the encoder that made them. DataError: no configuration,
    or weights that are another configuration's.
    """
    checkpoint = Path(checkpoint)
    if checkpoint.is_dir():
        return load_packed(checkpoint)
    args = read_config(checkpoint)
    if not hasattr(args, "language_model"):
        raise DataError(
            f"{checkpoint}: a fine-tuned Whisper, which comsl.bin.decode_whisper decodes"
        )
    lora = bool(lora_conf(args))  # of what is frozen the checkpoint has nothing
    args.language_model_conf = args.language_model_conf | {"from_scratch": not lora}
    # The teacher is training's alone.
    args.teacher, args.model_conf = None, args.model_conf | {"alpha_mt": 0.0}
    model = load_weights(build_model(args), checkpoint)
    if lora:
        merge_lora(model)
    return model


def read_config(checkpoint: Path) -> argparse.Namespace:
    """The configuration beside a checkpoint, to use the model: with an encoder in place of cached
    states. DataError: checkpoint or configuration is missing."""
    config = checkpoint.parent / "config.yaml"
    for file in (checkpoint, config):
        if not file.is_file():
            raise DataError(
                f"{file}: no such file; train the model first (stages 3, 6 and 8), or name a packed"
                " model or one on the hub, name/model"
            )
    args = argparse.Namespace(**yaml.safe_load(config.read_text()))
    if args.speech_encoder == "cached":
        args.speech_encoder = choose(args.speech_encoder_conf.get("model", "base"))
        for name in ("input_size", "top_blocks"):
            args.speech_encoder_conf.pop(name, None)
    return args


def load_weights[Model: torch.nn.Module](model: Model, checkpoint: Path) -> Model:
    """The model with a checkpoint's weights, in evaluation mode. DataError: they are another
    configuration's."""
    try:
        weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{checkpoint}: not this configuration's weights: {error}") from error
    # Only of the encoder may anything be absent: what cached states stand for is not stored.
    missing = [name for name in missing if not name.startswith("speech_encoder.")]
    if missing or unexpected:
        name = (missing + unexpected)[0]
        raise DataError(f"{checkpoint}: not this configuration's weights: {name} does not match")
    return model.eval()


class SpeechTranslator:
    """Translates and transcribes speech, and translates text, with one trained model, into the
    language that it was trained for, or into one of them.

        translator = SpeechTranslator.from_pretrained("exp/asterisk/asterisk_joint/packed")
        translator.translate("prompt.flac", src_lang="fr")
    """

    def __init__(
        self,
        model: ComSLModel,
        file: Path | None = None,
        target_lang: str | None = None,
        dtype: str | None = None,
    ):
        """file: where the model is from, for those who ask; target_lang: of what it translates
        into, the first where none is named; dtype: float32, bfloat16 or int8, in which generation
        computes: None is bfloat16 on a GPU that has it, float32 elsewhere. DataError: it wasn't
        trained for that language; there is no such dtype, or not on this device."""
        self.model, self.file, self.dtype = model.eval(), file, dtype
        self.tokenizer = model.tokenizer
        self.targets = model.target_lang.split()
        self.target_lang = target_lang or self.targets[0]
        if self.target_lang not in self.targets:
            known = " ".join(self.targets)
            raise DataError(f"the model doesn't translate into '{target_lang}', but into: {known}")
        self.device = next(model.parameters()).device
        if dtype not in (None, *DTYPES):
            raise DataError(f"dtype '{dtype}': known are {' '.join(DTYPES)}")
        if dtype == "int8":
            if self.device.type != "cpu":
                raise DataError(f"int8 is for a CPU, not for {self.device}")
            to_int8(model)
        self.languages = model.languages or self.tokenizer.languages()

    @property
    def longest(self) -> float:
        """Seconds of the longest piece of speech that it takes: as long as those that it was
        trained on, else all that the encoder hears."""
        return self.model.longest or self.model.speech_encoder.max_samples() / RATE

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str = "cpu",
        target_lang: str | None = None,
        dtype: str | None = None,
    ) -> "SpeechTranslator":
        """Load a packed model's folder, an experiment's, one of its checkpoints, or a hub id;
        target_lang, dtype: as the class takes them.

        DataError where none of these is found.
        """
        file = find_model(path)
        return cls(load_model(file).to(device), file, target_lang, dtype)

    def check(self, waves: Mapping[str, Wave]) -> None:
        """DataError names the utterance that is longer than the speech encoder's window."""
        lengths = {utterance: len(wave) for utterance, wave in waves.items()}
        check_window(lengths, self.model.speech_encoder.max_samples())

    def translate(
        self, audio: Audio | list[Audio], src_lang: str, **search: float
    ) -> str | list[str]:
        """Translation of speech in `src_lang` (Common Voice code).

        audio: a path; an array or tensor (samples,), (channels, samples) or (samples, channels)
        with its rate, as a pair or, as in Hugging Face's datasets, {"array", "sampling_rate"}; or a
        list of these. What isn't speech is skipped, and a long recording is cut in its pauses and
        never whole in memory. What is damaged in a file is left out. search: beam_size, max_tokens
        and more, as `LanguageModel.generate` takes them.
        Returns text, empty where nobody speaks; a list of them for a list. DataError: unreadable or
        empty audio.
        """
        return self._from_speech("st", audio, src_lang, search)

    def transcribe(
        self, audio: Audio | list[Audio], src_lang: str, **search: float
    ) -> str | list[str]:
        """Transcript of speech in `src_lang`, as `translate`."""
        return self._from_speech("asr", audio, src_lang, search)

    def translate_text(
        self, text: str | list[str], src_lang: str, **search: float
    ) -> str | list[str]:
        """Translation of text in `src_lang`, as `translate`; of an empty text it is empty."""
        check_language(src_lang, self.languages)
        texts = [text] if isinstance(text, str) else text
        results = self.generate("mt", texts, [src_lang] * len(texts), **search)
        return results[0] if isinstance(text, str) else results

    def _from_speech(self, task: str, audio, src_lang: str, search: dict) -> str | list[str]:
        items = audio if isinstance(audio, list) else [audio]
        texts = []
        for recording in translate_recordings(self, items, src_lang, task, **search):
            if recording.error:
                raise recording.error
            texts.append(recording.text)
        return texts if isinstance(audio, list) else texts[0]

    @torch.inference_mode()
    def score(
        self, wave: np.ndarray, text: str, lang: str, target_lang: str | None = None
    ) -> tuple[float, int]:
        """`- log p(text | speech)`, the teacher-forced ST loss, and its number of tokens.

        wave: (samples,) at 16 kHz; text: a translation, whose tokens and `</s>` count, its language
        code not; target_lang: its language, where it is not the translator's.
        """
        speech = Sequences.of([wave], self.device)
        code = torch.tensor([self.tokenizer.code(lang)], device=self.device)
        tokens = self.tokenizer.encode(text, target_lang or self.target_lang)
        y = Sequences.of([tokens], self.device)
        e_s = self.model.embed_speech(speech.values, speech.lengths, code)
        branch = Branch(y, self.model.encode_speech(e_s)[0])
        groups = self.model.decode({"st": branch}, None)
        head = self.model.language_model.head
        _, terms = likelihood(groups, head, {"ce_st": 1.0})
        return float(terms["ce_st"]), len(branch.labels)

    def generate(
        self,
        task: str,
        inputs: list[np.ndarray] | list[Wave] | list[str],
        langs: list[str],
        batch_size: int = 32,
        on_batch: Callable[[dict[int, str]], None] = lambda texts: None,
        targets: list[str] | None = None,
        **search: float,
    ) -> list[str]:
        """Texts of waveforms (samples,) at 16 kHz (`st`, `asr`) or of texts (`mt`).

        Inputs of like length share a batch; languages may mix; an empty text has an empty one.
        on_batch: called with the texts of every batch as it is done, by the place of its input.
        targets: languages of the translations, where they are not the translator's; search: as
        `LanguageModel.generate`. A warning says how many texts were cut.
        """

        def read(batch: list[int]) -> list[np.ndarray] | list[str]:
            rows = [inputs[index] for index in batch]
            return rows if task == "mt" else list(map(np.asarray, rows))

        results = {i: "" for i, item in enumerate(inputs) if is_empty(item)}
        if results:
            on_batch(results)
        lengths = {i: len(item) for i, item in enumerate(inputs) if i not in results}
        targets = targets or [self.target_lang] * len(langs)
        cut = 0
        for batch, rows in read_ahead(read, _batches(lengths, batch_size)):
            codes = ([table[index] for index in batch] for table in (langs, targets))
            ids = self._generate(task, rows, *codes, **search)
            cut += sum(self.tokenizer.eos_id not in row[1:] for row in ids)
            texts = dict(zip(batch, map(self.tokenizer.decode, ids), strict=True))
            on_batch(texts)
            results |= texts
        if cut:
            logger.warning("%d of %d texts were cut at the limit of tokens", cut, len(inputs))
        return [results[index] for index in range(len(inputs))]

    def _generate(
        self,
        task: str,
        inputs: list,
        langs: list[str],
        targets: list[str] | None = None,
        **search: float,
    ):
        codes = [self.tokenizer.code(lang) for lang in langs]
        targets = langs if task == "asr" else targets or [self.target_lang] * len(langs)
        target = torch.tensor([self.tokenizer.code(lang) for lang in targets], device=self.device)
        if task == "mt":
            texts = zip(inputs, langs, strict=True)
            rows = [self._fit(self.tokenizer.encode(text, lang)) for text, lang in texts]
            x, speech = Sequences.of(rows, self.device), ()
        else:
            padded = Sequences.of(inputs, self.device)
            x = Sequences.of([[code] for code in codes], self.device)
            speech = padded.values, padded.lengths
        with autocast(self.device, self.dtype):
            return self.model.generate(task, target, x, *speech, **search)

    def _fit(self, ids: list[int]) -> list[int]:
        """A text's tokens, as far as the language model has positions for them."""
        positions = self.model.language_model.config.max_position_embeddings
        if len(ids) <= positions:
            return ids
        logger.warning("a text of %d tokens is cut: the model takes %d", len(ids), positions)
        return [*ids[: positions - 1], ids[-1]]


def is_empty(item: np.ndarray | Wave | str) -> bool:
    """Whether it is a text in which nothing stands."""
    return isinstance(item, str) and not item.strip()


def _batches(lengths: dict[int, int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of like length, the longest first: memory is known at once, and little is
    computed for padding."""
    batch: list[int] = []
    for index in sorted(lengths, key=lambda i: -lengths[i]):
        if batch and (len(batch) == batch_size or lengths[index] < ALIKE * lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def find_model(path: str | Path) -> Path:
    """Where a model lies that is named by its folder, its checkpoint or its id on the hub, from
    which it is fetched. DataError: there is none."""
    path = Path(path)
    if not path.exists() and len(path.parts) == 2 and path.suffix != ".pth":
        path = _download(str(path))
    return choose_checkpoint(path)


def choose_checkpoint(path: Path) -> Path:
    """An experiment's model: interpolated where stage 3 has done so, else as it was trained; a
    checkpoint or a packed model itself.

    DataError: the folder holds none.
    """
    if not path.is_dir() or is_packed(path):
        return path
    interpolated = path / INTERPOLATED
    return interpolated if interpolated.is_file() else trained_checkpoint(path)


def _download(hub_id: str) -> Path:
    """The folder of a model on the Hugging Face hub, or of what was fetched of it before."""
    from httpx2 import TransportError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    check_model(hub_id)
    try:
        return Path(snapshot_download(hub_id))
    except (RepositoryNotFoundError, ValueError) as error:
        raise DataError(f"{hub_id}: neither a file, a folder nor a model on the hub") from error
    except (OSError, TransportError) as error:
        raise DataError(f"{hub_id}: the download from the hub failed: {error}") from error
