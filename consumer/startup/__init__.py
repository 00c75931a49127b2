"""What is checked before the first record is fetched."""
