"""`python -m lab_boxes`: see vagrant/boxes/build."""

import sys

from lab_boxes.cli import main

sys.exit(main(sys.argv[1:]))
