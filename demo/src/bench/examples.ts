// Queries that show something of the data, of SQLite, and of what is kept.

export interface Example {
  readonly label: string
  readonly sql: string
}

export const EXAMPLES: readonly Example[] = [
  {
    label: "Every place",
    sql: `-- 135,233 rows, streamed in batches. Scroll them; pick one to find it on the map.
SELECT p.name, c.name AS country, r.name AS region, p.population, p.lat, p.lon, p.kind, p.id
FROM place AS p
JOIN country AS c ON c.code = p.country
LEFT JOIN region AS r ON r.code = p.region
ORDER BY p.population DESC`,
  },
  {
    label: "Largest cities",
    sql: `SELECT rank() OVER (ORDER BY p.population DESC) AS rank,
       p.name, c.name AS country, p.population, p.lat, p.lon
FROM place AS p JOIN country AS c ON c.code = p.country
ORDER BY p.population DESC
LIMIT 250`,
  },
  {
    label: "Near Vienna",
    sql: `-- Great-circle distance, computed by SQLite's math functions.
WITH home AS (SELECT radians(48.2085) AS lat, radians(16.3721) AS lon)
SELECT p.name, p.country, p.population, p.lat, p.lon,
       round(6371 * acos(min(1, sin(home.lat) * sin(radians(p.lat)) + cos(home.lat) * cos(radians(p.lat)) * cos(radians(p.lon) - home.lon))), 1) AS km
FROM place AS p, home
WHERE p.lat BETWEEN 45.5 AND 51 AND p.lon BETWEEN 12 AND 20.5 AND km < 250
ORDER BY km`,
  },
  {
    label: "By country",
    sql: `SELECT c.name AS country, t.name AS continent, count(*) AS places,
       sum(p.population) AS people, json_array_length(c.languages) AS languages,
       rank() OVER (PARTITION BY t.code ORDER BY sum(p.population) DESC) AS rank_there
FROM place AS p
JOIN country AS c ON c.code = p.country
JOIN continent AS t ON t.code = c.continent
GROUP BY c.code
ORDER BY people DESC`,
  },
  {
    label: "Namesakes",
    sql: `SELECT name, count(*) AS places, count(DISTINCT country) AS countries,
       group_concat(DISTINCT country) AS "where"
FROM place
GROUP BY name
HAVING countries > 3
ORDER BY countries DESC, places DESC`,
  },
  {
    label: "Every type",
    sql: `SELECT 9007199254740993 AS big_integer, 0.1 + 0.2 AS real, 'naïve café ☕' AS text,
       NULL AS missing, x'4c697820456e67696e65' AS blob, randomblob(64) AS noise,
       json_object('sqlite', sqlite_version()) AS json`,
  },
  {
    label: "A newborn",
    sql: `-- Somebody is born in Melk. Run it, reload the page, run it again: the engine has saved it.
UPDATE place SET population = population + 1
WHERE name = 'Melk' AND country = 'AT'
RETURNING name, population, lat, lon`,
  },
  {
    label: "A typo",
    sql: `SELECT name, poplation
FROM place
ORDER BY 2 DESC
LIMIT 10`,
  },
]
