"""What training and scoring agree on: names, order, types and values. Pure, and imports neither side."""
