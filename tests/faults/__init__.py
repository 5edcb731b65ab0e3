"""What was tried to make the package answer wrongly, and what it did."""
