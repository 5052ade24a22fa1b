"""The service as systemd's units: what they are, who writes them, and what looks after them while they run."""
