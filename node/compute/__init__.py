"""The compute role: bids on what it can run, runs what it is given, hands over what won."""
