import psutil


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line. Empty if it has ended since it was found, as PostgreSQL's short-lived processes do."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # also a zombie
        return []
