"""Scripts that `bench map` starts: the screen's parts on synthetic data, with their times on the page."""
