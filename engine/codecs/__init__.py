"""Encoded bytes to pixels: formats, archives and decoders, each within the limits."""
