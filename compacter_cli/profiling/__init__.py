"""What each method costs: measured step by step, each in a process of its own."""
