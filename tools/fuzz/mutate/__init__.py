"""Changes to inputs that know their format, so that what comes out gets past the first check of a reader."""
