"""The roster brought into step with the machine and the hub: what would change, and doing it."""
