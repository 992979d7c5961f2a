"""Keeps results in Redis for a while, up to a size, and lets equal requests at the same moment share one calculation.

- `store.find`, `store.put`: a result by its key.
- `store.wish`, `store.wishes`: under which key the result of a row of the queue is to be kept.
- `Flights.join`: one calculation per key at a time.

It knows neither images nor models: keys and values are opaque.
"""
