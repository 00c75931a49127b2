"""``python -m broker`` is ``digit-broker``."""

from broker.cli import main

main()
