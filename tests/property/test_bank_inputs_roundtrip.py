"""What is written is read back the same, and nothing but BadInput ever comes of any bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from concordant.bank.inputs import (
    MONEY_MAX,
    Account,
    BadInput,
    Transfer,
    read_accounts,
    read_transfers,
    write_accounts,
    write_transfers,
)

IDS = st.text(
    st.one_of(
        st.sampled_from(',"\r\n \ufeff\x85\u2028'),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=60,
)


@st.composite
def banks(draw: st.DrawFn) -> tuple[list[Account], list[Transfer]]:
    ids = draw(st.lists(IDS, min_size=2, max_size=6, unique=True))
    accounts = [Account(id, draw(st.integers(0, MONEY_MAX // len(ids)))) for id in ids]
    pairs = st.lists(st.sampled_from(ids), min_size=2, max_size=2, unique=True)
    names = draw(st.lists(IDS, max_size=6, unique=True))
    transfers = []
    for name in names:
        source, target = draw(pairs)
        transfers.append(Transfer(name, source, target, draw(st.integers(1, MONEY_MAX))))
    return accounts, transfers


@given(banks())
def test_written_input_is_read_back_the_same(
    bank: tuple[list[Account], list[Transfer]],
) -> None:
    accounts, transfers = bank
    with tempfile.TemporaryDirectory() as folder:
        write_accounts(Path(folder) / "accounts.csv", accounts)
        write_transfers(Path(folder) / "transfers.csv", transfers)
        assert read_accounts(Path(folder) / "accounts.csv") == accounts
        assert read_transfers(Path(folder) / "transfers.csv", accounts) == transfers


SNIPPETS = [b"id,balance\n", b"a", b",", b'"', b"\n", b"\r", b"\0", b"7", b"+", b"\xc3", b"\xa9"]


@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(SNIPPETS)).map(b"".join)))
def test_any_bytes_are_read_or_refused_with_a_line_of_the_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "accounts.csv"
        path.write_bytes(content)
        try:
            accounts = read_accounts(path)
        except BadInput as caught:
            line = caught.line
        else:
            write_accounts(path, accounts)
            assert read_accounts(path) == accounts
            return
    assert line is not None
    assert 1 <= line <= content.count(b"\n") + 1
