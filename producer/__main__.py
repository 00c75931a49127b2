"""``python -m producer`` is ``digit-producer``."""

from producer.cli import main

main()
