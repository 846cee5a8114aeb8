"""What repairs do to the model: train before and after, several seeds, the same measure; and the measure checked."""
