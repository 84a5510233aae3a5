-- The catalog. Names and paths are BLOBs, stored once; a directory's path ends with a slash, so "below" is a byte range.
-- Columns ending in _ns without "time" are catalog time (see the glossary in model.py); those ending in _since, _at
-- or _seen are Unix seconds.

CREATE TABLE state (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

CREATE TABLE filesystems (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL
) STRICT;

CREATE TABLE roots (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    configured INTEGER NOT NULL DEFAULT 1,
    filesystem_id INTEGER REFERENCES filesystems (id),  -- what a person or the first walk accepted here
    online_ns INTEGER NOT NULL DEFAULT 0,               -- how long it has been online, for the purge
    walks INTEGER NOT NULL DEFAULT 0,                   -- complete walks of the whole root
    last_reconcile INTEGER                              -- Unix seconds at which the last of them ended
) STRICT;

CREATE TABLE directories (
    id INTEGER PRIMARY KEY,
    parent_id INTEGER REFERENCES directories (id),
    root_id INTEGER REFERENCES roots (id),              -- NULL: below no root that ever was
    path BLOB NOT NULL,
    path_is_text INTEGER NOT NULL,
    filesystem_id INTEGER REFERENCES filesystems (id),
    inode INTEGER,
    fact_ns INTEGER NOT NULL DEFAULT 0,
    absent_ns INTEGER,                                  -- first seen absent; still to be confirmed
    gone INTEGER NOT NULL DEFAULT 0                     -- remembered for the missing files in it
) STRICT;
CREATE UNIQUE INDEX directories_present ON directories (path) WHERE NOT gone;
CREATE INDEX directories_gone ON directories (path) WHERE gone;
CREATE INDEX directories_parent ON directories (parent_id);
CREATE INDEX directories_inode ON directories (inode) WHERE inode IS NOT NULL;
CREATE INDEX directories_absent ON directories (absent_ns) WHERE absent_ns IS NOT NULL;

CREATE TABLE media_files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    directory_id INTEGER NOT NULL REFERENCES directories (id),
    name BLOB NOT NULL,
    name_is_text INTEGER NOT NULL,
    media_type TEXT NOT NULL CHECK (media_type IN ('video', 'vr', 'audio')),
    -- the stamp; what is NULL is unknown or means nothing on that file system, and is not compared
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER,
    inode INTEGER,
    links INTEGER,
    -- the row as a place in the queue
    fact_ns INTEGER NOT NULL DEFAULT 0,                 -- when the last fact that changed this row was taken
    due_ns INTEGER NOT NULL DEFAULT 0,                  -- not offered before
    priority INTEGER NOT NULL DEFAULT 1,
    lacks INTEGER NOT NULL,                             -- bits: see model.py
    attempts INTEGER NOT NULL DEFAULT 0,                -- changes and failures in a row, for the back-off
    -- what the workers found
    quick_hash BLOB,
    former_quick_hash BLOB,                             -- only ctime, inode or links moved: to be compared with the new hash
    hashed_at INTEGER,
    video_phash TEXT,
    container_format TEXT,
    duration REAL,
    bitrate INTEGER,
    problem TEXT,
    problem_reason TEXT,
    problem_lacks INTEGER,                              -- the bit of what was attempted
    problem_since INTEGER,
    -- the row's life
    first_seen INTEGER NOT NULL,
    absent_ns INTEGER,                                  -- first seen absent; still to be confirmed
    held INTEGER NOT NULL DEFAULT 0,
    missing_since INTEGER,
    missing_online_ns INTEGER,                          -- the root's online_ns and walks at that time
    missing_walks INTEGER,
    hidden INTEGER NOT NULL DEFAULT 0                   -- the configured extensions and rules leave it out
) STRICT;
CREATE UNIQUE INDEX media_files_present ON media_files (directory_id, name) WHERE missing_since IS NULL;
CREATE INDEX media_files_missing ON media_files (directory_id, name) WHERE missing_since IS NOT NULL;
CREATE INDEX media_files_inode ON media_files (inode) WHERE inode IS NOT NULL;
-- Eight bytes find the row, at half the size of the whole hash; queries compare the rest.
CREATE INDEX media_files_quick_hash ON media_files (substr(quick_hash, 1, 8)) WHERE quick_hash IS NOT NULL;
CREATE INDEX media_files_unhashed ON media_files (priority, due_ns) WHERE lacks & 1 = 1 AND missing_since IS NULL AND NOT hidden;
CREATE INDEX media_files_unprobed ON media_files (priority, due_ns) WHERE lacks & 3 = 2 AND missing_since IS NULL AND NOT hidden;
CREATE INDEX media_files_absent ON media_files (absent_ns) WHERE absent_ns IS NOT NULL AND missing_since IS NULL;
CREATE INDEX media_files_problem ON media_files (id) WHERE problem IS NOT NULL;

CREATE TABLE video_metadata (
    file_id INTEGER PRIMARY KEY REFERENCES media_files (id) ON DELETE CASCADE,
    codec TEXT, width INTEGER, height INTEGER, frame_rate REAL, rotation INTEGER, bit_depth INTEGER, hdr TEXT
) STRICT;
CREATE TABLE audio_metadata (
    file_id INTEGER PRIMARY KEY REFERENCES media_files (id) ON DELETE CASCADE,
    codec TEXT, channels INTEGER, sample_rate INTEGER, title TEXT, artist TEXT, album TEXT, track TEXT
) STRICT;
CREATE TABLE vr_metadata (
    file_id INTEGER PRIMARY KEY REFERENCES media_files (id) ON DELETE CASCADE,
    projection TEXT, stereo_mode TEXT, field_of_view INTEGER, source TEXT
) STRICT;

CREATE TABLE scans (  -- one row a finished walk
    id INTEGER PRIMARY KEY,
    root_id INTEGER REFERENCES roots (id) ON DELETE CASCADE,
    scope BLOB NOT NULL,
    cause TEXT NOT NULL,
    result TEXT NOT NULL,
    started INTEGER NOT NULL,
    seconds REAL NOT NULL,
    directories INTEGER NOT NULL,
    files INTEGER NOT NULL
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('scan', 'phash')),
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'stopping', 'done', 'failed', 'cancelled')),
    scope BLOB NOT NULL,                                -- paths, each ended by a zero byte
    force INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    processed INTEGER NOT NULL DEFAULT 0,
    written INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    bytes_done INTEGER NOT NULL DEFAULT 0,
    started REAL NOT NULL,
    finished REAL,
    error TEXT
) STRICT;

CREATE TABLE history (
    seq INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    event TEXT NOT NULL,
    path BLOB,
    former BLOB,
    detail TEXT
) STRICT;
CREATE INDEX history_path ON history (path);

-- What `status` and the metrics show. The writer carries them along in each transaction, so that asking costs nothing;
-- `contributions` says what each row adds, for a recount.
CREATE TABLE totals (
    root_id INTEGER PRIMARY KEY REFERENCES roots (id) ON DELETE CASCADE,
    files INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    videos INTEGER NOT NULL DEFAULT 0,
    audio INTEGER NOT NULL DEFAULT 0,
    quick_hashed INTEGER NOT NULL DEFAULT 0,
    pending_quick_hash INTEGER NOT NULL DEFAULT 0,
    pending_probe INTEGER NOT NULL DEFAULT 0,
    phashed INTEGER NOT NULL DEFAULT 0,
    pending_phash INTEGER NOT NULL DEFAULT 0,
    problems INTEGER NOT NULL DEFAULT 0,
    absent INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    missing INTEGER NOT NULL DEFAULT 0
) STRICT;

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
    f.missing_since IS NULL AND f.video_phash IS NOT NULL AS phashed,
    f.missing_since IS NULL AND f.lacks & 4 = 4 AS pending_phash,
    f.missing_since IS NULL AND f.problem IS NOT NULL AS problems,
    f.missing_since IS NULL AND f.absent_ns IS NOT NULL AS absent,
    f.missing_since IS NULL AND f.held AS held,
    f.missing_since IS NOT NULL AS missing
FROM media_files AS f
JOIN directories AS d ON d.id = f.directory_id
WHERE NOT f.hidden;

-- For other programs: one row per configured file, present or missing.
CREATE VIEW files AS SELECT
    f.id,
    iif(d.path_is_text AND f.name_is_text, CAST(d.path || f.name AS TEXT), CAST(d.path || f.name AS BLOB)) AS file_path,
    iif(f.name_is_text, CAST(f.name AS TEXT), f.name) AS filename,
    iif(
        d.path_is_text,
        CAST(substr(r.path, 1, max(1, length(r.path) - 1)) AS TEXT),
        substr(r.path, 1, max(1, length(r.path) - 1))
    ) AS root,
    f.size AS file_size,
    strftime('%Y-%m-%dT%H:%M:%S', (f.mtime_ns - ((f.mtime_ns % 1000000000) + 1000000000) % 1000000000) / 1000000000, 'unixepoch')
        || iif(((f.mtime_ns % 1000000000) + 1000000000) % 1000000000 / 1000 = 0, '', printf('.%06d', (((f.mtime_ns % 1000000000) + 1000000000) % 1000000000) / 1000))
        || '+00:00' AS modified_date,
    f.mtime_ns,
    f.media_type,
    f.container_format,
    f.duration,
    f.bitrate,
    v.width,
    v.height,
    v.codec AS video_codec,
    a.codec AS audio_codec,
    iif(f.quick_hash IS NULL, NULL, lower(hex(f.quick_hash))) AS quick_hash,
    iif(f.former_quick_hash IS NULL, f.video_phash, NULL) AS video_phash,
    strftime('%Y-%m-%dT%H:%M:%S+00:00', f.first_seen, 'unixepoch') AS first_seen,
    strftime('%Y-%m-%dT%H:%M:%S+00:00', f.hashed_at, 'unixepoch') AS hashed_at,
    strftime('%Y-%m-%dT%H:%M:%S+00:00', f.missing_since, 'unixepoch') AS missing_since,
    f.problem
FROM media_files AS f
JOIN directories AS d ON d.id = f.directory_id
JOIN roots AS r ON r.id = d.root_id
LEFT JOIN video_metadata AS v ON v.file_id = f.id
LEFT JOIN audio_metadata AS a ON a.file_id = f.id
WHERE r.configured AND NOT f.hidden;
