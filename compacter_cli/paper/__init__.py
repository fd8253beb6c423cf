"""What is compared with: the paper's figures, exact counts, the demo's measured scores."""
