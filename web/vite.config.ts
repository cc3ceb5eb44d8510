import { readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** The bundle that ships with the Python program: the same files, beside the page. */
const BUNDLE = new URL("../src/renalmap/default_bundle/", import.meta.url);

function withBundle(): Plugin {
  return {
    name: "bundle",
    apply: "build",
    generateBundle() {
      for (const name of readdirSync(BUNDLE)) {
        const source = readFileSync(new URL(name, BUNDLE));
        this.emitFile({ type: "asset", fileName: `bundle/${name}`, source });
      }
    },
  };
}

export default defineConfig({
  base: "./", // it works under any path
  plugins: [withBundle()],
  worker: { format: "es" },
  build: { target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 1000 },
  test: { include: ["tests/**/*.test.ts"], testTimeout: 600_000 }, // no test may depend on how fast the machine is
});
