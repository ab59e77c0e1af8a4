"""What an operator does with a site: back it up, restore it, follow it, measure it, ask how it is."""
