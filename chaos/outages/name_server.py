"""A name server that can hang, or be slow, wrong, or down. It resolves all neighbours' names to 127.0.0.1."""

import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from chaos.proxy import Manner

ADDRESS = "127.77.0.1"
DOMAIN = "neighbour.test"
_RIGHT, _WRONG = "127.0.0.1", "127.0.0.9"  # the proxies listen only on the first
_DELAY_S = 0.5
_HEADER = struct.Struct("!6H")
_POINTER_TO_QUESTION = 0xC000 | _HEADER.size
_A, _IN = 1, 1
_NO_ERROR, _NO_SUCH_NAME = 0x8180, 0x8183


class NameServer:
    """Answers on UDP port 53 of ADDRESS, which only root may bind."""

    def __init__(self) -> None:
        self._manner = Manner.SOUND
        self._socket = _listen()
        threading.Thread(target=self._answer, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def set(self, manner: Manner) -> None:
        self._manner = manner

    def end(self) -> None:
        """Stop listening."""
        with suppress(OSError):  # it was not connected
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def start_again(self) -> None:
        self._socket = _listen()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        own = self._socket
        with suppress(OSError):  # it is closed
            while True:
                query, client = own.recvfrom(512)
                if query and self._manner is not Manner.HANGS:
                    threading.Thread(target=self._reply, args=(own, query, client), daemon=True).start()

    def _reply(self, own: socket.socket, query: bytes, client: tuple[str, int]) -> None:
        if self._manner is Manner.SLOW:
            time.sleep(_DELAY_S)
        with suppress(OSError):  # it has been closed
            own.sendto(_response(query, _WRONG if self._manner is Manner.WRONG else _RIGHT), client)


def _listen() -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((ADDRESS, 53))
    return server


def _response(query: bytes, address: str) -> bytes:
    end = query.index(b"\0", _HEADER.size) + 5
    question = query[_HEADER.size : end]
    (kind,) = struct.unpack("!H", question[-4:-2])
    is_ours = question.lower().endswith(_encoded(DOMAIN) + question[-4:])
    (number,) = struct.unpack("!H", query[:2])
    record = struct.pack("!HHHIH", _POINTER_TO_QUESTION, _A, _IN, 0, 4) + socket.inet_aton(address)
    records = [record] if is_ours and kind == _A else []
    status = _NO_ERROR if is_ours else _NO_SUCH_NAME
    return _HEADER.pack(number, status, 1, len(records), 0, 0) + question + b"".join(records)


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def asking_it(command: str, folder: Path) -> str:
    """Return the command with this name server as its only one. Its mount namespace hides that from other processes."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {ADDRESS}\n")
    return f"unshare --mount sh -c 'mount --bind {file} /etc/resolv.conf && exec \"$@\"' sh {command}"


def with_name(environment: Mapping[str, str], variable: str, name: str) -> str:
    """Return the URL of a neighbour, with its name in place of 127.0.0.1."""
    return environment[variable].replace("127.0.0.1", f"{name}.{DOMAIN}")
