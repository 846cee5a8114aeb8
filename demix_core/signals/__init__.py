"""What can be said of a row without influence: its label out of fold, its cells, the shortcuts it goes against."""
