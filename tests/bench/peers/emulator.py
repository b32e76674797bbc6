"""ministack, in which a message ends a receive that waits for it at once.

Its SQS looks for messages every 100 ms while a receive waits, which would be most of each latency that is measured.
"""

import asyncio
from types import SimpleNamespace

from ministack import app
from ministack.services import sqs

LOOK_SECONDS = 0.001


async def sleep(seconds: float) -> None:
    """Wait for at most a look's time."""
    await asyncio.sleep(min(seconds, LOOK_SECONDS))


# Only the module that is named here gets this one.
sqs.asyncio = SimpleNamespace(**vars(asyncio) | {"sleep": sleep})
app.main()
