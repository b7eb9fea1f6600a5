"""The command line: speaks HTTP to a node, prints for people and for programs."""
