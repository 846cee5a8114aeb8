"""`python -m demix_core …`: the command line."""

import sys

from demix_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
