"""Fuzz each target for its share of the time, guided by coverage; `make fuzz` runs this.

    python tools/fuzz/run.py [--seconds 600] [--folder build/fuzz] [TARGET ...]
    python tools/fuzz/run.py --again FILE TARGET

Needs atheris. Inputs that reach new code stay in the folder, for the next run. At a finding the
script prints the input and the error, leaves the input in the folder, continues with the other
targets, and exits with 1.
"""

import argparse
import hashlib
import random
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

# Limits for one input.
_SECONDS_PER_INPUT = 10
_MEGABYTES = 512
_LONGEST = 64 * 1024
_SHOWN = 4000


def main() -> int:
    """Run each target in a process of its own, because libFuzzer ends its process."""
    arguments = _parse_arguments()
    if arguments.again:
        return _run_again(arguments.targets[0], arguments.again)
    if arguments.inside:
        _run_libfuzzer(arguments.targets[0], arguments.libfuzzer)
    from fuzz.targets import TARGETS  # noqa: PLC0415 - the fuzzed process instruments it first

    names = arguments.targets or list(TARGETS)
    share = max(1, arguments.seconds // len(names))
    failed = [
        name for name in names if not _fuzz_target(name, TARGETS[name][1], share, arguments.folder)
    ]
    result = f"found {', '.join(failed)}" if failed else "no finding"
    print(f"fuzzed {', '.join(names)}: {result}")
    return bool(failed)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz what reads the bytes of servers.")
    parser.add_argument("targets", nargs="*", help="all of them if none is named")
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--again", type=Path, metavar="FILE", help="run the target on this input")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--libfuzzer", nargs="*", default=[], help=argparse.SUPPRESS)
    return parser.parse_args()


def _fuzz_target(name: str, seeds: list[bytes], seconds: int, folder: Path) -> bool:
    corpus, found = folder / name, folder / "found"
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
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
    process = subprocess.run(  # noqa: S603 - its own command
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    )  # fmt: skip
    stats = [line for line in process.stdout.splitlines() if line.startswith(("stat::", "Done "))]
    print("\n".join(f"  {line}" for line in stats), flush=True)
    if process.returncode == 0:
        return True
    _, mark, report = process.stdout.rpartition("=== Uncaught")
    print((mark + report)[-_SHOWN:])
    print(f"{name}: exit status {process.returncode}")
    for path in re.findall(r"Test unit written to (.+)", process.stdout):
        print(f"  the input is in {path}:\n  {Path(path).read_bytes()[:_SHOWN]!r}")
        print(f"  again: {sys.executable} {__file__} --again {path} {name}")
    return False


def _run_again(name: str, path: Path) -> int:
    from fuzz.targets import TARGETS  # noqa: PLC0415 - as above

    TARGETS[name][0](path.read_bytes())
    print("no finding")
    return 0


def _run_libfuzzer(name: str, libfuzzer: list[str]) -> None:
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
        index = chance.randrange(2**16)
        if kind < 0.75:  # noqa: PLR2004
            mutated = replace_value(data, index, chance.choice(VALUES))
        else:
            mutated = replace_line_end(data, index, chance.choice(LINES))
        return mutated[:max_size]

    folder, *options = libfuzzer
    arguments = [sys.argv[0], folder, *(f"-{option}" for option in options)]
    atheris.Setup(arguments, TARGETS[name][0], custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
