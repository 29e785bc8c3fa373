"""What a musician or researcher does with the method: the functions behind the program `ucr`."""
