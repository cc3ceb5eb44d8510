import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** The bundle that ships with the Python program: the same files, beside the page. */
const BUNDLE = new URL("../src/renalmap/default_bundle/", import.meta.url);
const BUILT = new URL("dist/", import.meta.url);

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

/** A service worker that knows every built file, and a version that changes with any of them. */
function withServiceWorker(): Plugin {
  return {
    name: "service-worker",
    apply: "build",
    closeBundle() {
      const files = readdirSync(BUILT, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== "sw.js")
        .map((entry) =>
          `${entry.parentPath ?? entry.path}/${entry.name}`.slice(BUILT.pathname.length - 1),
        )
        .map((name) => name.replace(/^\/+/, ""))
        .sort();
      const hash = createHash("sha256");
      for (const name of files) hash.update(name).update(readFileSync(new URL(name, BUILT)));
      const template = readFileSync(new URL("sw.template.js", import.meta.url), "utf8");
      const worker = template
        .replace("[/*files*/]", JSON.stringify(["./", ...files]))
        .replace("/*version*/", hash.digest("hex").slice(0, 16));
      writeFileSync(new URL("sw.js", BUILT), worker);
    },
  };
}

export default defineConfig({
  base: "./", // it works under any path
  plugins: [withBundle(), withServiceWorker()],
  worker: { format: "es" },
  build: { target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 1000 },
  test: { include: ["tests/**/*.test.ts"], testTimeout: 600_000 }, // no test may depend on how fast the machine is
});
