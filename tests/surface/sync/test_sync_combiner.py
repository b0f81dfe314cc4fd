# Generated from tests/surface/aio/test_aio_combiner.py by tools/unasync.py; do not edit.
"""The combiner: what many ask at once travels together, and each gets the answer to its own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

import pytest

from concordant._bridge.sync import Combiner
from concordant.errors import BackendUnavailable
from tests.provision.bridge import sleep
from tests.surface.together import Background, eventually, together


class Doubler:
    """A store that doubles numbers, slowly enough that others come meanwhile."""

    def __init__(self, seed: int = 1, failing: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.under_way = 0
        self.under_way_max = 0
        self.open = True
        self._random = random.Random(seed)
        self._failing = failing

    def apply(self, batch: Sequence[int]) -> list[int]:
        """Return the doubles, or fail as a whole."""
        self.batches.append(list(batch))
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            sleep(self._random.random() * 0.001)
            while not self.open:
                sleep(0.002)
            if any(item < 0 for item in batch) or self._random.random() < self._failing:
                raise BackendUnavailable(f"no answer to {list(batch)}")
            return [2 * item for item in batch]
        finally:
            self.under_way -= 1


def ask_again_and_again(
    combiner: Combiner[int, int], first: int, times: int, answered: list[int]
) -> None:
    for number in range(first, first + times):
        try:
            answer = combiner.submit(number)
        except BackendUnavailable:
            continue
        assert answer == 2 * number
        answered.append(number)


def all_lanes_can_be_taken(combiner: Combiner[int, int], store: Doubler, lanes: int) -> None:
    """See that as many batches as there are lanes, and no more, can be under way."""
    store.open = False
    asking = []
    # One after the other, since tasks that ask in the same turn of the loop share a batch.
    for number in range(lanes + 2):
        asking.append(Background(partial(combiner.submit, number)))
        sleep(0.02)
    under_way = store.under_way
    store.open = True
    for each in asking:
        try:
            each.result()
        except BackendUnavailable:
            pass
    assert under_way == lanes


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_everybody_gets_the_answers_to_their_own_items(lanes: int) -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, lanes, 8)
    answered: list[int] = []
    together([partial(ask_again_and_again, combiner, 1000 * i, 50, answered) for i in range(16)])
    assert sorted(answered) == [1000 * i + j for i in range(16) for j in range(50)]
    assert sorted(item for batch in store.batches for item in batch) == sorted(answered)
    assert max(len(batch) for batch in store.batches) <= 8
    assert store.under_way_max <= lanes


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_nobody_is_stranded_when_the_store_fails_now_and_then(lanes: int) -> None:
    for seed in range(4):
        store = Doubler(seed, failing=0.2)
        combiner: Combiner[int, int] = Combiner(store.apply, lanes, 8)
        answered: list[int] = []
        together(
            [partial(ask_again_and_again, combiner, 1000 * i, 40, answered) for i in range(16)]
        )
        assert 0 < len(answered) < 16 * 40
        assert store.under_way_max <= lanes
        all_lanes_can_be_taken(combiner, store, lanes)


def test_what_comes_while_all_lanes_are_busy_goes_in_one_batch() -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, 1, 8)
    store.open = False
    first = Background(partial(combiner.submit, 100))

    def under_way() -> bool:
        return store.under_way == 1

    eventually(under_way)
    rest = []
    for number in range(5):
        rest.append(Background(partial(combiner.submit, number)))
        sleep(0.01)
    store.open = True
    assert first.result() == 200
    assert [each.result() for each in rest] == [0, 2, 4, 6, 8]
    assert store.batches == [[100], [0, 1, 2, 3, 4]]


def test_a_failure_reaches_everyone_in_the_batch_and_nobody_else() -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, 1, 3)
    store.open = False
    first = Background(partial(combiner.submit, 100))
    sleep(0.02)
    rest = []
    for number in (1, -2, 3, 4, 5):
        rest.append(Background(partial(combiner.submit, number)))
        sleep(0.01)
    store.open = True
    assert first.result() == 200
    for each in rest[:3]:
        with pytest.raises(BackendUnavailable, match=r"1, -2, 3"):
            each.result()
    assert [each.result() for each in rest[3:]] == [8, 10]
    assert store.batches == [[100], [1, -2, 3], [4, 5]]


def test_items_that_are_asked_together_travel_together() -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, 2, 4)

    def ask(first: int, number: int) -> None:
        items = list(range(first, first + number))
        assert combiner.submit_many(items) == [2 * item for item in items]

    # Six do not fit into a batch of four: they go alone, and still together.
    together([partial(ask, 100 * i, 1 + i % 6) for i in range(1, 40)])
    for i in range(1, 40):
        items = list(range(100 * i, 100 * i + 1 + i % 6))
        [batch] = [batch for batch in store.batches if items[0] in batch]
        assert [item for item in batch if item in items] == items
        assert len(batch) <= 4 or batch == items


def test_what_is_deferred_goes_with_the_next_batch() -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, 1, 4)
    for number in range(5):
        combiner.defer(number)
    assert store.batches == []
    assert combiner.submit_many([100, 101]) == [200, 202]
    assert store.batches == [[100, 101, 0, 1]]


def test_flush_carries_all_that_was_deferred() -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, 1, 4)
    for number in range(10):
        combiner.defer(number)
    combiner.flush()
    assert sorted(item for batch in store.batches for item in batch) == list(range(10))
    assert max(len(batch) for batch in store.batches) <= 4
    carried = len(store.batches)
    combiner.flush()
    assert len(store.batches) == carried


def test_what_is_deferred_survives_a_batch_that_failed() -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, 1, 8)
    combiner.defer(1)
    combiner.defer(2)
    with pytest.raises(BackendUnavailable):
        combiner.submit(-1)
    assert store.batches == [[-1, 1, 2]]
    combiner.flush()
    assert sorted(store.batches[1]) == [1, 2]


def test_drain_waits_for_what_is_under_way() -> None:
    store = Doubler()
    combiner: Combiner[int, int] = Combiner(store.apply, 1, 4)
    asking = [Background(partial(combiner.submit, number)) for number in range(10)]
    for each in asking:
        each.result()
    combiner.drain()
    assert store.under_way == 0
