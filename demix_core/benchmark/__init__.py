"""What `bench NAME` runs: measurements with their conditions, as records that can be kept."""
