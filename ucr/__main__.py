"""`python -m ucr` is `ucr`."""

from ucr.program.cli import main

main()
