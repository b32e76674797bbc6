"""A server that speaks PostgreSQL's protocol to every client, and attacks it. Arguments: what it does, and where
there is to be TLS its certificate and key. It writes its port to standard output, then a line for what happens."""

import secrets
import socket
import ssl
import struct
import sys
import threading

DEED = sys.argv[1]
CERTIFICATE = sys.argv[2:4]
SSL_REQUEST = 80877103
CANCEL_REQUEST = 80877102
READY = b"Z\0\0\0\x05I"
MEGABYTE = 1 << 20
# Enough to fill a machine's memory with, as a client would keep it; no test sends so much.
FLOOD_BYTES = 2048 * MEGABYTE


# Each connection has a thread, and `print` writes a line in pieces: two lines at once would be torn.
STDOUT = threading.Lock()


def say(*words: object) -> None:
    with STDOUT:
        print(*words, flush=True)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def request(code: int, rest: bytes = b"") -> bytes:
    return message(b"R", struct.pack(">i", code) + rest)


ROW = message(b"D", struct.pack(">hi", 1, 1) + b"x")
NOTICE = message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mon purpose\0\0")
COLUMN = message(b"T", struct.pack(">h", 1) + b"x\0" + struct.pack(">ihihih", 0, 0, 25, -1, -1, 0))


def take(connection: socket.socket, count: int) -> bytes:
    taken = b""
    while len(taken) < count:
        part = connection.recv(count - len(taken))
        if not part:
            raise ConnectionError
        taken += part
    return taken


def heard(connection: socket.socket) -> bytes:
    """The next message of the client."""
    kind = take(connection, 1)
    (length,) = struct.unpack(">i", take(connection, 4))
    return kind + take(connection, length - 4)


def flood(connection: socket.socket, make) -> None:
    """Sends until the client closes the connection; prints how much that was."""
    sent = 0
    try:
        while sent < FLOOD_BYTES:
            part = make()
            connection.sendall(part)
            sent += len(part)
    except OSError:
        pass
    say("sent", sent)


def parameters() -> bytes:
    return b"".join(message(b"S", secrets.token_hex(4).encode() + b"\0\0") for _ in range(1000))


def serve(connection: socket.socket) -> None:
    say("connected")
    while True:
        length, code = struct.unpack(">ii", take(connection, 8))
        if code == CANCEL_REQUEST:
            return
        if code != SSL_REQUEST:
            take(connection, length - 8)
            break
        if CERTIFICATE:
            connection.sendall(b"S")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*CERTIFICATE)
            connection = context.wrap_socket(connection, server_side=True)
        else:
            connection.sendall(b"N")
    if DEED == "password":
        connection.sendall(request(3))
    elif DEED == "md5":
        connection.sendall(request(5, b"salt"))
    elif DEED == "rounds":
        connection.sendall(request(10, b"SCRAM-SHA-256\0\0"))
        nonce = heard(connection).split(b"r=")[1]
        connection.sendall(request(11, b"r=" + nonce + b"x,s=c2FsdA==,i=1"))
    elif DEED == "mechanisms":
        connection.sendall(request(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
    elif DEED == "startup":
        refusal = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: application_name\0\0"
        connection.sendall(message(b"E", refusal))
        return
    elif DEED == "parameters":
        connection.sendall(request(0))
        flood(connection, parameters)
        return
    else:
        connection.sendall(request(0) + READY)
        say("heard", heard(connection))
        if DEED == "notices":
            flood(connection, lambda: NOTICE * 10000)
        elif DEED == "rows":
            connection.sendall(COLUMN)
            flood(connection, lambda: ROW * 10000)
        elif DEED == "message":
            connection.sendall(COLUMN + b"D" + struct.pack(">i", 0x7FFFFFFF) + struct.pack(">hi", 1, 0x7FFFFFF0))
            flood(connection, lambda: bytes(MEGABYTE))
        return
    say("heard", heard(connection))


def begin(connection: socket.socket) -> None:
    try:
        serve(connection)
    except (OSError, IndexError):
        say("gone")


listener = socket.create_server(("127.0.0.1", 0))
say(listener.getsockname()[1])
while True:
    threading.Thread(target=begin, args=(listener.accept()[0],), daemon=True).start()
