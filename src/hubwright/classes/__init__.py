"""Classes: who is in one, who teaches it, and when it meets."""
