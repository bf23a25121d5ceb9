"""Ports are never shared: not with other labs, not with outgoing connections, not within a run."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from task_lab.errors import PortInUse
from task_lab.runtime.ports import LOOPBACK, PortPool, is_free, outgoing_range_start


@pytest.fixture
def pool() -> Iterator[PortPool]:
    pool = PortPool()
    yield pool
    pool.close()


def test_a_pool_hands_out_no_port_twice(pool: PortPool) -> None:
    ports = [pool.take() for _ in range(200)]
    assert len(set(ports)) == 200


def test_ports_stay_clear_of_those_of_outgoing_connections(pool: PortPool) -> None:
    assert all(20000 <= pool.take() < outgoing_range_start() for _ in range(50))


def test_a_port_of_one_pool_is_refused_to_another_until_closed(pool: PortPool) -> None:
    port = pool.take()
    other = PortPool({"api": port})
    with pytest.raises(PortInUse):
        other.port_for("api")
    pool.close()
    assert other.port_for("api") == port
    other.close()


def test_a_fixed_port_that_something_listens_on_is_an_error_that_names_both() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        pool = PortPool({"postgres": port})
        with pytest.raises(PortInUse) as caught:
            pool.port_for("postgres")
    assert (caught.value.port, caught.value.needed_by) == (port, "postgres")
    assert str(port) in str(caught.value)
    assert caught.value.exit_code == 70


def test_a_name_without_a_fixed_port_gets_a_free_one() -> None:
    pool = PortPool({"postgres": 1})
    assert is_free(pool.port_for("api"))
    pool.close()
