"""One file per page; each gets the state, guards, calls services and draws."""
