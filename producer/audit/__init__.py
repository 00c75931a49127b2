"""The audit: it proves that every request has its results, each once and in order."""
