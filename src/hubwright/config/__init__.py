"""hub.yaml: the model, reading it, and what is generated from the model."""
