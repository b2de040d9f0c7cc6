export default {
  mode: "production",
  context: import.meta.dirname,
  entry: "./main.js",
  // Advice about the size of files; a SQLite is larger than what it takes for large.
  performance: false,
  output: { path: `${import.meta.dirname}/dist` },
}
