"""`python -m seedbed.image`: what builds images, and who compares them, asks of it."""

import argparse
import hashlib
import sys
from pathlib import Path

from seedbed.errors import SeedbedError

EXIT_UNREADABLE = 2


def main() -> int:
    """Run the subcommand; what is refused is one line and exit status 2."""
    arguments = parser().parse_args()
    try:
        return describe(arguments) if arguments.command == "describe" else compare(arguments)
    except (SeedbedError, OSError) as error:
        print(f"seedbed: {error}", file=sys.stderr)
        return EXIT_UNREADABLE


def parser() -> argparse.ArgumentParser:
    """The two subcommands, and what each takes."""
    whole = argparse.ArgumentParser("python -m seedbed.image", description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True)
    one = commands.add_parser("describe", help="write what an image says of itself (the Dockerfile's last step)")
    one.add_argument("--variant", choices=["cpu", "cuda"], required=True)
    one.add_argument("--base", required=True)
    one.add_argument("--base-digest", default="", help="empty where there is none")
    one.add_argument("--revision", default="", help="empty where nobody said it")
    one.add_argument("--version", required=True)
    one.add_argument("--lock", type=Path, required=True)
    one.add_argument("--lock-sha256", default="", help="what it must be, if given")
    one.add_argument("--folder", type=Path, required=True, help="what it digests")
    one.add_argument("--out", type=Path, required=True)
    two = commands.add_parser("compare", help="say how two saved images differ, file by file")
    two.add_argument("one", type=Path, help="from `docker save` or `podman save`, or an OCI archive")
    two.add_argument("two", type=Path)
    return whole


def describe(arguments: argparse.Namespace) -> int:
    """Write the description of the image that is being built."""
    from seedbed.errors import ConfigError
    from seedbed.image.contents import digest_tree
    from seedbed.image.description import NAME, Image, encode
    from seedbed.storage import write_whole

    found = hashlib.sha256(arguments.lock.read_bytes()).hexdigest()
    if arguments.lock_sha256 not in ("", found):
        raise ConfigError(f"{arguments.lock}: its sha256 is {found}, not the LOCK_SHA256 that the build was given")
    image = Image(
        variant=arguments.variant,
        base=arguments.base,
        base_digest=arguments.base_digest or None,
        lock=arguments.lock.name,
        lock_sha256=found,
        version=arguments.version,
        revision=arguments.revision or None,
        contents=digest_tree(arguments.folder, without=frozenset({NAME})),
    )
    write_whole(arguments.out, encode(image))
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """Compare two saved images."""
    from seedbed.image.difference import compare_archives

    return compare_archives(arguments.one, arguments.two)


if __name__ == "__main__":
    sys.exit(main())
