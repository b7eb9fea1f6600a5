"""Where inputs come from: one interface, one file per source."""
