"""Fuzz each target for its share of the time, guided by coverage; `make fuzz` runs this.

    python tools/fuzz/run.py [--seconds 600] [--folder build/fuzz] [TARGET ...]
    python tools/fuzz/run.py --again FILE TARGET

Needs atheris. What it learns stays in the folder, for the next run. At a finding it prints the
input and the error, leaves the input in the folder, goes on with the other targets, and exits 1.
"""

import argparse
import hashlib
import random
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

# What one input may take, whatever it is made of.
_SECONDS_PER_INPUT = 10
_MEGABYTES = 512
_LONGEST = 64 * 1024
_SHOWN = 4000


def main() -> int:
    """Run the targets, each in a process of its own: libFuzzer ends the one that it runs in."""
    given = _arguments()
    if given.again:
        return _again(given.targets[0], given.again)
    if given.inside:
        _fuzz(given.targets[0], given.libfuzzer)
    from fuzz.targets import TARGETS  # noqa: PLC0415 - the fuzzed process instruments it first

    names = given.targets or list(TARGETS)
    share = max(1, given.seconds // len(names))
    failed = [name for name in names if not _survives(name, TARGETS[name][1], share, given.folder)]
    print(f"fuzzed {', '.join(names)}: {'found ' + ', '.join(failed) if failed else 'no finding'}")
    return bool(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz what reads the bytes of servers.")
    parser.add_argument("targets", nargs="*", help="all of them if none is named")
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--again", type=Path, metavar="FILE", help="run the target on this input")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--libfuzzer", nargs="*", default=[], help=argparse.SUPPRESS)
    return parser.parse_args()


def _survives(name: str, seeds: list[bytes], seconds: int, folder: Path) -> bool:
    corpus, found = folder / name, folder / "found"
    for each in (corpus, found):
        each.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    prefix = str(found / name) + "-"
    print(f"{name}: {seconds} s", flush=True)
    command = [
        sys.executable,
        __file__,
        "--inside",
        name,
        "--libfuzzer",
        str(corpus),
        f"max_total_time={seconds}",
        f"artifact_prefix={prefix}",
        f"timeout={_SECONDS_PER_INPUT}",
        f"rss_limit_mb={_MEGABYTES}",
        f"max_len={_LONGEST}",
        "len_control=0",
        "print_final_stats=1",
        "verbosity=1",
    ]
    done = subprocess.run(  # noqa: S603 - its own command
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    )  # fmt: skip
    stats = [line for line in done.stdout.splitlines() if line.startswith(("stat::", "Done "))]
    print("\n".join(f"  {line}" for line in stats), flush=True)
    if done.returncode == 0:
        return True
    _, mark, said = done.stdout.rpartition("=== Uncaught")
    print((mark + said)[-_SHOWN:])
    print(f"{name}: exit status {done.returncode}")
    for path in re.findall(r"Test unit written to (.+)", done.stdout):
        print(f"  the input is in {path}:\n  {Path(path).read_bytes()[:_SHOWN]!r}")
        print(f"  again: {sys.executable} {__file__} --again {path} {name}")
    return False


def _again(name: str, path: Path) -> int:
    from fuzz.targets import TARGETS  # noqa: PLC0415 - as above

    TARGETS[name][0](path.read_bytes())
    print("no finding")
    return 0


def _fuzz(name: str, libfuzzer: list[str]) -> None:
    import atheris  # noqa: PLC0415 - only this process needs it

    with atheris.instrument_imports(include=["hfgen", "email", "html", "urllib.parse"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented
    from fuzz.samples import (  # noqa: PLC0415 - as above
        LINES,
        VALUES,
        replace_line_end,
        replace_value,
    )

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        kind = chance.random()
        if kind < 0.5:  # noqa: PLR2004 - half by structure, half by bytes
            return atheris.Mutate(data, max_size)
        where = chance.randrange(2**16)
        if kind < 0.75:  # noqa: PLR2004
            changed = replace_value(data, where, chance.choice(VALUES))
        else:
            changed = replace_line_end(data, where, chance.choice(LINES))
        return changed[:max_size]

    folder, *options = libfuzzer
    arguments = [sys.argv[0], folder, *(f"-{option}" for option in options)]
    atheris.Setup(arguments, TARGETS[name][0], custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
