"""The handout: one HTML page about a finished run, to send to a colleague. Works offline, nothing is fetched."""
