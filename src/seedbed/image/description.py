"""What an image says of itself: a file in it, written when it was built."""

from pathlib import Path
from typing import Literal

import msgspec

from seedbed.errors import ConfigError

FOLDER = Path("opt/seedbed")
"""Where in an image its environment lies, with the lock that it was made from, and its description."""

NAME = "image.json"


class Image(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image that a process runs in. All of it is what the build knew; its digest only who starts it can know."""

    variant: Literal["cpu", "cuda"]
    base: str
    """The image that it was built on, as it was named to the build."""
    base_digest: str | None
    """The digest that the build held that image to; None where it trusted the name."""
    lock: str
    """The name of the lock that was installed."""
    lock_sha256: str
    version: str
    """Of the project."""
    revision: str | None
    """The commit that was built, with ``-dirty`` where the files were not quite that; None where nobody said it."""
    contents: str
    """Of all that the build put into `FOLDER`: `seedbed.image.digest_tree`, whatever engine built it."""


def read_image(root: Path = Path("/")) -> Image | None:
    """Read what the image says of itself whose file system `root` is; None in no image of Seedbed's.

    Raises:
        ConfigError: where the file is damaged.
    """
    path = root / FOLDER / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Image)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected what the build wrote, found: {error}: build the image again") from None


def encode(image: Image) -> bytes:
    """Write it as the file says it: one form, so that the same image is the same bytes."""
    return msgspec.json.format(msgspec.json.encode(image, order="sorted"), indent=1) + b"\n"
