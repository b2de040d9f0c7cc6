// What a new lix has in it, and what new files begin with.

export interface ExampleFile {
  readonly path: string
  readonly text: string
}

export const EXAMPLE_FILES: readonly ExampleFile[] = [
  {
    path: "/tour.md",
    text: `# Along the Danube

Passau to Vienna in **six easy days**, mostly downhill, mostly beside the water.

## Before we leave

- Book the night in Grein, there is only one inn
- New brake pads
- Check the ferry at Schlögen: it stops at *six*

## Day one

The path leaves Passau on the north bank. Coffee in Obernzell, lunch where the valley narrows.

> Whoever arrives last pays for the strudel.

| Day | To        | km |
| --- | --------- | -- |
| 1   | Schlögen  | 42 |
| 2   | Linz      | 54 |
| 3   | Grein     | 61 |
`,
  },
  {
    path: "/packing.csv",
    text: `item,who,weight_g,packed
Tent,Ada,2100,yes
Stove,Ben,340,no
Repair kit,Ada,410,yes
Rain jacket,Ada,280,no
Rain jacket,Ben,310,no
Map of the Wachau,Ben,90,yes
`,
  },
  {
    path: "/route.json",
    text: `${JSON.stringify(
      {
        name: "Danube",
        start: "Passau",
        end: "Vienna",
        km: 326,
        stops: [
          { town: "Schlögen", km: 42, ferry: true },
          { town: "Linz", km: 96 },
          { town: "Grein", km: 157, inn: "Goldenes Kreuz" },
        ],
      },
      null,
      2,
    )}\n`,
  },
]

export const KINDS = {
  markdown: { label: "Markdown", ending: ".md", hint: "Text with headings and lists", text: (name: string) => `# ${name}\n\n` },
  csv: { label: "CSV", ending: ".csv", hint: "A table", text: () => "name,amount\nFirst,1\n" },
  json: { label: "JSON", ending: ".json", hint: "Data", text: (name: string) => `${JSON.stringify({ name }, null, 2)}\n` },
} as const

export type Kind = keyof typeof KINDS

export function kindOfPath(path: string): Kind | "text" | "file" {
  if (path.endsWith(".md")) return "markdown"
  if (path.endsWith(".csv")) return "csv"
  if (path.endsWith(".json")) return "json"
  return path.endsWith(".txt") ? "text" : "file"
}

/** A table that is an entity a row. */
export function manyRows(count: number): string {
  const lines = ["id,town,lat,lon"]
  for (let row = 1; row <= count; row += 1) lines.push(`${row},Town ${row},${(47 + ((row * 37) % 400) / 100).toFixed(2)},${(9 + ((row * 91) % 800) / 100).toFixed(2)}`)
  return `${lines.join("\n")}\n`
}
