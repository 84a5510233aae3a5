"""Disk to facts: hints, walks, roots and their file systems."""
