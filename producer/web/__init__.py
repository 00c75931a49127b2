"""The HTTP front door: requests come in over HTTP, become records, and their results go back as answers."""
