"""Keeps results in Redis, with limits of age and size, and lets equal concurrent requests share one calculation.

- `store.find`, `store.put`: find or keep a result by its key.
- `store.wish`, `store.wishes`: write or read the key under which the result of a queue row is to be kept.
- `Flights.join`: one calculation per key at a time.

It knows neither images nor models: keys and values are opaque.
"""
