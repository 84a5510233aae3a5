"""How well edited copies of videos are found, what is taken for a copy and is none, and what hashing costs."""
