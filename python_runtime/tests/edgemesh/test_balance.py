"""Which endpoint a client gets."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from edgelab.edgemesh.proxy import balance
from edgelab.edgemesh.proxy.balance import Balancer
from edgelab.edgemesh.table import RANDOM, ROUND_ROBIN, SOURCE_IP, Endpoint, ServicePort

NEAR = (Endpoint("10.0.0.2", 80, "edge1"), Endpoint("10.0.0.3", 80, "edge1"))
FAR = (Endpoint("10.0.1.2", 80, "edge2"), Endpoint("10.0.1.3", 80, "edge3"))
UNKNOWN = Endpoint("192.0.2.7", 80, "")


class Time:
    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> dt.datetime:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def balancer(clock: Time) -> Balancer:
    return Balancer("edge1", clock)


def port(*endpoints: Endpoint, affinity: int = 0, policy: str = ROUND_ROBIN) -> ServicePort:
    return ServicePort(
        "default", "web", "http", "TCP", 80, ("10.96.0.10",), tuple(endpoints), affinity, policy
    )


def firsts(balancer: Balancer, where: ServicePort, count: int = 12, client: str = "c") -> list[Endpoint]:
    return [balancer.order(where, client)[0] for _ in range(count)]


def test_endpoints_of_this_node_come_first_and_the_others_are_kept_for_later(balancer: Balancer) -> None:
    where = port(*FAR, *NEAR)
    assert Counter(firsts(balancer, where)) == {NEAR[0]: 6, NEAR[1]: 6}
    assert set(balancer.order(where, "c")[2:]) == set(FAR)


def test_one_that_is_nowhere_in_particular_counts_as_near(balancer: Balancer) -> None:
    assert balancer.order(port(*FAR, UNKNOWN), "c")[0] == UNKNOWN


def test_far_ones_take_turns_too(balancer: Balancer) -> None:
    assert Counter(firsts(balancer, port(*FAR))) == {FAR[0]: 6, FAR[1]: 6}


def test_random_takes_all_of_them_and_not_in_turn(balancer: Balancer) -> None:
    found = firsts(balancer, port(*NEAR, policy=RANDOM), 400)
    assert 100 < found.count(NEAR[0]) < 300
    assert found[::2] != [found[0]] * 200


def test_by_the_clients_address_a_client_stays_and_clients_spread(balancer: Balancer) -> None:
    where = port(*NEAR, policy=SOURCE_IP)
    clients = [f"10.9.0.{number}" for number in range(100)]
    chosen = {client: balancer.order(where, client)[0] for client in clients}
    assert all(balancer.order(where, client)[0] == chosen[client] for client in clients)
    assert 20 < Counter(chosen.values())[NEAR[0]] < 80


def test_affinity_keeps_a_client_with_what_worked_until_its_time_is_over(
    balancer: Balancer, clock: Time
) -> None:
    where = port(*NEAR, affinity=60)
    balancer.worked(where, "c", NEAR[1])
    assert set(firsts(balancer, where)) == {NEAR[1]}
    assert len(set(firsts(balancer, where, client="d"))) == 2
    clock.seconds += 61
    assert len(set(firsts(balancer, where))) == 2


def test_affinity_to_an_endpoint_that_is_gone_or_aside_ends(balancer: Balancer) -> None:
    where = port(*NEAR, affinity=60)
    balancer.worked(where, "c", NEAR[1])
    assert balancer.order(port(NEAR[0], affinity=60), "c") == [NEAR[0]]
    balancer.failed(NEAR[1])
    assert set(firsts(balancer, where)) == {NEAR[0]}


def test_what_failed_is_set_aside_even_for_a_far_one_and_longer_each_time(
    balancer: Balancer, clock: Time
) -> None:
    where = port(NEAR[0], FAR[0])
    balancer.failed(NEAR[0])
    assert balancer.order(where, "c") == [FAR[0], NEAR[0]]
    clock.seconds += 1.1
    assert balancer.order(where, "c")[0] == NEAR[0]
    balancer.failed(NEAR[0])
    clock.seconds += 1.1
    assert balancer.order(where, "c")[0] == FAR[0]
    for _ in range(20):
        balancer.failed(NEAR[0])
    clock.seconds += balance.LONGEST_ASIDE - 1
    assert balancer.order(where, "c")[0] == FAR[0]
    clock.seconds += 2
    assert balancer.order(where, "c")[0] == NEAR[0]
    balancer.worked(where, "c", NEAR[0])
    balancer.failed(NEAR[0])
    clock.seconds += 1.1
    assert balancer.order(where, "c")[0] == NEAR[0], "what worked begins anew"


def test_when_all_are_aside_they_are_tried_all_the_same(balancer: Balancer) -> None:
    for endpoint in NEAR:
        balancer.failed(endpoint)
    assert set(balancer.order(port(*NEAR), "c")) == set(NEAR)


def test_clients_are_bounded_and_what_is_gone_is_forgotten(
    balancer: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance, "MOST_CLIENTS", 10)
    where = port(*NEAR, affinity=60)
    for number in range(50):
        balancer.worked(where, f"c{number}", NEAR[0])
    assert len(balancer._clients) == 10
    balancer.failed(NEAR[1])
    balancer.order(where, "c")
    balancer.keep([])
    assert not balancer._clients
    assert not balancer._aside
    assert not balancer._turns
