"""ComSL as an ESPnet task: YAML and options -> model, optimiser and data."""

import argparse
import functools
import itertools
import logging
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.tasks import abs_task
from espnet2.tasks.abs_task import AbsTask, IteratorOptions
from espnet2.train.class_choices import ClassChoices
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.distributed_utils import DistributedOption
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none
from torch import distributed

from comsl.checks import check_criteria, check_numbers, check_settings, class_of
from comsl.errors import DataError
from comsl.model.build import SPEECH_ENCODERS, build_model, check_parts, choose_encoder
from comsl.model.checkpoints import trained_checkpoint
from comsl.model.composite import ComSLModel
from comsl.options import check_gpus
from comsl.tokenizer import Tokenizer
from comsl.training.batch_sampler import BucketBatchSampler, is_in_buckets
from comsl.training.command_line import espnet_words, texts_of
from comsl.training.fitting import train_fitting
from comsl.training.preprocessor import ComSLPreprocessor
from comsl.training.scheduler import PolynomialDecayLR
from comsl.training.shards import Plan, ShardIterFactory, Shards
from comsl.training.text_pairs import Alternating
from comsl.training.trainer import ComSLTrainer, added_statistics
from comsl.training.training_speech import describe_speech
from comsl.training.updates import settle_length

# ESPnet has none of them, and no other way to register them. Adafactor: moments take next to no
# memory.
abs_task.scheduler_classes["polynomial"] = PolynomialDecayLR
abs_task.optim_classes["adafactor"] = torch.optim.Adafactor

speech_encoder_choices = ClassChoices(
    "speech_encoder",
    classes=SPEECH_ENCODERS,
    type_check=AbsEncoder,
    default=None,
    optional=True,
)


def add_common_arguments(parser: argparse.ArgumentParser, name: str) -> argparse._ArgumentGroup:
    """Options of every training, Whisper's included, as a group of that name."""
    group = parser.add_argument_group(description=name)
    parser.set_defaults(best_model_criterion=[("valid", "loss", "min")])
    speech_encoder_choices.add_arguments(group)
    group.add_argument(
        "--target_lang",
        type=str,
        default="en",
        help="language of target_text; all of them where each has its own",
    )
    group.add_argument(
        "--model_conf", action=NestedDictAction, default={}, help="settings of the model"
    )
    group.add_argument("--shards", type=str_or_none, help="folder to read the training set from")
    group.add_argument(
        "--further_phase_conf",
        action=NestedDictAction,
        default={},
        help="length of another phase, whose updates this training makes too",
    )
    group.add_argument(
        "--component_lr",
        action=NestedDictAction,
        default={},
        help="learning rate by component (speech_encoder, adapter, language_model, ctc_head, "
        "decoder), where it differs from optim_conf's",
    )
    return group


class ComSLTask(AbsTask):
    """`ComSLTask.main()` trains: language model fine-tuning, frozen phase and joint phase alike."""

    num_optimizers = 1
    class_choices_list: ClassVar = [speech_encoder_choices]
    trainer = ComSLTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = add_common_arguments(parser, "ComSL")
        parser.set_defaults(required=[*parser.get_default("required"), "language_model"])
        group.add_argument(
            "--language_model", type=str_or_none, help="language model: hub id or folder"
        )
        group.add_argument(
            "--teacher",
            type=str_or_none,
            help="frozen language model of the regularisation: hub id or folder",
        )
        group.add_argument(
            "--text_pairs",
            type=str_or_none,
            help="folder of sentence pairs without speech: every other batch, for w_text",
        )
        for name, what in {
            "language_model_conf": "LanguageModel",
            "speech_adapter_conf": "Adapter",
            "preprocessor_conf": "ComSLPreprocessor",
            "lora_conf": "Lora, by part: language_model, speech_encoder",
        }.items():
            group.add_argument(
                f"--{name}", action=NestedDictAction, default={}, help=f"Settings of {what}"
            )

    @classmethod
    def main(cls, args: argparse.Namespace | None = None, cmd: Sequence[str] | None = None) -> None:
        """ESPnet's, with options of our own; DataError, before anything is loaded: a configuration
        that can't be used, no such GPU, a model to start from that isn't trained."""
        words = espnet_words(sys.argv[1:] if cmd is None else cmd)
        args = args or cls.get_parser().parse_args(words)
        if not args.print_config:
            choose_encoder(args)
            cls.check(args)
            check_gpus(args.ngpu)
            settle_length(args)
            args.unused_parameters |= bool(args.text_pairs)  # their batches pass the adapter by
            args.init_param = [
                str(trained_checkpoint(Path(start), args.speech_encoder_conf.get("model")))
                if Path(start).is_dir()
                else start
                for start in args.init_param
            ]
            args.trained_on = describe_speech(args)
        if args.auto_batch and not args.print_config:
            train_fitting(lambda args: super(ComSLTask, cls).main(args=args), args)
        else:
            super().main(args=args)

    @classmethod
    def check(cls, args: argparse.Namespace) -> None:
        """DataError: a setting that is unknown or no number, a criterion that names nothing."""
        for name, value in vars(args).items():
            if name.endswith("_conf") and not isinstance(value, dict):
                raise DataError(f"{name} has settings of its own, not {value!r}")
        numbers = {k: v for k, v in vars(args).items() if isinstance(v, float | dict)}
        for name, value in numbers.items():
            check_numbers(name, value)
        for name in ("max_epoch", "batch_bins", "batch_size", "accum_grad"):
            if getattr(args, name) < 1:
                raise DataError(f"{name} is at least 1, not {getattr(args, name)}")
        components = cls.components(args)
        for component, lr in args.component_lr.items():
            if not isinstance(lr, int | float):
                raise DataError(f"component_lr: {component} is a number, not {lr!r}")
            if component not in components:
                raise DataError(
                    f"component_lr: {component} is not one of this model's components,"
                    f" {', '.join(components)}"
                )
        optimizer = class_of("optim", args.optim, abs_task.optim_classes)
        check_settings("optim_conf", optimizer, args.optim_conf, given=1)
        if args.scheduler is not None:
            scheduler = class_of("scheduler", args.scheduler, abs_task.scheduler_classes)
            check_settings("scheduler_conf", scheduler, args.scheduler_conf, given=1)
        train = cls.check_model(args)
        valid = {name for name in train if "text" not in name}  # which has speech throughout
        valid |= added_statistics(args.valid_bleu)
        check_criteria(args, {"train": train, "valid": valid})

    @classmethod
    def check_model(cls, args: argparse.Namespace) -> set[str]:
        """Names of the statistics of a training's model. DataError: a setting that its parts don't
        have, or that makes no sense."""
        check_settings("preprocessor_conf", ComSLPreprocessor, args.preprocessor_conf, given=3)
        settings = check_parts(args)
        if args.speech_encoder and args.preprocessor_conf.get("denoise"):
            raise DataError("denoise (preprocessor_conf): texts alone, it damages transcripts")
        if args.valid_bleu and not {"st", "mt"} & settings.branches:
            raise DataError("valid_bleu: nothing learns to translate (w_st, w_mt); set it to false")
        if bool(args.text_pairs) != bool(settings.w_text):
            raise DataError("text_pairs and w_text (model_conf) need each other: set both, or none")
        if args.text_pairs and not args.num_iters_per_epoch:
            raise DataError("text_pairs: set num_iters_per_epoch, half of which are their batches")
        if args.text_pairs and args.auto_batch:
            raise DataError("text_pairs: not with auto_batch, which would change updates' kinds")
        if args.auto_batch and args.batch_type != "numel":
            raise DataError("auto_batch: only with batch_type numel, whose size it changes")
        if args.text_pairs and args.use_deepspeed and args.accum_grad % 2:
            raise DataError(
                "text_pairs: DeepSpeed moves all weights at every update, which must have speech"
                " too: make accum_grad even"
            )
        return settings.statistics

    @classmethod
    def components(cls, args: argparse.Namespace) -> list[str]:
        """The parts of a training's model, which may have learning rates of their own."""
        if args.speech_encoder is None:
            return ["language_model"]
        head = ["ctc_head"] if args.model_conf.get("w_ctc") else []
        return ["speech_encoder", "adapter", "language_model", *head]

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """ESPnet's, which knows no DeepSpeed trainer but its own. DataError: the weights to start
        from, or to go on with, are of another model."""
        if args.use_deepspeed:
            from comsl.training.deepspeed_trainer import ComSLDeepSpeedTrainer

            args.use_deepspeed = False
            task = type("DeepSpeedTask", (cls,), {"trainer": ComSLDeepSpeedTrainer})
            return task.main_worker(args)
        try:
            return super().main_worker(args)
        except RuntimeError as error:
            heading, *reasons = str(error).splitlines()
            if "loading state_dict" not in heading:
                raise
            begun = Path(args.output_dir, "checkpoint.pth")
            weights = begun if args.resume and begun.is_file() else " ".join(args.init_param)
            raise DataError(
                f"{weights}: of another speech encoder or language model: {reasons[0].strip()}"
            ) from error

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ComSLModel:
        """The model of a configuration; DataError where its parts do not fit each other."""
        return build_model(args)

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: torch.nn.Module
    ) -> list[torch.optim.Optimizer]:
        """One optimiser; a group a component, with and without weight decay (none on biases and
        layer norms, as published)."""
        optimizer = abs_task.optim_classes[args.optim]
        groups = []
        for component, module in model.named_children():
            lr = {"lr": args.component_lr[component]} if component in args.component_lr else {}
            parameters = [p for p in module.parameters() if p.requires_grad]
            decayed = [p for p in parameters if p.dim() > 1]
            others = [p for p in parameters if p.dim() <= 1]
            groups += [{"params": decayed} | lr, {"params": others, "weight_decay": 0.0} | lr]
        groups = [group for group in groups if group["params"]]
        return [optimizer(groups, **args.optim_conf)]

    @classmethod
    def build_iter_factory(
        cls,
        args: argparse.Namespace,
        distributed_option: DistributedOption,
        mode: str,
        kwargs: dict | None = None,
    ) -> AbsIterFactory:
        """ESPnet's; in training every other batch is of the text pairs, where there are any."""
        build = functools.partial(super().build_iter_factory, args, distributed_option, mode)
        if mode != "train" or not args.text_pairs:
            return build(kwargs)
        folder, number = args.text_pairs, args.num_iters_per_epoch
        text = {
            "data_path_and_name_and_type": [
                (f"{folder}/{file}", name, "text") for file, name in texts_of(Path(folder)).items()
            ],
            "shape_files": [f"{folder}/source_shape", f"{folder}/target_shape"],
            "num_iters_per_epoch": number // 2,
        }
        return Alternating(build({"num_iters_per_epoch": number - number // 2}), build(text))

    @classmethod
    def build_sequence_iter_factory(
        cls, args: argparse.Namespace, iter_options: IteratorOptions, mode: str
    ) -> AbsIterFactory:
        """ESPnet's, but with a BucketBatchSampler where batch_type is `numel`; the training set's
        from shards, where there are any."""
        of_set = iter_options.data_path_and_name_and_type == args.train_data_path_and_name_and_type
        if args.shards and iter_options.train and of_set:
            return cls.build_shard_iter_factory(args, iter_options)
        shapes = iter_options.shape_files
        if not is_in_buckets(iter_options.batch_type, shapes):
            return super().build_sequence_iter_factory(args, iter_options, mode)
        rank, world = 0, 1
        if iter_options.distributed:
            rank, world = distributed.get_rank(), distributed.get_world_size()
        smallest, share = max(args.min_batch_size, world), slice(rank, None, world)
        sampler = BucketBatchSampler(iter_options.batch_bins, shapes, smallest, share)
        if (number := len(sampler.lengths)) < world:
            raise DataError(f"{mode}: {number} utterances, fewer than the {world} processes")
        logging.info("[%s] %d batches: %s", mode, len(sampler), sampler)
        # In training any utterance may become this process's, from epoch to epoch.
        batches = sampler if iter_options.train else list(sampler)
        keys = sampler.lengths if iter_options.train else itertools.chain(*batches)
        return SequenceIterFactory(
            cls.build_dataset(args, iter_options, set(keys)),
            batches,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            seed=args.seed,
            shuffle=iter_options.train,
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )

    @classmethod
    def build_shard_iter_factory(
        cls, args: argparse.Namespace, iter_options: IteratorOptions
    ) -> ShardIterFactory:
        """Of the shards' fields those that the configuration takes. DataError: they lack one."""
        shards = Shards.open(Path(args.shards))
        speech = "states" if args.speech_encoder == "cached" else "audio"
        places = {"speech": speech, "teacher": "teacher"}
        names = [name for _, name, _ in args.train_data_path_and_name_and_type]
        fields = {name: places[name] for name in names if name in places}
        if lost := set(fields.values()) - set(shards.fields):
            raise DataError(f"{args.shards}: no {min(lost)} in these shards; rerun stage 5")
        if not iter_options.num_iters_per_epoch:
            raise DataError("shards: set num_iters_per_epoch, after which a checkpoint is written")
        rank, world = 0, 1
        if iter_options.distributed:
            rank, world = distributed.get_rank(), distributed.get_world_size()
        plan = Plan(shards, iter_options.batch_bins // world, args.seed, rank, world)
        return ShardIterFactory(
            plan,
            fields,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            num_workers=args.num_workers,
            preprocess=iter_options.preprocess_fn,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        tokenizer = Tokenizer(args.language_model)
        return ComSLPreprocessor(train, tokenizer, args.target_lang, **args.preprocessor_conf)

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> Collection[str]:
        return ("source_text", "target_text", "lang")

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> Collection[str]:
        return ("speech", "teacher", "target_lang")
