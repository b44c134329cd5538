"""What a worker process says, and how: each message is the bytes of a safetensors file, its arrays the results."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from seedbed.bits import Bits
from seedbed.determinism import Flags
from seedbed.environment import InForce
from seedbed.errors import RecordError
from seedbed.storage import dumps, loads

_KEY = "message"


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """The worker turns to an experiment: whatever happens next, it happened there."""

    experiment: str


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """An experiment is over; if `status` is done, its results are the message's arrays.

    `in_force`, `flags` (None where torch was never loaded) and `variables` are the process's when it ended.
    """

    experiment: str
    status: Literal["done", "failed", "skipped"]
    reason: str = ""
    output: str = ""
    loaded: bool = True
    seconds: float = 0.0
    runs: int = 1
    varied: int = 0
    fingerprints: dict[str, str] = {}
    in_force: InForce | None = None
    flags: Flags | None = None
    variables: dict[str, str] = {}


Message = Started | Finished


def encode(message: Message, arrays: Mapping[str, Bits] | None = None) -> bytes:
    """Encode a message with its arrays."""
    return dumps(arrays or {}, {_KEY: msgspec.json.encode(message).decode()})


def decode(data: bytes, place: str) -> tuple[Message, dict[str, Bits]]:
    """Decode a message with its arrays.

    Raises:
        RecordError: naming `place`, where it is none.
    """
    arrays, metadata = loads(data, place)
    try:
        return msgspec.json.decode(metadata[_KEY], type=Message), arrays
    except (KeyError, msgspec.DecodeError) as error:
        raise RecordError(f"{place}: expected a worker's message, found: {error!r}") from None
