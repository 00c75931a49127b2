"""What stands between a digit and its canvas in particular scenes; a plain page leaves each step at its first test."""
