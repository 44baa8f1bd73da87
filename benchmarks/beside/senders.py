"""Send answers over HTTP from many senders at once: one process, so that it takes little from the server.

    python benchmarks/beside/senders.py HOST PORT SENDERS < paths

Prints JSON: seconds of all together, seconds of each answer, how many were settled.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator

#: A server limits the requests of one address; so each sender has several, as people behind several routers have.
_ADDRESSES = 4


def main() -> None:
    host, port, senders = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    paths = sys.stdin.read().split()
    left, lock = iter(paths), threading.Lock()
    taken: list[tuple[float, int]] = []
    start = threading.Barrier(senders + 1)

    def send(number: int) -> None:
        connections = [_connect(host, port, f"127.0.{number}.{n + 1}") for n in range(_ADDRESSES)]
        start.wait()
        for turn, path in enumerate(_take(left, lock)):
            request = (
                f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
                'Content-Length: 12\r\n\r\n{"ok": true}'
            )
            began = time.perf_counter()
            connection = connections[turn % _ADDRESSES]
            connection.sendall(request.encode())
            status = _read(connection)
            taken.append((time.perf_counter() - began, status))

    threads = [threading.Thread(target=send, args=[n + 1]) for n in range(senders)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    settled = sum(status == 200 for _, status in taken)
    print(json.dumps({"seconds": seconds, "each": [one for one, _ in taken], "settled": settled}))


def _take(left: Iterator[str], lock: threading.Lock) -> Iterator[str]:
    while True:
        with lock:
            path = next(left, None)
        if path is None:
            return
        yield path


def _connect(host: str, port: int, address: str) -> socket.socket:
    made = socket.create_connection((host, port), source_address=(address, 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _read(connection: socket.socket) -> int:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split(b" ")[1])


if __name__ == "__main__":
    main()
