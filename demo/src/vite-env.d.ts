// Sources as text: `import code from "./plugin.js?raw"`.
declare module "*?raw" {
  const text: string
  export default text
}
