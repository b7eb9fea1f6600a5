"""How lots are drawn and results are hashed, proposed and judged: the rules that a receipt lets anyone recompute."""
