"""Free ports of the loopback interface."""

import random
import socket

from console import Failure

# Below the range that Linux gives to outgoing connections, so that none takes a port between here and its use.
PORTS = range(20_000, 30_000)


def free(number: int) -> list[int]:
    """As many ports that nothing listens on now."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            return found
    raise Failure(f"no free port between {PORTS.start} and {PORTS.stop - 1}")
