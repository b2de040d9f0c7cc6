import { defineConfig } from "vite"

// No headers are set on purpose: the engine needs neither COOP nor COEP.
export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    rollupOptions: { input: ["index.html", "bench.html"] },
  },
  worker: { format: "es" },
})
