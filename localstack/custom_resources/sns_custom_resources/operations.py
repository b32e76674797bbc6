"""One operation of a stack at a time, and a deletion that does not wait for a Create to be answered.

The engine would run a deletion beside the creation that it ends, with no knowledge of what is being created.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.creation_cancelled = threading.Event()


# For the life of LocalStack: a few hundred bytes for each stack that there ever was.
_turns: defaultdict[str, _Turn] = defaultdict(_Turn)


@contextmanager
def turn(stack_id: str, *, is_deletion: bool) -> Iterator[None]:
    """Waits until the operations before this one have ended; a deletion cancels the Create that they wait for."""
    mine = _turns[stack_id]
    if is_deletion:
        mine.creation_cancelled.set()
    with mine.lock:
        mine.creation_cancelled.clear()
        yield


def is_creation_cancelled(stack_id: str) -> bool:
    """Whether the stack is to be deleted while it is being created."""
    return _turns[stack_id].creation_cancelled.is_set()
