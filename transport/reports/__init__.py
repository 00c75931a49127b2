"""Reports of unexpected errors and fatal ends, to Sentry; off by default."""
