"""Influence as a view: which groups of training rows help or harm which slices of the validation rows."""
