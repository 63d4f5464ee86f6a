"""`python -m hookflash` is the command line."""

from hookflash.cli import main

main()
