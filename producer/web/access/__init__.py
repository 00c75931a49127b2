"""Who may send requests: API keys, bearer tokens, scopes, and how many requests a client may send."""
