"""Authentication and encryption: TLS, SASL, tokens, secrets in files."""
