"""Lines that are not part of the writing: found, distinguished from the strokes of a digit, and erased."""
