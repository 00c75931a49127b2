"""From labelled digits to a model folder."""
