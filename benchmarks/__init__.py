"""Measures the figures of the README, and the simple program that they are compared with."""
