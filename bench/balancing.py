"""`python -m bench.balancing`: which share of the requests each of three model servers gets behind one address.

As a Service of Kubernetes, the balancer chooses a server at random for each connection. After a third of the time, the
third server is added. Connections live for 60 s in the service. Here, all times are shorter.
"""

import argparse
import asyncio
import random
import sys
import threading
import time
from collections import Counter
from statistics import mean

from bench.table import table
from moon_vision_challenge.http_client import pool

CLIENTS = 8
"""As many as the threads of two web processes."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Balancer:
    """A balancer that puts three servers behind one address and counts their requests."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.running = 2
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = random.randrange(self.running)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.counts[chosen] += 1
                await asyncio.sleep(0.005)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def run(seconds: float) -> Counter[int]:
    """Return the number of requests to each server after the third one was added."""
    balancer, end = Balancer(), time.monotonic() + seconds
    client = pool.Pool([])

    def work() -> None:
        while time.monotonic() < end:
            client.request(balancer.url, None, connect_timeout_s=5, timeout_s=60)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 3)
    balancer.counts.clear()
    balancer.running = 3
    for thread in threads:
        thread.join()
    return balancer.counts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.balancing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    rows = []
    for name, lifetime_s in (("forever", 0), ("a tenth of the run", options.seconds / 10)):
        pool.CONNECTION_LIFETIME_S = max(1, round(lifetime_s)) if lifetime_s else 10**6
        shares = []
        for _ in range(options.rounds):
            counts = run(options.seconds)
            shares.append([counts[number] / counts.total() for number in range(3)])
        busiest, new = mean(max(each) for each in shares), mean(each[2] for each in shares)
        rows.append([name, f"{busiest:.0%}", f"{new:.0%}"])

    sys.stdout.write(table(["A connection lives", "The busiest server gets", "The new one gets"], rows) + "\n")


if __name__ == "__main__":
    main()
