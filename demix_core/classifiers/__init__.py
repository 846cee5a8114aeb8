"""The data error classifier (DEC): from tokens and side features of a row to the probabilities of its error types."""
