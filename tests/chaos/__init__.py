"""``make chaos``: processes die, brokers fall silent, and every image is answered once, in order."""
