"""`python -m hfgen` is the command `hfgen`."""

import sys

from hfgen._cli import main

sys.exit(main())
