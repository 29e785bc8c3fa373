"""`python -m ucr` is `ucr`."""

from ucr.cli import main

main()
