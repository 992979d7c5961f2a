import logging
from pathlib import Path

import pytest
from pytest_django import Settings

from moon_vision_challenge.web.gateway_watch import ENOUGH_REQUESTS, GatewayWatch

ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010014AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t000013AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""
IPV6_ROUTE = f"{0:032x} 00 {0:032x} 00 fd6d6f6f6e7600000000000000000001 00000400 00000001 00000000 00000003 eth0\n"
GATEWAY, IPV6_GATEWAY, CLIENT = "172.20.0.1", "fd6d:6f6f:6e76::/64", "192.0.2.7"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "route").write_text(ROUTE)
    (tmp_path / "ipv6_route").write_text(IPV6_ROUTE)
    return tmp_path


@pytest.fixture(autouse=True)
def behind_a_proxy(settings: Settings) -> None:
    settings.NUM_PROXIES = 1


@pytest.mark.parametrize("gateway", [GATEWAY, IPV6_GATEWAY])
def test_many_requests_from_the_gateway_are_reported_once(
    folder: Path, gateway: str, caplog: pytest.LogCaptureFixture
) -> None:
    watch = GatewayWatch(folder)
    for _ in range(ENOUGH_REQUESTS - 1):
        watch.note(gateway)
    assert not caplog.records
    for _ in range(2 * ENOUGH_REQUESTS):
        watch.note(gateway)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert gateway in record.getMessage()


def test_other_clients_are_not_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = GatewayWatch(folder)
    for _ in range(ENOUGH_REQUESTS + 1):
        watch.note(CLIENT)
        watch.note("")
    assert not caplog.records


def test_without_a_proxy_the_gateway_is_a_client_like_any_other(
    folder: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.NUM_PROXIES = 0
    watch = GatewayWatch(folder)
    for _ in range(ENOUGH_REQUESTS + 1):
        watch.note(GATEWAY)
    assert not caplog.records


def test_a_kernel_without_these_files_has_no_gateway(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = GatewayWatch(tmp_path)
    for _ in range(ENOUGH_REQUESTS + 1):
        watch.note(GATEWAY)
    assert not caplog.records


def test_a_kernel_without_ipv6_still_has_its_ipv4_gateway(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "ipv6_route").unlink()
    watch = GatewayWatch(folder)
    for _ in range(ENOUGH_REQUESTS):
        watch.note(GATEWAY)
    assert len(caplog.records) == 1
