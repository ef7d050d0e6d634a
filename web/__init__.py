"""The HTTP API and, later, the pages."""
