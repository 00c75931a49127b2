"""Headers of untrusted image files: read and held against the limits before a pixel is decoded."""
