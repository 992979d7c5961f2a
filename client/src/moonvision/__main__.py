"""`python -m moonvision`: the same as `moonvision`."""

import sys

from moonvision.command import main

if __name__ == "__main__":
    sys.exit(main())
