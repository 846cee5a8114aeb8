"""Task models: what is trained on the person's table, one file per kind, found by discovery."""
