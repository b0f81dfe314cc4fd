"""Two-phase commit over two PostgreSQL servers: with our log, against none at all.

    python bench/twophase_postgres.py [--rounds 8] [--seconds 3]

The floor does the same begins, updates, prepares and commits on the same kind of connections
and writes no decision anywhere, so a crash would strand it. fsync is on everywhere, the log is
a SQLite file with synchronous=FULL beside the servers' data.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._rounds import paired
from concordant import AsyncCoordinator, Coordinator
from tests.provision.postgres import PostgresServer

CLIENTS = 16
_numbers = itertools.count()
SQL = "UPDATE account SET balance = balance + 1 WHERE id = %s"


def servers() -> list[str]:
    urls = []
    for _ in range(2):
        server = PostgresServer("fsync=on")
        server.start()
        with psycopg.connect(server.url("postgres")) as connection:
            connection.execute("CREATE TABLE account (id int PRIMARY KEY, balance bigint)")
            connection.execute("INSERT INTO account SELECT i, 0 FROM generate_series(0, 99) i")
        urls.append(server.url("postgres"))
    return urls


def in_threads(work: object, seconds: float) -> float:
    """Return how often `work(client)` was done a second by all clients together."""
    end = time.perf_counter() + seconds
    counts = [0] * CLIENTS

    def run(client: int) -> None:
        while time.perf_counter() < end:
            work(client)  # type: ignore[operator]
            counts[client] += 1

    threads = [threading.Thread(target=run, args=(client,)) for client in range(CLIENTS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


async def in_tasks(work: object, seconds: float) -> float:
    end = time.perf_counter() + seconds
    counts = [0] * CLIENTS

    async def run(client: int) -> None:
        while time.perf_counter() < end:
            await work(client)  # type: ignore[operator]
            counts[client] += 1

    start = time.perf_counter()
    await asyncio.gather(*(run(client) for client in range(CLIENTS)))
    return sum(counts) / (time.perf_counter() - start)


def sync_rounds(urls: list[str], log: str, seconds: float, rounds: int) -> None:
    plain = [[psycopg.connect(url, autocommit=True) for url in urls] for _ in range(CLIENTS)]

    def without_log(client: int) -> None:
        gid = f"floor-{next(_numbers)}"
        for connection in plain[client]:
            connection.execute("BEGIN")
            connection.execute(SQL, (client,))
        for number, connection in enumerate(plain[client]):
            connection.execute(f"PREPARE TRANSACTION '{gid}-{number}'")
        for number, connection in enumerate(plain[client]):
            connection.execute(f"COMMIT PREPARED '{gid}-{number}'")

    with Coordinator(log, participants=urls) as coordinator:

        def ours(client: int) -> None:
            with coordinator.transaction(*urls) as connections:
                for connection in connections:
                    connection.execute(SQL, (client,))

        paired(
            "sync, tx/s",
            lambda: in_threads(ours, seconds),
            lambda: in_threads(without_log, seconds),
            "at least 0.88",
            rounds,
        )


def async_rounds(urls: list[str], log: str, seconds: float, rounds: int) -> None:
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete

    async def connect() -> list[list[psycopg.AsyncConnection[tuple[object, ...]]]]:
        return [
            [await psycopg.AsyncConnection.connect(url, autocommit=True) for url in urls]
            for _ in range(CLIENTS)
        ]

    plain = run(connect())

    async def without_log(client: int) -> None:
        gid = f"floor-{next(_numbers)}"
        for connection in plain[client]:
            await connection.execute("BEGIN")
            await connection.execute(SQL, (client,))
        for number, connection in enumerate(plain[client]):
            await connection.execute(f"PREPARE TRANSACTION '{gid}-{number}'")
        for number, connection in enumerate(plain[client]):
            await connection.execute(f"COMMIT PREPARED '{gid}-{number}'")

    coordinator = AsyncCoordinator(log, participants=urls)
    run(coordinator.__aenter__())

    async def ours(client: int) -> None:
        async with coordinator.transaction(*urls) as connections:
            for connection in connections:
                await connection.execute(SQL, (client,))

    paired(
        "async, tx/s",
        lambda: run(in_tasks(ours, seconds)),
        lambda: run(in_tasks(without_log, seconds)),
        "at least 0.80",
        rounds,
    )
    run(coordinator.__aexit__(None, None, None))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    urls = servers()
    with tempfile.TemporaryDirectory() as folder:
        log = f"sqlite://{folder}/log.db"
        sync_rounds(urls, log, given.seconds, given.rounds)
        async_rounds(urls, log, given.seconds, given.rounds)


if __name__ == "__main__":
    main()
