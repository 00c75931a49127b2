"""Record batches as they travel: what their headers say, and how fetched bytes are cut into batches."""
