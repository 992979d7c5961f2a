"""Reports which promises a run kept."""

from collections.abc import Mapping


def report(promises: Mapping[str, bool]) -> int:
    """Print the promises, and return the exit code."""
    print()
    for what, holds in promises.items():
        print(f"{'passed' if holds else 'FAILED'}  {what}")
    failed = sum(not holds for holds in promises.values())
    print(f"\n{len(promises) - failed} passed, {failed} failed")
    return 1 if failed else 0
