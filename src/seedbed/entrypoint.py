"""The first thing that a container of the image runs: `seedbed`, or whatever program is named instead."""

import os
import signal
import sys

NOT_FOUND = 127
NOT_RUNNABLE = 126
"""Exit statuses, as shells have them."""


def main() -> None:
    """Run what the arguments name: a command of Seedbed's, or its options; or any other program in this one's place."""
    from seedbed import cli

    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-") or arguments[0] in commands():
        cli.main("seedbed")
    else:
        execute(arguments)


def commands() -> list[str]:
    """The commands that `seedbed` has. One that the image has a program of the same name for (`env`) is Seedbed's."""
    from seedbed import cli

    found = cli.app.registered_commands
    return [each.name or each.callback.__name__ for each in found if each.callback is not None]


def execute(arguments: list[str]) -> None:
    """Become another program; where there is none, say so and exit as a shell would."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python: it would be by what comes in its place, too
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606  (no shell is what we want)
    except FileNotFoundError:
        has = f"Seedbed's own are {', '.join(commands())}"
        print(f"seedbed: no command {arguments[0]!r}: {has}; or a program that the image has", file=sys.stderr)
        sys.exit(NOT_FOUND)
    except OSError as error:
        print(f"seedbed: {arguments[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(NOT_RUNNABLE)


if __name__ == "__main__":
    main()
