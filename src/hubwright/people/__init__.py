"""Who may use the service: Unix accounts, homes, and the helper that asks PAM."""
