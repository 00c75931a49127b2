"""Files to records, and the results that come back for them."""
