import statistics
from collections.abc import Mapping, Sequence


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the rounds' ratios, because a disturbance of the machine affects both sides of a round."""
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def rates_table(rates: Mapping[str, Sequence[float]]) -> str:
    """Return a table of the median images per second of each contestant, and the ratio of the first one to each."""
    first = next(iter(rates.values()))
    rows = [
        [name, f"{statistics.median(each):.0f}", f"{median_ratio(first, each):.2f}"] for name, each in rates.items()
    ]
    return table(["", "images/s", "the first row to this"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return an aligned Markdown table, with numbers on the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return f"| {first[0]:<{first[1]}} | " + " | ".join(f"{cell:>{width}}" for cell, width in others) + " |"

    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    return "\n".join([line(head), rule, *map(line, rows)])
