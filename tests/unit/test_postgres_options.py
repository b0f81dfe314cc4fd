"""What a postgresql:// URL says, without a server."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from concordant.drivers import registry
from concordant.drivers.postgres.options import PostgresOptions
from concordant.errors import UsageError


def spelled(url: str) -> dict[str, str]:
    """Return what libpq makes of the URL, without what is always there."""
    found = {key: str(value) for key, value in conninfo_to_dict(parse(url).conninfo).items()}
    assert found.pop("application_name") == "concordant"
    assert found.pop("connect_timeout") == "5"
    return found


def parse(url: str) -> PostgresOptions:
    return PostgresOptions.parse(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/db", {"host": "h", "dbname": "db"}),
        (
            "postgresql://ann:s%40cret%2F%3F%23@h:5433/db",
            {"user": "ann", "password": "s@cret/?#", "host": "h", "port": "5433", "dbname": "db"},
        ),
        ("postgresql://[::1]:5433/db", {"host": "::1", "port": "5433", "dbname": "db"}),
        ("postgresql:///db", {"dbname": "db"}),
        ("postgresql://", {}),
        ("postgresql:///db?host=/run/pg", {"host": "/run/pg", "dbname": "db"}),
        ("postgresql://%2Frun%2Fpg/db", {"host": "/run/pg", "dbname": "db"}),
        ("postgresql://h/d%20b", {"host": "h", "dbname": "d b"}),
        ("POSTGRESQL://h/db", {"host": "h", "dbname": "db"}),
    ],
)
def test_the_url_reaches_libpq_as_it_was_meant(url: str, expected: dict[str, str]) -> None:
    assert spelled(url) == expected


@pytest.mark.parametrize("written", ["-c%20search_path%3Da%2Cb", "-c search_path=a,b"])
def test_a_space_in_a_parameter_stays_a_space(written: str) -> None:
    assert spelled(f"postgresql://h/db?options={written}")["options"] == "-c search_path=a,b"


@pytest.mark.parametrize("written", ["a+b", "a%2Bb"])
def test_a_plus_sign_in_a_parameter_stays_a_plus_sign(written: str) -> None:
    assert spelled(f"postgresql://h/db?password={written}")["password"] == "a+b"


def test_what_is_given_goes_before_what_is_usual() -> None:
    found = conninfo_to_dict(
        parse("postgresql://h/db?connect_timeout=9&application_name=mine").conninfo
    )
    assert (str(found["connect_timeout"]), found["application_name"]) == ("9", "mine")


def test_the_parameters_of_our_own_stay_here() -> None:
    options = parse("postgresql://h/db?reply_timeout_s=0.5&lock_timeout_s=1.25&sslmode=disable")
    assert (options.reply_timeout_s, options.lock_timeout_s) == (0.5, 1.25)
    assert options.branch_reply_s == 1.75
    assert "timeout_s" not in options.conninfo
    assert conninfo_to_dict(options.conninfo)["sslmode"] == "disable"
    usual = parse("postgresql://h/db")
    assert (usual.reply_timeout_s, usual.lock_timeout_s) == (5.0, 5.0)


@pytest.mark.parametrize("key", ["reply_timeout_s", "lock_timeout_s"])
@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "0", "-1", "0.049", "3601"])
def test_a_bound_that_is_none_is_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{key} is 0.05 to 3600 seconds"):
        parse(f"postgresql://ann:hush@h/db?{key}={value}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hush@h/db?no_such_parameter=1",
        "postgresql://ann:hush%zz@h/db",
        # Everything after the first @ would be the host's name, and stand in errors.
        "postgresql://ann:begin@hush@h/db",
        "postgresql://ann:hush@h/db?reply_timeout_s=hush",
    ],
)
def test_an_error_never_repeats_a_password(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(url)
    # The value of a parameter that is no secret may be named; that one is a number.
    said = str(raised.value).replace("reply_timeout_s=hush", "")
    assert "hush" not in said
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_password_is_in_no_repr_and_no_place() -> None:
    url = "postgresql://ann:hush@h/db?sslpassword=hush&password=hush"
    options = parse(url)
    assert "hush" in options.conninfo
    assert "hush" not in repr(options)
    assert options.place == "postgresql://h/db?sslpassword=***&password=***"
    for port in ("lock_store", "transaction_log", "participant", "barrier"):
        assert "hush" not in repr(getattr(registry, port)(url))
        assert "hush" not in repr(getattr(registry, f"async_{port}")(url))
