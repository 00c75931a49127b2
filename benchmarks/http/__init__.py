"""The HTTP server with the service, against the design that they replace: a model in the request."""
