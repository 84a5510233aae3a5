"""The catalog: the only package that speaks SQL."""
