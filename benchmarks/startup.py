"""How long the command and the import take, each a whole process."""

import re
import sys
from collections.abc import Iterator
from subprocess import run

from benchmarks.timing import Row, Times, in_turns, process

HELP = ("-m", "seedbed", "--help")
IMPORT = ("-c", "import seedbed")
HEAVY = ("numpy", "torch")


def measure(rounds: int) -> Iterator[Row]:
    """Time `seedbed --help` and `import seedbed`, and see what they load."""
    calls = {"bare": process("-c", "pass"), "numpy": process("-c", "import numpy")}
    times = in_turns(calls | {"help": process(*HELP), "import": process(*IMPORT)}, rounds)
    bare = times["bare"]

    loads = loaded(*HELP)
    name = f"seedbed --help, {words(loads)}"
    yield Row(name=name, ours=times["help"], peer="bare Python (floor)", theirs=bare, under=0.3, holds=not loads)

    loads = loaded(*IMPORT)
    name, ours, theirs = f"import seedbed, {words(loads)}", beyond(times["import"], bare), beyond(times["numpy"], bare)
    yield Row(name=name, ours=ours, peer="import numpy", theirs=theirs, under=0.05, holds=not loads)


def beyond(times: Times, bare: Times) -> Times:
    """Take off the best time of a process that does nothing: what remains is too much rather than too little."""
    return [each - min(bare) for each in times]


def loaded(*arguments: str) -> list[str]:
    """List which of the heavy libraries a process of Python imports."""
    command = [sys.executable, "-X", "importtime", *arguments]
    imports = run(command, capture_output=True, check=True, text=True).stderr
    return [name for name in HEAVY if re.search(rf"\| +{name}$", imports, re.MULTILINE)]


def words(loads: list[str]) -> str:
    """Say that in a name."""
    return f"which loads {' and '.join(loads)}" if loads else f"without {' or '.join(HEAVY)}"
