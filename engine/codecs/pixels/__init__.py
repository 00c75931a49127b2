"""Pixels out of image files whose headers are checked, for each format by one decoder."""
