"""The master of a Redis with Sentinels is killed, or hangs, while clients send requests."""

import tempfile
import time
from pathlib import Path

import requests
from redis.exceptions import RedisError

from chaos.machines.redis_group import RedisGroup, redis_group
from chaos.machines.stage import Load, seconds_until, staged, start_clients, url_of
from moon_vision_challenge.redis_clients import connect
from native.services import Services

SECONDS = 40
AT_S = 5.0


def run() -> dict[str, bool]:
    promises: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as folder, redis_group(Path(folder)) as group:
        env = {"REDIS_URL": group.url}
        with staged("redis", env, without=["redis"]) as services:
            start_clients(services)
            for how in ("killed", "hangs"):
                kept = _lose_the_master(services, group, how)
                promises |= {f"master {how}: {what}": holds for what, holds in kept.items()}
    return promises


def _lose_the_master(services: Services, group: RedisGroup, how: str) -> dict[str, bool]:
    seconds_until(lambda: _has_redis(services))
    load = Load(services, SECONDS)
    time.sleep(AT_S)  # under load, before the failure
    old = group.kill_master() if how == "killed" else group.hang_master()
    elected_s = seconds_until(lambda: group.has_failed_over(old))
    used_s = elected_s + seconds_until(lambda: _takes_writes(group))
    noticed_s = used_s + seconds_until(lambda: _has_redis(services))
    limited_s = noticed_s + seconds_until(lambda: _is_limited(services))
    print(
        f"\nmaster {how}: the Sentinels name another after {elected_s:.1f} s, a new client writes after {used_s:.1f} s,"
        f" /status says that Redis accepts writes after {noticed_s:.1f} s, requests are counted after {limited_s:.1f} s"
    )
    kept = load.finish()
    if how == "killed":
        group.revive(old)
    else:
        group.resume(old)
    return kept


def _takes_writes(group: RedisGroup) -> bool:
    try:
        with connect(group.url, timeout_s=1) as client:
            return bool(client.set("takes-writes", 1))
    except RedisError:
        return False


def _is_limited(services: Services) -> bool:
    """Return whether the web processes count requests. Without Redis, they let them pass."""
    answers = (requests.get(f"{url_of(services)}/api/v1/history/", timeout=30) for _ in range(8))
    return all("RateLimit" in answer.headers for answer in answers)


def _has_redis(services: Services) -> bool:
    return "redis" not in requests.get(f"{url_of(services)}/status", timeout=30).json()["missing"]
