"""A process that ends when its parent does. It loads nothing, so that it can be called before anything is loaded."""

import os
import signal


def die_with_parent(lifeline: int) -> None:
    """Make this process group end when the parent does, however it ends, and whatever this process is busy with.

    A child that does nothing but wait for the lifeline to close then kills the group: a thread here could not while an
    experiment holds the interpreter lock.
    """
    if (child := os.fork()) == 0:  # pragma: no cover  (it ends by the signal that it sends, and can report nothing)
        if os.fork() == 0:  # no child of this process, so that an experiment may wait for all of its own
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            os.closerange(0, lifeline)
            os.closerange(lifeline + 1, 256)
            os.read(lifeline, 1)
            os.killpg(0, signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(lifeline)
