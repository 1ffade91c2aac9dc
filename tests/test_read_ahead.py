"""What is read ahead comes in order, as it would come without, and not all at once."""

import threading

import pytest

from comsl.read_ahead import AHEAD, read_ahead


def test_in_order_and_no_more_than_a_few_ahead():
    lock, begun = threading.Lock(), []

    def read(batch: int) -> int:
        with lock:
            begun.append(batch)
        return batch * batch

    for number, (batch, inputs) in enumerate(read_ahead(read, range(40))):
        assert (batch, inputs) == (number, number**2)
        assert len(begun) <= number + AHEAD + 1
    assert sorted(begun) == list(range(40))
    assert list(read_ahead(read, [])) == []


def test_an_error_comes_where_its_batch_is_due():
    def read(batch: int) -> float:
        return 1 / batch

    batches = read_ahead(read, [2, 1, 0, 4])
    assert [next(batches), next(batches)] == [(2, 0.5), (1, 1.0)]
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_whoever_stops_early_leaves_nothing_running():
    before = threading.active_count()
    batches = read_ahead(str, range(100))
    next(batches)
    batches.close()
    assert threading.active_count() == before
