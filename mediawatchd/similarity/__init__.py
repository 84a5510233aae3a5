"""Near-duplicate videos and exact copies: scores, candidates, groups, and which copy to keep.

Everything here works on values that are handed in and knows neither the catalog nor a thread. numpy is imported by
these modules and by nothing that the daemon loads at its start.
"""
