"""Disagreements of two models: reads their topic, and writes pictures and answers into a folder."""
