-- What videos look like, and which of them look alike.

-- Bits as in `lacks`: what a phash job or hashing.phash waits for. Asked again by force, it may be known already.
ALTER TABLE media_files ADD COLUMN wanted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX media_files_wanted ON media_files (priority, due_ns)
    WHERE wanted <> 0 AND lacks & 3 = 0 AND missing_since IS NULL AND NOT hidden;

DROP VIEW contributions;
CREATE VIEW contributions AS SELECT
    f.id,
    f.directory_id,
    d.root_id,
    f.missing_since IS NULL AS files,
    iif(f.missing_since IS NULL, f.size, 0) AS bytes,
    f.missing_since IS NULL AND f.media_type <> 'audio' AS videos,
    f.missing_since IS NULL AND f.media_type = 'audio' AS audio,
    f.missing_since IS NULL AND f.quick_hash IS NOT NULL AS quick_hashed,
    f.missing_since IS NULL AND f.lacks & 1 = 1 AS pending_quick_hash,
    f.missing_since IS NULL AND f.lacks & 2 = 2 AS pending_probe,
    -- with a finished attempt at either kind of perceptual hash, whatever it found
    f.missing_since IS NULL AND (f.video_phash IS NOT NULL OR
        f.media_type <> 'audio' AND f.lacks & 8 = 0 AND coalesce(f.problem_lacks, 0) & 8 = 0) AS phashed,
    f.missing_since IS NULL AND f.wanted <> 0 AS pending_phash,
    f.missing_since IS NULL AND f.problem IS NOT NULL AS problems,
    f.missing_since IS NULL AND f.absent_ns IS NOT NULL AS absent,
    f.missing_since IS NULL AND f.held AS held,
    f.missing_since IS NOT NULL AS missing
FROM media_files AS f
JOIN directories AS d ON d.id = f.directory_id
WHERE NOT f.hidden;
UPDATE totals SET pending_phash = 0;

-- One row a video with a finished attempt at its stamp; "none" is a finished result too. While the file has a
-- former_quick_hash it may be another one: neither its fingerprint nor its pairs count then.
CREATE TABLE fingerprints (
    file_id INTEGER PRIMARY KEY REFERENCES media_files (id) ON DELETE CASCADE,
    hashed_at REAL NOT NULL,                            -- Unix seconds; as exact as the start of a job
    fingerprint BLOB,                                   -- see hashing/fingerprint.py
    matched INTEGER NOT NULL DEFAULT 0                  -- the version of the score by which it was compared with all others
) STRICT;
-- For counting, without the pages of the fingerprints themselves.
CREATE INDEX fingerprints_hashed ON fingerprints (file_id, hashed_at);
CREATE INDEX fingerprints_matched ON fingerprints (matched, file_id) WHERE fingerprint IS NOT NULL;

CREATE TABLE similar_pairs (
    a_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    b_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    verdict TEXT NOT NULL CHECK (verdict IN ('duplicate', 'probable', 'contained')),
    distance REAL NOT NULL,
    matched_frames INTEGER NOT NULL,
    offset_seconds REAL NOT NULL,                       -- where the first moment of a lies on the clock of b
    mirrored INTEGER NOT NULL,
    cropped INTEGER NOT NULL,
    b_is_part INTEGER NOT NULL,                         -- of what is contained: b is, in a
    smaller_bytes INTEGER NOT NULL,                     -- the size of the smaller file, by which pairs are listed
    PRIMARY KEY (a_id, b_id),
    CHECK (a_id < b_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX similar_pairs_b ON similar_pairs (b_id);
CREATE INDEX similar_pairs_size ON similar_pairs (smaller_bytes, a_id, b_id);

CREATE TABLE dismissed_pairs (  -- a person's "not a duplicate"
    a_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    b_id INTEGER NOT NULL REFERENCES media_files (id) ON DELETE CASCADE,
    dismissed_at INTEGER NOT NULL,                      -- Unix seconds
    PRIMARY KEY (a_id, b_id),
    CHECK (a_id < b_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX dismissed_pairs_b ON dismissed_pairs (b_id);

-- Files that were compared byte for byte with all others of their size and quick hash. Within these, equal numbers mean
-- equal bytes and others do not; it holds for as long as the stamp is the one that the file was read under.
CREATE TABLE compared_files (
    file_id INTEGER PRIMARY KEY REFERENCES media_files (id) ON DELETE CASCADE,
    content INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER,
    inode INTEGER
) STRICT;
