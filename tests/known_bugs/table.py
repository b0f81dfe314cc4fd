"""Bugs of other libraries, and for each driver of ours the tests that show it free of them.

A bug is shown absent by tests, or there is a reason why a driver cannot have it. An id that ends
in `[*]` stands for the test with the driver's own parameter; one of an `aio` folder stands for
its twin in the `sync` folder as well. What is shown under EVERY holds for all drivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LOCKS = ("memory", "sqlite", "redis", "postgresql")
TRANSACTIONS = ("two-phase", "saga")
EVERY = "every"

Shown = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Because:
    """Why a driver cannot have the bug."""

    reason: str


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug, who has it, and what shows that we have not."""

    name: str
    seen_in: str
    shown: Mapping[str, Shown | Because]

    def cell(self, driver: str) -> Shown | Because:
        """Return what is said for a driver; no tests if nothing is."""
        own = self.shown.get(driver, ())
        if isinstance(own, Because):
            return own
        shared = self.shown.get(EVERY, ())
        if isinstance(shared, Because):
            return shared
        return (*shared, *own)


def by(file: str, *names: str) -> Shown:
    """Return the ids of tests in one file below tests/."""
    return tuple(f"tests/{file}.py::{name}" for name in names)


_EMBEDDED = Because("it is called in this process and has no connection that somebody could end")

LOCK_BUGS = (
    Bug(
        "an acquisition that is cancelled after its request left leaves an orphan without expiry",
        "redis.asyncio.Lock, advisory locks by asyncpg and psycopg",
        {
            EVERY: (
                *by(
                    "surface/test_async_cancel_everywhere",
                    "test_acquiring_and_releasing_alone[*]",
                    "test_waiting_for_another[*]",
                    "test_being_handed_the_lock_meanwhile[*]",
                    "test_taking_several[*]",
                    "test_cancelled_while_the_request_is_on_its_way[*]",
                ),
                *by(
                    "surface/test_sync_interrupts",
                    "test_acquiring_and_releasing_alone[*]",
                    "test_ctrl_c_while_it_waits[*]",
                    "test_ctrl_c_while_the_store_is_asked[*]",
                ),
            )
        },
    ),
    Bug(
        "a client that is left while it is cancelled or interrupted keeps threads and locks",
        "redis-py and python-redis-lock with threads that renew",
        {
            EVERY: by(
                "surface/test_async_scope", "test_a_client_that_is_closed_while_cancelled_is_closed"
            ),
            "memory": (
                *by("surface/test_async_life_cancel", "test_a_client[*]"),
                *by("surface/test_sync_life_interrupts", "test_leaving_a_client[*]"),
            ),
            "sqlite": (
                *by("surface/test_async_life_cancel", "test_a_client[*]"),
                *by("surface/test_sync_life_interrupts", "test_the_whole_life_of_a_client[*]"),
            ),
        },
    ),
    Bug(
        "a timeout below one second becomes none at all",
        "libraries that take int() of it",
        {EVERY: by("surface/aio/test_aio_lock_basics", "test_a_timeout_below_a_second_is_one[*]")},
    ),
    Bug(
        "the timeout begins anew at each predecessor",
        "kazoo: one second took 2.3",
        {
            EVERY: (
                *by(
                    "surface/aio/test_aio_lock_basics",
                    "test_a_timeout_does_not_begin_anew_at_each_predecessor[*]",
                ),
                *by(
                    "surface/aio/test_aio_locks_together",
                    "test_a_timeout_tells_the_time_that_was_given_for_all",
                ),
            )
        },
    ),
    Bug(
        "the time to wait is taken for the length of the lease",
        "tooz with etcd3gw",
        {
            EVERY: by(
                "known_bugs/test_timeout_is_no_ttl",
                "test_a_short_wait_makes_no_short_lease[*]",
                "test_a_long_wait_makes_no_long_lease[*]",
                "test_who_waited_has_a_whole_lease[*]",
                "test_the_same_of_tasks[*]",
            )
        },
    ),
    Bug(
        "the loss of a lease is not told: the holder still believes in it",
        "tooz and kazoo (`acquired` stays true), python-redis-lock (its renewer dies silently), "
        "redis-py (it shows at the release alone)",
        {
            EVERY: by(
                "surface/aio/test_aio_loss",
                "test_a_lease_that_was_broken_is_lost[*]",
                "test_a_lease_that_cannot_be_renewed_is_lost_in_time[*]",
                "test_a_body_whose_lease_was_lost_ends_with_it[*]",
                "test_a_loss_that_nobody_noticed_shows_at_the_exit",
            ),
            "redis": by(
                "fault/test_redis_server",
                "test_a_lease_that_a_standing_server_cannot_renew_is_lost_in_time",
            ),
        },
    ),
    Bug(
        "a wake-up that a dead waiter has taken: the next one sleeps on a free lock",
        "python-redis-lock, and queues by BLPOP in general",
        {
            EVERY: (
                *by(
                    "surface/test_async_cancel_everywhere",
                    "test_the_next_in_line_is_not_held_up[*]",
                ),
                *by(
                    "contract/test_waiters_that_are_gone",
                    "test_a_waiter_that_fell_silent_leaves_the_queue",
                ),
                *by(
                    "contract/aio/test_aio_lock_store_time",
                    "test_a_grant_that_nobody_confirms_passes_on[*]",
                ),
            ),
            **{
                driver: (
                    *by("known_bugs/test_killed_at_the_hint", "test_the_next_in_line_goes_on[*]"),
                    *by(
                        "contract/test_waiters_that_are_gone",
                        "test_a_waiter_that_was_killed_is_passed_over[*]",
                        "test_a_waiter_that_was_stopped_is_passed_over[*]",
                    ),
                )
                for driver in ("sqlite", "redis", "postgresql")
            },
        },
    ),
    Bug(
        "a waiter hangs for ever when the holder crashes",
        "locks without expiry, and waiters that only listen",
        {
            EVERY: (
                *by(
                    "surface/aio/test_aio_lock_basics",
                    "test_a_holder_that_died_is_replaced_after_its_ttl[*]",
                ),
                *by(
                    "contract/aio/test_aio_lock_store_time",
                    "test_a_waiter_is_granted_when_the_holder_expires[*]",
                ),
                *by(
                    "surface/aio/test_aio_unknown_outcomes",
                    "test_hints_that_are_lost_cost_time_alone[*]",
                ),
            )
        },
    ),
    Bug(
        "names are folded into few bits, so that two locks are one",
        "tooz on PostgreSQL keeps two bytes: lock-2 and lock-137 are one",
        {
            EVERY: (
                *by("surface/aio/test_aio_lock_basics", "test_names_are_not_folded[*]"),
                *by(
                    "contract/aio/test_aio_lock_store_batches",
                    "test_names_are_kept_whole_and_apart[*]",
                ),
            )
        },
    ),
    Bug(
        "each attempt leaves something behind: a lease, a key, a thread",
        "tooz with etcd3gw: 32 leases in ten seconds",
        {
            EVERY: by(
                "known_bugs/test_attempts_that_failed",
                "test_of_threads[*]",
                "test_of_tasks_that_are_cancelled[*]",
            )
        },
    ),
    Bug(
        "session locks stay behind on the server of a pooler in transaction mode, and what is "
        "prepared in one session is missing in the next",
        "advisory locks of tooz, asyncpg and psycopg behind PgBouncer",
        {
            "memory": _EMBEDDED,
            "sqlite": _EMBEDDED,
            "redis": Because("no state of a lock is tied to a connection; hints come by one's own"),
            "postgresql": by(
                "known_bugs/test_behind_a_pooler",
                "test_locks_of_threads",
                "test_locks_of_tasks",
                "test_branches_are_refused",
            ),
        },
    ),
    Bug(
        "a request that is repeated after a reconnect makes a second contender",
        "kazoo",
        {
            EVERY: (
                *by(
                    "surface/aio/test_aio_unknown_outcomes",
                    "test_a_lost_reply_to_an_acquire_is_asked_for_again[*]",
                ),
                *by(
                    "contract/aio/test_aio_lock_store_queue", "test_asking_again_keeps_the_place[*]"
                ),
                *by(
                    "contract/aio/test_aio_lock_store",
                    "test_asking_again_under_the_same_id_gives_the_same_grant[*]",
                ),
            ),
            "redis": by(
                "fault/test_redis_network", "test_an_acquire_whose_reply_is_lost_converges"
            ),
            "postgresql": by(
                "fault/test_postgres_lost_replies",
                "test_a_grant_whose_reply_is_lost_is_found_by_asking_again",
            ),
        },
    ),
    Bug(
        "the renewal outlives the release, and brings the lock back",
        "Redisson",
        {
            EVERY: by(
                "surface/aio/test_aio_unknown_outcomes",
                "test_a_late_renewal_does_not_bring_a_lease_back[*]",
                "test_a_release_that_meets_a_renewal_on_its_way_is_done",
                "test_a_request_that_comes_after_the_release_is_refused",
            )
        },
    ),
    Bug(
        "a session that the server has ended is still taken for open",
        "psycopg, and the pools on it: the socket was readable three milliseconds later",
        {
            "memory": _EMBEDDED,
            "sqlite": _EMBEDDED,
            "redis": (
                *by(
                    "fault/test_redis_network",
                    "test_a_connection_that_broke_while_idle_is_replaced_unseen",
                ),
                *by(
                    "fault/test_redis_hints",
                    "test_a_channel_that_the_server_closes_is_noticed_at_once",
                ),
            ),
            "postgresql": (
                *by(
                    "fault/test_postgres_sessions_ended",
                    "test_a_session_that_was_ended_while_idle_is_not_used",
                    "test_a_session_that_was_ended_while_idle_is_not_used_by_a_loop",
                ),
                *by(
                    "fault/test_postgres_hint_channel",
                    "test_a_channel_whose_session_was_ended_says_so_at_once",
                ),
            ),
        },
    ),
    Bug(
        "a task that is cancelled while it connects leaves half a session with the server",
        "psycopg: until the collector of cycles comes to it",
        {
            "memory": _EMBEDDED,
            "sqlite": _EMBEDDED,
            "redis": by(
                "known_bugs/test_attempts_that_failed", "test_of_tasks_that_are_cancelled[*]"
            ),
            "postgresql": by("surface/test_postgres_cancel", "test_beginning_and_ending[*]"),
        },
    ),
    Bug(
        "a forked child acts with its parent's connection and leases",
        "most of them",
        {
            EVERY: by(
                "surface/test_fork",
                "test_a_child_has_no_part_in_its_parents_locks[*]",
                "test_a_child_that_waited_leaves_the_parent_waiting[*]",
            )
        },
    ),
    Bug(
        "fences repeat or fall after a restart or the loss of the data",
        "counters on a Redis that does not persist, sequence suffixes of ZooKeeper",
        {
            EVERY: by(
                "contract/aio/test_aio_lock_store",
                "test_a_free_lock_is_granted_under_a_fence_of_the_clock[*]",
                "test_fences_rise_over_many_quick_grants[*]",
            ),
            "sqlite": by(
                "contract/aio/test_aio_lock_store_time", "test_fences_rise_over_reopening[*]"
            ),
            "redis": by(
                "fault/test_redis_server", "test_fences_rise_even_if_the_server_lost_everything"
            ),
            "postgresql": by("fault/test_postgres_restarts", "test_fences_rise_over_restarts"),
        },
    ),
    Bug(
        "tables or records of a newer version are taken for one's own",
        "dtm: upgrades without a migration",
        {
            "memory": Because("it lives no longer than the process that has made it"),
            "sqlite": (
                *by("unit/test_sqlite_database", "test_a_newer_schema_is_refused"),
                *by("unit/test_sqlite_locks", "test_a_record_of_a_newer_version_is_refused"),
            ),
            "redis": by("known_bugs/test_newer_tables", "test_redis"),
            "postgresql": (
                *by("known_bugs/test_newer_tables", "test_postgresql"),
                *by("fault/test_postgres_rows", "test_functions_of_another_version_are_replaced"),
            ),
        },
    ),
)
