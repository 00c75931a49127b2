"""`python -m engine` is `digit-engine`."""

from engine.cli import main

main()
