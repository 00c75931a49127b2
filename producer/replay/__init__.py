"""Dead letters: reads them, selects some, and sends these again as requests."""
