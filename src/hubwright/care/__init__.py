"""Keeping the service well: starting its parts, watching them, stopping them."""
