"""TIFF files: their directories are walked before a pixel is decoded."""
