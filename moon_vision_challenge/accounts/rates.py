"""Rates in the notation of the settings: `32/s`, or several that all apply: `32/s,5000/h`."""

import re
from typing import NamedTuple

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE = re.compile(r"\s*([0-9]+)\s*/\s*([0-9]*)\s*([smhd])[a-z]*\s*", re.ASCII)


class Rate(NamedTuple):
    """A bucket that holds `quota` units and takes `window_s` to fill up."""

    quota: int
    window_s: int


def parse_rates(text: str) -> tuple[Rate, ...]:
    """Parse `COUNT/PERIOD[,COUNT/PERIOD...]`. A period is s, m, h, or d, or a multiple such as 10s. Empty: no limit.

    Raises ValueError.
    """
    return tuple(_parse(part) for part in text.split(",")) if text.strip() else ()


class CallerRates(NamedTuple):
    """The rates of a token and its owner. They override the settings, which apply where a rate is empty."""

    token: tuple[Rate, ...] = ()
    owner: tuple[Rate, ...] = ()
    owner_images: tuple[Rate, ...] = ()
    owner_bytes: tuple[Rate, ...] = ()


NO_RATES = CallerRates()


def _parse(text: str) -> Rate:
    found = _RATE.fullmatch(text)
    quota, count, unit = (int(found[1]), int(found[2] or 1), found[3]) if found else (0, 0, "s")
    if not quota or not count:
        raise ValueError(
            f"{text.strip()!r} is not a rate. Write COUNT/PERIOD, as in 32/s, 100/10s, 5000/h, or 20000/d."
        )
    return Rate(quota, count * _UNITS_S[unit])
