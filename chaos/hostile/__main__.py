"""`python -m chaos.hostile`: see runner.py."""

import sys

from chaos.hostile.runner import main

if __name__ == "__main__":
    sys.exit(main())
