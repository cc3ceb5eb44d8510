/** The table, the notes and the files of a segmentation. */

import type { Segmented } from "../worker/protocol";
import { element } from "./elements";

let urls: string[] = [];

export function showResult(segmented: Segmented): void {
  const { report, labelMap } = segmented;
  element("result-title", HTMLElement).textContent = report.name;
  const notes = [...report.flags.map((flag) => flag.text), ...report.notes];
  element("notes", HTMLElement).replaceChildren(...notes.map((note) => textOf("li", note)));
  const kidneys = report.kidneys.map(({ side, parenchyma_ml, tumour_ml, length_mm }) =>
    rowOf(side === null ? "kidney" : `${side} kidney`, [parenchyma_ml, tumour_ml, length_mm]),
  );
  const tumours = report.tumours.map((tumour) =>
    rowOf(`tumour ${tumour.id}, ${tumour.side ?? "side unknown"}`, [
      null,
      tumour.volume_ml,
      tumour.longest_axial_diameter_mm,
    ]),
  );
  element("numbers-table", HTMLElement).replaceChildren(...kidneys, ...tumours);
  for (const url of urls) URL.revokeObjectURL(url);
  const numbers = new Blob([JSON.stringify(report, null, 2)], { type: "application/json" });
  urls = [
    offer("label-map", labelMap, `${report.name}_seg.nii.gz`),
    offer("numbers", numbers, `${report.name}_seg.json`),
  ];
}

function offer(id: string, content: Blob, name: string): string {
  const link = element(id, HTMLAnchorElement);
  link.href = URL.createObjectURL(content);
  link.download = name;
  return link.href;
}

function rowOf(title: string, values: (number | null)[]): HTMLElement {
  const row = document.createElement("tr");
  const head = textOf("th", title);
  head.setAttribute("scope", "row");
  row.append(head, ...values.map((value) => textOf("td", value === null ? "" : value.toFixed(1))));
  return row;
}

function textOf(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
