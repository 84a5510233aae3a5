"""The schema's history as numbered files, applied by `mediawatchd.catalog.schema`; a released one never changes."""
