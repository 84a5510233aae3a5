"""Media files, damaged at random, through the real daemon: `make fuzz`."""
