"""Influence vectors: what each training row does to each validation row, by exact factored products."""
