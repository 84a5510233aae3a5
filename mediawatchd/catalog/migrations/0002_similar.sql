-- What videos look like, and which of them look alike.

CREATE TABLE fingerprints (  -- one row a video with a finished attempt at its stamp; "none" is a finished result too
    file_id INTEGER PRIMARY KEY REFERENCES media_files (id) ON DELETE CASCADE,
    hashed_at INTEGER NOT NULL,                         -- Unix seconds
    fingerprint BLOB,                                   -- see hashing/fingerprint.py
    matched INTEGER NOT NULL DEFAULT 0                  -- compared with those that were there before it
) STRICT;
CREATE INDEX fingerprints_unmatched ON fingerprints (file_id) WHERE fingerprint IS NOT NULL AND NOT matched;

CREATE TABLE similar_pairs (
    a_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    b_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    verdict TEXT NOT NULL CHECK (verdict IN ('duplicate', 'probable', 'contained')),
    distance REAL NOT NULL,
    matched_frames INTEGER NOT NULL,
    offset_seconds REAL NOT NULL,                       -- time in the longer one = time in the shorter one + offset
    mirrored INTEGER NOT NULL,
    cropped INTEGER NOT NULL,
    PRIMARY KEY (a_id, b_id),
    CHECK (a_id < b_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX similar_pairs_b ON similar_pairs (b_id);

CREATE TABLE dismissed_pairs (  -- a person's "not a duplicate"
    a_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    b_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    dismissed_at INTEGER NOT NULL,                      -- Unix seconds
    PRIMARY KEY (a_id, b_id),
    CHECK (a_id < b_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX dismissed_pairs_b ON dismissed_pairs (b_id);
