"""Digits of other hands than MNIST's: scans and pen tracks from a folder, and strokes drawn by program."""
