"""`python -m moonvision`: the same as `moonvision`."""

from moonvision.command import run

if __name__ == "__main__":
    run()
