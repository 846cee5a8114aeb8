"""What a modality brings: how its files become a Dataset, and how its rows become numbers."""
