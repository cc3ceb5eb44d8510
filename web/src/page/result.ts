/** The table, the notes and the files of a segmentation. */

import type { Segmented } from "../worker/protocol";
import { element } from "./elements";

let urls: string[] = [];

export async function showResult(segmented: Segmented): Promise<void> {
  const { report, labelMap } = segmented;
  element("result-title", HTMLElement).textContent = report.name;
  element("notes", HTMLElement).replaceChildren(...report.notes.map((note) => textOf("li", note)));
  const rows = Object.entries(report.volumes_ml).map(([name, volumeMl]) => {
    const row = document.createElement("tr");
    const title = textOf("th", name);
    title.setAttribute("scope", "row");
    row.append(title, textOf("td", volumeMl.toFixed(1)));
    return row;
  });
  element("volumes", HTMLElement).replaceChildren(...rows);
  for (const url of urls) URL.revokeObjectURL(url);
  const packed = new Blob([labelMap]).stream().pipeThrough(new CompressionStream("gzip"));
  const numbers = new Blob([JSON.stringify(report, null, 2)], { type: "application/json" });
  urls = [
    offer("label-map", await new Response(packed).blob(), `${report.name}_seg.nii.gz`),
    offer("numbers", numbers, `${report.name}_seg.json`),
  ];
}

function offer(id: string, content: Blob, name: string): string {
  const link = element(id, HTMLAnchorElement);
  link.href = URL.createObjectURL(content);
  link.download = name;
  return link.href;
}

function textOf(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
