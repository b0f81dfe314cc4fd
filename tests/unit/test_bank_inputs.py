"""The bank's CSV input: what is taken, what is refused, and what is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from concordant.bank.inputs import (
    MONEY_MAX,
    Account,
    BadInput,
    Transfer,
    generate,
    read_accounts,
    read_transfers,
    write_accounts,
    write_transfers,
)
from concordant.errors import UsageError

KNOWN = [Account("a", 10), Account("b", 0)]


def accounts_file(folder: Path, content: bytes) -> Path:
    path = folder / "accounts.csv"
    path.write_bytes(content)
    return path


def transfers_file(folder: Path, content: bytes) -> Path:
    path = folder / "transfers.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"id,balance\na,10\nb,0\n",
        b"id,balance\na,10\nb,0",
        b"id,balance\r\na,10\r\nb,0\r\n",
        b"\xef\xbb\xbfid,balance\na,10\nb,0\n",
        b'\xef\xbb\xbf"id","balance"\n"a","10"\n"b","0"\n',
    ],
    ids=["plain", "no-last-newline", "crlf", "bom", "bom-quoted"],
)
def test_accounts_are_read_in_order(tmp_path: Path, content: bytes) -> None:
    assert read_accounts(accounts_file(tmp_path, content)) == KNOWN


def test_transfers_are_read_in_order(tmp_path: Path) -> None:
    path = transfers_file(tmp_path, b"id,from,to,amount\nt2,a,b,1\nt1,b,a,9223372036854775807\n")
    assert read_transfers(path, KNOWN) == [
        Transfer("t2", "a", "b", 1),
        Transfer("t1", "b", "a", MONEY_MAX),
    ]


def test_a_header_alone_is_an_empty_list(tmp_path: Path) -> None:
    assert read_accounts(accounts_file(tmp_path, b"id,balance\n")) == []
    assert read_transfers(transfers_file(tmp_path, b"id,from,to,amount\n"), []) == []


def test_all_balances_together_may_just_fill_64_bits(tmp_path: Path) -> None:
    path = accounts_file(tmp_path, b"id,balance\na,9223372036854775806\nb,1\n")
    assert sum(account.balance for account in read_accounts(path)) == MONEY_MAX


def test_an_id_may_hold_255_bytes_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    long = "é" * 127 + "x"
    content = f'id,balance\n{long},1\n"a,""b""\nc",2\n" ",3\n'.encode()
    ids = [account.id for account in read_accounts(accounts_file(tmp_path, content))]
    assert ids == [long, 'a,"b"\nc', " "]


BAD_NUMBERS = [
    "",
    "+5",
    "-1",
    "-0",
    " 5",
    "5 ",
    "5.0",
    "5e3",
    "1_000",
    "0x10",
    "007",
    "\u0663",  # an Arabic three
    "\uff15",  # a full-width five
    "\u00b2",  # a superscript two
    "9223372036854775808",
    "9" * 5000,
    "NaN",
]


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_balances_are_plain_digits_within_64_bits(tmp_path: Path, number: str) -> None:
    path = accounts_file(tmp_path, f"id,balance\na,1\nb,{number}\n".encode())
    with pytest.raises(BadInput, match=r"balance .* is not a whole number from 0") as caught:
        read_accounts(path)
    assert caught.value.line == 3


@pytest.mark.parametrize("number", [*BAD_NUMBERS, "0"])
def test_amounts_are_plain_digits_from_one(tmp_path: Path, number: str) -> None:
    path = transfers_file(tmp_path, f"id,from,to,amount\nt1,a,b,{number}\n".encode())
    with pytest.raises(BadInput, match=r"amount .* is not a whole number from 1") as caught:
        read_transfers(path, KNOWN)
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "the file is empty"),
        (b"\xef\xbb\xbf", 1, "not the header"),
        (b"a,10\nb,0\n", 1, "not the header id,balance"),
        (b"balance,id\n", 1, "not the header"),
        (b"Id,Balance\n", 1, "not the header"),
        (b"id, balance\n", 1, "not the header"),
        (b"\nid,balance\n", 1, "not the header"),
        (b"\xef\xbb\xbf\xef\xbb\xbfid,balance\n", 1, "not the header"),
        (b"id,from,to,amount\n", 1, "not the header"),
        (b"id,balance\na\n", 2, "1 columns instead of 2"),
        (b"id,balance\na,1,\n", 2, "3 columns instead of 2"),
        (b"id,balance\na,1\n\nb,1\n", 3, "an empty line"),
        (b"id,balance\na;1\n", 2, "1 columns"),
        (b"id,balance\n,1\n", 2, "the id is empty"),
        (b"id,balance\na\0b,1\n", 2, "NUL"),
        (b"id,balance\n" + b"x" * 256 + b",1\n", 2, "256 bytes"),
        (b"id,balance\n" + "é".encode() * 128 + b",1\n", 2, "256 bytes"),
        (b"id,balance\na,1\nb,1\na,2\n", 4, "'a' stands in line 2 already"),
        (b"id,balance\na,1\n\xff,1\n", 3, "byte 1 of the line is not UTF-8"),
        (b"id,balance\na,1\nb\xed\xa0\x80,1\n", 3, "byte 2 of the line is not UTF-8"),
        (b"\xff\xfei\0d\0", 1, "not UTF-8"),
        (b'id,balance\na,1\n"b"x,1\n', 3, "not CSV"),
        (b'id,balance\na,1\n"b,1\nc,1\n', 3, "not CSV"),
        (b"id,balance\ra,1\r", 1, "not CSV"),
        (b'id,balance\n"a\nb",1\nc,x\n', 4, "balance 'x'"),
        (b"id,balance\na,9223372036854775807\nb,0\nc,1\n", 4, "all balances"),
    ],
)
def test_bad_accounts_name_file_line_and_reason(
    tmp_path: Path, content: bytes, line: int, reason: str
) -> None:
    path = accounts_file(tmp_path, content)
    with pytest.raises(BadInput) as caught:
        read_accounts(path)
    assert caught.value.line == line
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"{path}, line {line}: {caught.value.reason}")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("t1,a,b", "3 columns instead of 4"),
        ("t1,a,b,1,", "5 columns instead of 4"),
        (",a,b,1", "the id is empty"),
        ("t0,a,b,1", "'t0' stands in line 2 already"),
        ("t1,a,a,1", "same account 'a'"),
        ("t1,c,b,1", "from names 'c', which is no account"),
        ("t1,a,c,1", "to names 'c', which is no account"),
        ("t1,a,,1", "to names '', which is no account"),
        ("t1, a,b,1", "from names ' a', which is no account"),
    ],
)
def test_bad_transfers_name_file_line_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    path = transfers_file(tmp_path, f"id,from,to,amount\nt0,a,b,1\n{row}\n".encode())
    with pytest.raises(BadInput) as caught:
        read_transfers(path, KNOWN)
    assert caught.value.line == 3
    assert reason in caught.value.reason
    assert str(path) in str(caught.value)


def test_a_missing_file_is_bad_input_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.csv: cannot be read") as caught:
        read_accounts(tmp_path / "absent.csv")
    assert caught.value.line is None
    assert isinstance(caught.value, UsageError)


def test_generated_input_depends_on_the_seed_alone() -> None:
    assert generate(7) == generate(7)
    assert generate(7) != generate(8)


def test_generated_input_is_fixed_for_ever() -> None:
    # Vectors: --seed must reproduce a run on any later Python.
    accounts, transfers = generate(42, accounts=4, transfers=3)
    assert accounts == [
        Account("a00001", 676),
        Account("a00002", 122),
        Account("a00003", 347),
        Account("a00004", 301),
    ]
    assert transfers == [
        Transfer("t0000001", "a00004", "a00001", 1455),
        Transfer("t0000002", "a00002", "a00003", 51),
        Transfer("t0000003", "a00002", "a00001", 55),
    ]


@pytest.mark.parametrize(("accounts", "transfers"), [(200, 3000), (2, 1), (3, 60), (5, 0), (0, 0)])
def test_generated_input_is_valid_input(tmp_path: Path, accounts: int, transfers: int) -> None:
    opened, asked = generate(1, accounts, transfers)
    assert (len(opened), len(asked)) == (accounts, transfers)
    write_accounts(tmp_path / "a.csv", opened)
    write_transfers(tmp_path / "t.csv", asked)
    assert read_accounts(tmp_path / "a.csv") == opened
    assert read_transfers(tmp_path / "t.csv", opened) == asked


def test_generated_transfers_hold_sure_refusals_and_hot_accounts() -> None:
    accounts, transfers = generate(3, 200, 3000)
    total = sum(account.balance for account in accounts)
    assert sum(transfer.amount > total for transfer in transfers) == 60
    hot = {account.id for account in accounts[:4]}
    touched = sum(bool(hot & {transfer.source, transfer.target}) for transfer in transfers)
    assert touched >= 1000
    assert len({t.source for t in transfers} | {t.target for t in transfers}) == 200


@pytest.mark.parametrize(("accounts", "transfers"), [(1, 1), (0, 1), (-1, 0), (2, -1)])
def test_generation_refuses_what_makes_no_sense(accounts: int, transfers: int) -> None:
    with pytest.raises(UsageError, match="cannot make up"):
        generate(1, accounts, transfers)


def test_writing_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = accounts_file(tmp_path, b"x" * 1000)
    write_accounts(path, KNOWN)
    assert path.read_bytes() == b"id,balance\na,10\nb,0\n"
    assert list(tmp_path.iterdir()) == [path]
