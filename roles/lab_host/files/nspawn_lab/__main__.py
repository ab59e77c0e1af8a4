"""`python3 -m nspawn_lab`."""

import sys

from nspawn_lab.cli import main

sys.exit(main(sys.argv[1:]))
