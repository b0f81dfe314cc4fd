"""Bugs of other transaction systems, and the tests that show ours free of them; see table.py."""

from __future__ import annotations

from tests.known_bugs.table import EVERY, Because, Bug, by

_NO_OUTBOX = Because("there is no outbox, no relay and no message yet that could be lost in one")
_NO_BRANCHES = Because("its steps commit by themselves; nothing is ever prepared")

TRANSACTION_BUGS = (
    Bug(
        "a gid that is given again starts branches anew that had finished",
        "dtm",
        {
            "two-phase": by(
                "surface/aio/test_aio_coordinator",
                "test_a_gid_that_was_decided_runs_no_body",
                "test_of_two_attempts_under_one_gid_one_commits",
            ),
            "saga": (
                *by(
                    "surface/aio/test_aio_saga",
                    "test_a_gid_that_has_ended_returns_its_outcome_and_does_nothing",
                ),
                *by(
                    "contract/aio/test_aio_log_records",
                    "test_creating_again_changes_nothing_and_restarts_nothing",
                ),
            ),
        },
    ),
    Bug(
        "the same branch is called twice at once, and does its work twice",
        "dtm: one run of eight on a healthy server",
        {
            "two-phase": (
                *by(
                    "contract/aio/test_aio_participant",
                    "test_of_many_that_tell_at_once_one_is_obeyed",
                ),
                *by(
                    "contract/aio/test_aio_transaction_log",
                    "test_of_many_deciders_at_once_one_is_fresh_and_all_agree",
                ),
            ),
            "saga": (
                *by(
                    "contract/aio/test_aio_barrier", "test_of_many_calls_at_once_one_does_the_work"
                ),
                *by("surface/aio/test_aio_saga", "test_one_gid_is_run_by_one_at_a_time"),
            ),
        },
    ),
    Bug(
        "a crash in the middle of a rollback, and the rerun commits",
        "dtm #453",
        {
            "two-phase": (
                *by("contract/aio/test_aio_transaction_log", "test_the_first_decision_stands"),
                *by(
                    "surface/aio/test_aio_coordinator_recovery",
                    "test_one_that_slept_through_an_abort_and_its_purge_commits_nothing",
                ),
                *by("crash/test_twophase_points", "test_recovery"),
            ),
            "saga": (
                *by(
                    "unit/test_saga_machine",
                    "test_no_compensation_before_aborting_is_stored",
                    "test_once_aborting_is_stored_no_action_is_ever_asked_for",
                ),
                *by(
                    "surface/aio/test_aio_saga_recovery",
                    "test_once_it_goes_back_a_rerun_only_compensates",
                ),
                *by("crash/test_saga_points", "test_saga_point"),
            ),
        },
    ),
    Bug(
        "an action that comes after its compensation is answered with success",
        "dtm",
        {
            "two-phase": (
                *by(
                    "surface/aio/test_aio_coordinator_recovery",
                    "test_a_late_branch_of_a_transaction_that_was_decided_is_rolled_back",
                ),
                *by(
                    "contract/aio/test_aio_participant_ends",
                    "test_what_was_said_not_to_have_committed_never_will",
                ),
            ),
            "saga": (
                *by(
                    "contract/aio/test_aio_barrier",
                    "test_an_action_that_comes_after_its_compensation_is_refused",
                ),
                *by(
                    "surface/aio/test_aio_saga_recovery",
                    "test_a_late_action_is_refused_and_never_counts_as_done",
                ),
            ),
        },
    ),
    Bug(
        "a confirmation or compensation that fails for ever is tried eighty times a second",
        "dtm #306",
        {
            "two-phase": (
                *by(
                    "surface/aio/test_aio_coordinator_recovery",
                    "test_a_place_that_is_gone_does_not_keep_the_others",
                ),
                *by(
                    "crash/test_twophase_databases",
                    "test_a_database_that_is_gone_in_phase_two_is_told_when_it_is_back",
                ),
            ),
            "saga": (
                *by(
                    "unit/test_saga_machine",
                    "test_pauses_double_up_to_the_cap_and_are_stored_as_due",
                    "test_no_path_runs_for_ever_without_a_pause_or_an_attempt_counted",
                ),
                *by(
                    "surface/aio/test_aio_saga",
                    "test_a_compensation_that_never_works_gets_stuck_and_is_listed",
                    "test_a_stuck_saga_is_settled_by_hand",
                ),
            ),
        },
    ),
    Bug(
        "prepared transactions that nobody ends keep their locks until somebody notices",
        "PostgreSQL and SQLAlchemy, which has neither a log of decisions nor a recovery",
        {
            "two-phase": (
                *by(
                    "surface/aio/test_aio_coordinator_recovery",
                    "test_it_recovers_at_the_start_and_by_itself",
                    "test_what_a_dead_coordinator_left_comes_to_one_outcome_and_is_told",
                    "test_foreign_branches_are_listed_and_never_touched",
                ),
                *by(
                    "cli/test_cli_tx",
                    "test_an_undecided_transaction",
                    "test_branches_of_another_log_are_foreign",
                ),
            ),
            "saga": _NO_BRANCHES,
        },
    ),
    Bug(
        "recovery strands or doubles work after a passing error of the database",
        "DBOS #716, #742, #805",
        {
            "two-phase": by(
                "surface/aio/test_aio_coordinator_recovery",
                "test_a_log_that_answers_when_asked_again_is_no_trouble",
                "test_a_log_that_does_not_answer_leaves_the_outcome_to_recovery",
            ),
            "saga": (
                *by(
                    "surface/aio/test_aio_saga_recovery",
                    "test_a_claim_whose_answer_was_lost_strands_nothing",
                    "test_what_this_process_lost_it_finds_again",
                    "test_a_write_whose_reply_the_log_lost_is_known_again",
                ),
                *by(
                    "contract/aio/test_aio_log_records",
                    "test_of_many_heirs_at_once_each_record_has_one",
                ),
            ),
        },
    ),
    Bug(
        "an owner that was interrupted while it registered stays for alive",
        "our own, found by the sweep",
        {
            EVERY: (
                *by("surface/test_sync_life_interrupts", "test_the_life_of_a_coordinator"),
                *by("surface/test_async_life_cancel", "test_a_coordinator"),
                *by("surface/test_postgres_cancel", "test_beginning_and_ending"),
            )
        },
    ),
    Bug(
        "attempts that fail leave rows, sessions or threads",
        "pools of connections that are not given back",
        {
            "two-phase": (
                *by("known_bugs/test_attempts_that_failed", "test_of_transactions"),
                *by("surface/test_postgres_cancel", "test_a_transaction_over_two_databases"),
                *by("surface/test_async_transaction_cancel", "test_a_transaction"),
            ),
            "saga": (
                *by("surface/test_postgres_cancel", "test_a_saga"),
                *by(
                    "surface/test_async_saga_cancel",
                    "test_wherever_it_is_cancelled_it_comes_to_its_end_once",
                ),
            ),
        },
    ),
    Bug(
        "a branch that is unknown is taken for one that has obeyed, which hides an own way",
        "dtm: XAER_NOTA counts as success",
        {
            "two-phase": (
                *by(
                    "unit/test_twophase_machine", "test_a_heuristic_outcome_is_never_called_success"
                ),
                *by(
                    "crash/test_twophase_databases",
                    "test_a_branch_rolled_back_by_hand_is_kept_for_a_person",
                    "test_a_branch_committed_by_hand_before_an_abort_is_kept_for_a_person",
                ),
            ),
            "saga": _NO_BRANCHES,
        },
    ),
    Bug(
        "what cannot be brought to an end is given up silently",
        "RocketMQ: half messages, after fifteen questions",
        {
            "two-phase": by(
                "surface/aio/test_aio_coordinator_recovery",
                "test_a_branch_that_went_its_own_way_is_listed_for_ever",
            ),
            "saga": (
                *by(
                    "crash/test_saga_points",
                    "test_a_compensation_that_keeps_failing_waits_for_a_person",
                ),
                *by(
                    "surface/aio/test_aio_saga_recovery",
                    "test_what_is_not_registered_is_listed_and_left_alone",
                ),
            ),
        },
    ),
    Bug(
        "rows of the outbox are skipped, come out of order, block or pile up",
        "outboxes that read `id > last`, or with SKIP LOCKED",
        {"two-phase": _NO_OUTBOX, "saga": _NO_OUTBOX},
    ),
    Bug(
        "tables, records or definitions of another version are run all the same",
        "dtm #306",
        {
            EVERY: (
                *by("known_bugs/test_newer_tables", "test_postgresql"),
                *by("unit/test_sqlite_database", "test_a_newer_schema_is_refused"),
            ),
            "saga": by(
                "surface/aio/test_aio_saga_recovery",
                "test_what_a_newer_version_stored_is_kept_for_it",
                "test_a_definition_that_was_changed_is_not_run",
            ),
        },
    ),
    Bug(
        "the vote of a transaction that had failed is taken for a yes",
        "psycopg's tpc_prepare(): PREPARE TRANSACTION answers ROLLBACK, and no error",
        {
            "two-phase": (
                *by(
                    "fault/test_postgres_branches",
                    "test_a_statement_that_failed_gets_no_yes",
                    "test_a_transaction_that_the_work_has_ended_gets_no_yes",
                ),
                *by(
                    "contract/aio/test_aio_participant_ends",
                    "test_a_branch_with_a_failed_statement_commits_nothing_it_did_not_vote_for",
                ),
            ),
            "saga": by(
                "contract/aio/test_aio_barrier", "test_work_that_cannot_commit_leaves_nothing"
            ),
        },
    ),
    Bug(
        "a server that cannot prepare is noticed in the middle of the commit",
        "PostgreSQL with max_prepared_transactions = 0, its default",
        {
            "two-phase": by(
                "fault/test_postgres_unfit_servers",
                "test_a_server_that_cannot_prepare_is_refused_at_once",
                "test_a_full_table_of_votes_is_a_no",
            ),
            "saga": _NO_BRANCHES,
        },
    ),
    Bug(
        "a commit over several SQLite files is torn by a crash",
        "ATTACH in WAL mode: 36 of 150 kills",
        {
            "two-phase": (
                *by(
                    "unit/test_sqlite_participant_connection",
                    "test_statements_that_no_branch_can_do",
                ),
                *by("crash/test_sqlite_participant_kills", "test_kills_tear_nothing"),
            ),
            "saga": by("crash/test_saga_points", "test_saga_point"),
        },
    ),
    Bug(
        "a decision that was told vanishes with the power",
        "logs on SQLite with synchronous=NORMAL",
        {
            "two-phase": by(
                "unit/test_sqlite_wal",
                "test_a_decision_outlives_a_power_cut",
                "test_a_vote_outlives_a_power_cut",
            ),
            "saga": by("unit/test_sqlite_wal", "test_a_decision_outlives_a_power_cut"),
        },
    ),
    Bug(
        "the branches of other databases and programs are ended with one's own",
        "readers of pg_prepared_xacts, which spans the whole cluster",
        {
            "two-phase": by(
                "fault/test_postgres_branches",
                "test_what_others_have_prepared_is_listed_and_left_alone",
            ),
            "saga": _NO_BRANCHES,
        },
    ),
    Bug(
        "a branch that has only read costs a prepare, or loses its locks",
        "MariaDB, and PostgreSQL's tpc_prepare()",
        {
            "two-phase": (
                *by(
                    "contract/aio/test_aio_participant",
                    "test_a_branch_that_changed_nothing_leaves_at_the_vote",
                ),
                *by(
                    "fault/test_postgres_branches",
                    "test_what_only_reads_leaves_no_trace",
                    "test_what_locks_rows_has_something_to_keep",
                ),
            ),
            "saga": _NO_BRANCHES,
        },
    ),
)
