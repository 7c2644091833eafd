"""`python -m lstm_engine` is the program `lstm-engine`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
