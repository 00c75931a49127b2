"""Compares what the engine decodes with what Pillow and libheif decode, over any folder of image files.

compare   one file: do both show the same picture?
__main__  ``python -m tests.agreement FOLDER…``: all files, a line for each that is not equal, and the counts

The sample files of image libraries are good folders: they hold what encoders have written in thirty years.
"""
