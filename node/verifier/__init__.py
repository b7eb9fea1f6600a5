"""How results are hashed, proposed and judged."""
