"""The contract of a separation method and how methods are found by name."""
