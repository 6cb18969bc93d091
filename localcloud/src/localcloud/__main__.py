"""`python -m localcloud`: run the command line."""

import sys

from localcloud.commandline.main import main

if __name__ == "__main__":
    sys.exit(main())
