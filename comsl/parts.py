"""Work split over jobs: `--job K --num_jobs N`, K from 1 to N, and their parts joined.

    JOB=1:N   python -m comsl.bin.decode ... --out OUT --job JOB --num_jobs N
    then      python -m comsl.bin.join_parts --out OUT --num_jobs N

Job K takes its share of the utterances (`Job.share`) on a device of its own (`Job.device`) and
writes OUT/parts/K as one job would write OUT. Joining puts the parts together in OUT and removes
OUT/parts. A job that is the only one (`--num_jobs 1`, the default) joins its part itself, and
`join_parts --num_jobs 1` does nothing: one and many are called alike. A job started again leaves a
whole part alone, and goes on with one that was interrupted.
"""

import argparse
import contextlib
import heapq
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from comsl.corpora.kaldi import write_spk2utt
from comsl.errors import DataError
from comsl.files import atomic_file, iter_lines, write_text

RECORD = ".made_from.json"
# Options that change where and how fast a part is made, not what is in it.
NEUTRAL = ("out", "job", "ngpu", "batch_size", "batch_seconds")


@dataclass(frozen=True)
class Job:
    """Job `number`, from 1, of `count`."""

    number: int = 1
    count: int = 1

    def share[Key](self, lengths: Mapping[Key, int]) -> list[Key]:
        """The job's keys, the longest first. Shares differ by one item at most, and in total length
        by no more than the longest; the order of `lengths` doesn't matter."""
        order = sorted(lengths, key=lambda key: (-lengths[key], key))
        return order[self.number - 1 :: self.count]

    def in_turns[Item](self, items: Iterable[Item]) -> Iterator[Item]:
        """The job's share of what is read one after the other, dealt to the jobs in turns."""
        return islice(items, self.number - 1, None, self.count)

    def share_of[Item](self, items: Mapping[str, Item]) -> dict[str, Item]:
        """The job's share of items that have a length each."""
        return {key: items[key] for key in self.share({k: len(v) for k, v in items.items()})}

    def device(self, ngpu: int) -> str:
        """`cpu` where `ngpu` is 0, else a GPU of its own among those that the job sees: all of this
        machine, or under Slurm the one that it was given. DataError: it sees none."""
        if not ngpu:
            return "cpu"
        import torch

        visible = torch.cuda.device_count()
        if not visible:
            raise DataError(f"--ngpu {ngpu}: there is no GPU to be seen here; --ngpu 0 runs on CPU")
        return f"cuda:{(self.number - 1) % visible}"


ALONE = Job()


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--job`, `--num_jobs` and `--ngpu`."""
    parser.add_argument("--job", type=int, default=1, help="this job's number, from 1")
    parser.add_argument("--num_jobs", type=int, default=1, help="jobs that share the work")
    parser.add_argument("--ngpu", type=int, default=0, help="0: CPU, else each job has one GPU")


def job_of(args: argparse.Namespace) -> Job:
    """The job that the options say. DataError: there is none of that number."""
    if not 1 <= args.job <= args.num_jobs:
        raise DataError(f"--job {args.job}: jobs are numbered from 1 to --num_jobs {args.num_jobs}")
    return Job(args.job, args.num_jobs)


def make_part(
    args: argparse.Namespace, reads: Iterable[Path], work: Callable[[Path, Job], None]
) -> None:
    """Have `work(folder, job)` write the job's part, unless it is whole already.

    reads: files, and folders with files, that the part depends on, beside the options. An
    interrupted part is handed to `work` as it was left; one of other options or files is not.
    """
    job = job_of(args)
    part = args.out / "parts" / str(job.number)
    record = _record(args, reads)
    if _made_from(part) == record:
        logging.info("%s: up to date", part)
    else:
        unfinished = part.with_name(f".{part.name}.tmp")
        shutil.rmtree(part, ignore_errors=True)
        if _made_from(unfinished) != record:
            shutil.rmtree(unfinished, ignore_errors=True)
            write_text(unfinished / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        try:
            work(unfinished, job)
        except BaseException:
            _discard_if_empty(unfinished)
            raise
        unfinished.rename(part)
    if job.count == 1:
        join(args.out, 1)


def _discard_if_empty(unfinished: Path) -> None:
    """Of what could not even begin nothing is left."""
    if list(unfinished.iterdir()) == [unfinished / RECORD]:
        (unfinished / RECORD).unlink()
        with contextlib.suppress(OSError):  # others' work is there
            for folder in (unfinished, unfinished.parent, unfinished.parent.parent):
                folder.rmdir()


def _record(args: argparse.Namespace, reads: Iterable[Path]) -> dict:
    """What a part is made from: options, and size and time of files. The same for all its jobs."""
    options = {name: value for name, value in vars(args).items() if name not in NEUTRAL}
    files = [file for path in reads for file in (path.iterdir() if path.is_dir() else [path])]
    stamps = {str(file): _stamp(file) for file in sorted(files) if file.is_file()}
    return json.loads(json.dumps({"options": options, "files": stamps}, default=str))


def _stamp(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _made_from(part: Path) -> dict | None:
    record = part / RECORD
    return json.loads(record.read_text("utf-8")) if record.is_file() else None


def join(out: Path, num_jobs: int) -> None:
    """Put the parts of all jobs together in `out`, and remove them. DataError: one is missing or
    unfinished, or was made from something else than the first."""
    parts = [out / "parts" / str(number) for number in range(1, num_jobs + 1)]
    if missing := [part.name for part in parts if not part.is_dir()]:
        raise DataError(
            f"{out}/parts: no whole part of job {' '.join(missing)} of {num_jobs}: run it again"
        )
    if odd := [part.name for part in parts if _made_from(part) != _made_from(parts[0])]:
        raise DataError(
            f"{out}/parts: {' '.join(odd)} made from other files or options than part 1: run them"
            " again"
        )
    files = {
        file.relative_to(part)
        for part in parts
        for file in part.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }
    for name in sorted(files):  # arks come before the feats.scp that points to them
        _join_file(name, out, [part for part in parts if (part / name).is_file()])
    joined = out / ".parts.joined"
    shutil.rmtree(joined, ignore_errors=True)
    (out / "parts").rename(joined)  # so that there are whole parts, or none
    shutil.rmtree(joined)


def _join_file(name: Path, out: Path, parts: list[Path]) -> None:
    """One file, of one or several parts: arks and arrays are moved, tables merged."""
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if name.suffix in (".ark", ".npz"):
        for part in parts:
            (part / name).replace(target if name.suffix == ".npz" else _ark(target, part))
        return
    tables = [iter_lines(part / name) for part in parts]
    heading = [next(table) for table in tables][:1] if name.suffix == ".tsv" else []
    if name.name == "feats.scp":
        tables = [_moved(table, target, part) for table, part in zip(tables, parts, strict=True)]
    # Each is in the order of ids; a ctm has several lines an id.
    merged = heapq.merge(*tables, key=lambda line: line.split(maxsplit=1)[0])
    with atomic_file(target) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in chain(heading, merged))
    if name.name == "utt2spk":
        write_spk2utt(target.parent)


def _ark(path: Path, part: Path) -> Path:
    """`feats.1.ark` of part 3 -> `feats.3.1.ark`."""
    kind, rest = path.name.split(".", 1)
    return path.with_name(f"{kind}.{part.name}.{rest}")


def _moved(lines: Iterable[str], scp: Path, part: Path) -> Iterator[str]:
    """The lines of a part's feats.scp, with the places where its arks are now."""
    for line in lines:
        key, place = line.split(" ", 1)
        ark, _, offset = place.rpartition(":")
        yield f"{key} {_ark(scp.with_name(Path(ark).name), part)}:{offset}"
