"""Who may use what: sizes, images and reserves, decided in one pure place that every engine obeys."""
