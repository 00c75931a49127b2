"""Dead letters: listed, selected, sent again."""
