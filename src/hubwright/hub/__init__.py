"""JupyterHub, as Hubwright sets it up."""
