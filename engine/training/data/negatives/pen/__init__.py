"""Pictures without a digit that a pen writes: characters, signs of a few strokes, scribbles."""
