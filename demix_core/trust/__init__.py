"""How far a threshold can be trusted: shares of right suggestions, with intervals, from what people decided."""
