-- The demo's data set. Plain SQLite, nothing this project adds.

CREATE TABLE continent (
  code TEXT PRIMARY KEY,
  name TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE country (
  code TEXT PRIMARY KEY,                        -- ISO 3166-1 alpha-2
  name TEXT NOT NULL,
  native_name TEXT NOT NULL,
  capital TEXT,
  continent TEXT NOT NULL REFERENCES continent (code),
  languages TEXT NOT NULL                       -- JSON array of ISO 639-1 codes
) WITHOUT ROWID;

CREATE TABLE region (
  code TEXT PRIMARY KEY,                        -- country, dot, first-order division: 'US.CA'
  country TEXT NOT NULL,
  name TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE kind (
  code TEXT PRIMARY KEY,                        -- GeoNames feature code
  meaning TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE place (
  id INTEGER PRIMARY KEY,                       -- GeoNames id
  name TEXT NOT NULL,
  kind TEXT NOT NULL REFERENCES kind (code),
  country TEXT NOT NULL REFERENCES country (code),
  region TEXT REFERENCES region (code),
  population INTEGER,                           -- NULL where GeoNames has none
  lat REAL NOT NULL,
  lon REAL NOT NULL
);
