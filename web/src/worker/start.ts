/** Start a worker that is bound by the page's Content-Security-Policy. */

/**
 * A worker from a URL would follow the headers of its own file, and a plain server sends none. One from a blob
 * inherits the policy of whoever starts it.
 */
export function startWorker(script: string): Worker {
  const source = `import ${JSON.stringify(new URL(script, self.location.href).href)};`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return worker;
}
