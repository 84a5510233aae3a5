-- What left a path, for the history of that path.
CREATE INDEX history_former ON history (former) WHERE former IS NOT NULL;
