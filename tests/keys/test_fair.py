"""Fair turns: no source waits for another's crowd, and no crowd keeps a source out."""

import random
from collections import Counter

from monitor.keys.fair import FairQueue

BUSY, CALM = b"\x0a\0\0\1", b"\x0a\0\0\2"


def served(queue: FairQueue) -> list[int]:
    """The numbers in the order of service."""
    order = []
    while (packet := queue.peek()) is not None:
        queue.begin()
        order.append(int(packet))
        queue.end(order[-1])
    return order


def put(queue: FairQueue, source: bytes, *numbers: int) -> list[int | None]:
    return [queue.put(source, number, str(number).encode()) for number in numbers]


def test_sources_take_turns() -> None:
    queue = FairQueue(100, 50)
    put(queue, BUSY, *range(5))
    put(queue, CALM, 10, 11)
    assert served(queue) == [0, 10, 1, 11, 2, 3, 4]
    assert len(queue) == 0


def test_a_source_has_a_limit_that_counts_what_is_under_way() -> None:
    queue = FairQueue(100, 2)
    assert put(queue, BUSY, 1, 2, 3) == [None, None, 3]
    queue.begin()
    assert put(queue, BUSY, 4) == [4]
    queue.end(1)
    assert put(queue, BUSY, 5) == [None]
    assert put(queue, CALM, 6) == [None]


def test_a_host_of_many_ipv6_addresses_is_one_source() -> None:
    queue = FairQueue(100, 2)
    network = bytes.fromhex("20010db800000001")
    taken = [queue.put(network + bytes((number,)) * 8, number, b"") for number in range(5)]
    assert taken == [None, None, 2, 3, 4]


def test_a_full_queue_makes_room_for_who_has_less() -> None:
    queue = FairQueue(8, 4)
    for source in range(2):
        put(queue, bytes((source,)) * 4, *range(source * 10, source * 10 + 4))
    assert put(queue, CALM, 99) == [3]
    assert put(queue, CALM, 98) == [13]
    assert put(queue, BUSY, 97) == [2]
    assert len(queue) == 8
    assert {97, 98, 99} <= set(served(queue))


def test_a_full_queue_of_equals_refuses() -> None:
    queue = FairQueue(4, 4)
    for source in range(4):
        put(queue, bytes((source,)) * 4, source)
    assert put(queue, CALM, 9) == [9]
    queue = FairQueue(1, 1)
    put(queue, BUSY, 1)
    queue.begin()
    assert put(queue, CALM, 2) == [2]


def test_clear_gives_all_that_is_pending() -> None:
    queue = FairQueue(8, 4)
    put(queue, BUSY, 1, 2)
    put(queue, CALM, 3)
    queue.begin()
    assert sorted(queue.clear()) == [1, 2, 3]
    assert (len(queue), queue.peek()) == (0, None)
    assert put(queue, BUSY, 4, 5, 6, 7) == [None] * 4


def test_no_request_is_lost_or_served_twice() -> None:
    chance, queue = random.Random(7), FairQueue(20, 6)
    refused: set[int] = set()
    taken: list[int] = []
    under_way: list[int] = []
    for number in range(2000):
        source = bytes((chance.choice((1, 1, 1, 1, 2, 2, 3, 4, 5)),)) * 4
        if (gone := queue.put(source, number, str(number).encode())) is not None:
            refused.add(gone)
        if chance.random() < 0.5 and (packet := queue.peek()) is not None:
            queue.begin()
            under_way.append(int(packet))
            taken.append(int(packet))
        if chance.random() < 0.5 and under_way:
            queue.end(under_way.pop(chance.randrange(len(under_way))))
        assert len(queue) <= 20
    for number in under_way:
        queue.end(number)
    taken += served(queue)
    assert sorted([*taken, *refused]) == list(range(2000))


def test_who_makes_room_has_most_waiting() -> None:
    chance, queue = random.Random(11), FairQueue(40, 30)
    waiting: dict[int, bytes] = {}
    for number in range(3000):
        source = bytes((min(9, int(chance.expovariate(0.4))),)) * 4
        counts = Counter(waiting.values())
        gone = queue.put(source, number, str(number).encode())
        if gone is not None and gone != number:
            assert counts[waiting.pop(gone)] == max(counts.values()) > counts[source] + 1
        if gone != number:
            waiting[number] = source
        if chance.random() < 0.2 and (packet := queue.peek()) is not None:
            queue.begin()
            del waiting[int(packet)]
            queue.end(int(packet))
        if chance.random() < 0.002:
            assert sorted(queue.clear()) == sorted(waiting)
            waiting.clear()
