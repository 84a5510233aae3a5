"""The bounded work queue, the workers that empty it, and jobs."""
