"""``make chaos``: processes and brokers die or hang, and every image is answered once, in order."""
