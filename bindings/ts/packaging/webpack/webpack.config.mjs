export default {
  mode: "production",
  context: import.meta.dirname,
  entry: "./main.js",
  // Advice about the size of files; a SQLite is larger than what it takes for large.
  performance: false,
  // Plugins are imported as text.
  module: { rules: [{ resourceQuery: /raw/, type: "asset/source" }] },
  output: { path: `${import.meta.dirname}/dist` },
}
