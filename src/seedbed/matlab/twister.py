"""MT19937, the generator under MATLAB's and Octave's streams: its seeding, its 32-bit words, its state.

It is NumPy's legacy ``RandomState``, which is frozen (NEP 19): what it draws today it draws for good. Two words make
one uniform number, so a stream that started at an even position stays at one.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedbed.errors import MatlabError
from seedbed.matlab.sizes import as_array

KEY_WORDS = 624
COLUMN_WORDS = KEY_WORDS + 1
"""The key and, last, a word that says where in it the stream is: how both MATLAB and Octave write a state."""

_SEED_OF_ZERO = 5489
"""What MATLAB takes where the seed is 0: ``init_genrand``'s own default."""
_TOP_BIT = 0x80000000


def seeded(seed: int) -> np.random.RandomState:
    """Make the generator of MATLAB's ``rng(seed, 'twister')``, for a seed in 0..2**32-1; 0 is another name of 5489."""
    return np.random.RandomState(seed or _SEED_OF_ZERO)


def key_and_position(generator: np.random.RandomState) -> tuple[NDArray[np.uint32], int]:
    """Give a copy of the 624 words, and how many of them have been drawn: 624 when fresh."""
    state = generator.get_state(legacy=False)["state"]
    return state["key"], int(state["pos"])


def put(generator: np.random.RandomState, key: NDArray[np.uint32], position: int) -> None:
    """Set a generator to 624 words, of which as many have been drawn."""
    generator.set_state(("MT19937", key, position, 0, 0.0))


def checked_column(state: ArrayLike, what: str = "a state") -> NDArray[np.uint32]:
    """Give a state of 625 words as a new array of shape (625,), uint32.

    Parameters
    ----------
    state
        Integers in 0..2**32-1, or doubles of such values, as most numbers of MATLAB's and Octave's are; shape (625, 1)
        as there, (625,) or (1, 625).
    what
        How an error calls it.

    Raises
    ------
    MatlabError
        If it is anything else, its last word is not in 1..624, or its key is one from which every word is 0.
    """
    words = _integers(state, what).reshape(-1)
    wrong = np.flatnonzero((words < 0) | (words >= 2**32))
    if wrong.size:
        place = int(wrong[0])
        raise MatlabError(
            f"the words of {what} must be in 0..2**32-1, but word {place} (counted from 0) is {int(words[place])}"
        )
    column = words.astype(np.uint32)
    if not 1 <= column[-1] <= KEY_WORDS:
        raise MatlabError(
            f"the last word of {what} says where in the {KEY_WORDS} others the stream is and must be in "
            f"1..{KEY_WORDS}, not {column[-1]}: was the state cut or put in another order?"
        )
    if not (column[0] & _TOP_BIT or column[1:-1].any()):
        raise MatlabError(
            f"{what} whose words are all 0 draws nothing but 0: take another, as `s = rng; s.State` gives"
        )
    return column


def _integers(state: ArrayLike, what: str) -> NDArray[np.integer]:
    words = as_array(state)
    is_column = words.shape in ((COLUMN_WORDS, 1), (COLUMN_WORDS,), (1, COLUMN_WORDS))
    if is_column and words.dtype.kind == "f" and np.all(np.isfinite(words) & (words == np.trunc(words))):
        words = np.clip(words, -1, 2**32).astype(np.int64)  # what is too large stays so
    if not is_column or words.dtype.kind not in "iu":
        raise MatlabError(
            f"{what} must be {COLUMN_WORDS} integers, of shape ({COLUMN_WORDS}, 1) as in MATLAB, ({COLUMN_WORDS},) or "
            f"(1, {COLUMN_WORDS}), not {words.dtype} of shape {words.shape}: `s = rng; s.State` gives one"
        )
    return words


def words(generator: np.random.RandomState, count: int) -> NDArray[np.uint32]:
    """Draw 32-bit words as they come: over the whole range, ``randint`` gives each as it is."""
    return generator.randint(0, 2**32, count, dtype=np.uint32)


def uniforms(generator: np.random.RandomState, count: int) -> NDArray[np.float64]:
    """Draw numbers of 53 bits within 0..1, both ends excluded: an exact 0 is drawn again, as MATLAB and Octave do."""
    values = generator.random_sample(count)
    while not values.all():  # one draw in 2**53: as the others keep their order, what is missing comes after them
        values = values[values != 0]
        values = np.concatenate((values, generator.random_sample(count - values.size)))
    return values
