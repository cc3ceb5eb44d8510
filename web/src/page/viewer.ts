/** Slices of a scan with its labels, in any of the three planes. */

import type { Triple } from "../arrays";
import { clamp } from "../numbers";
import type { Segmented } from "../worker/protocol";
import { element } from "./elements";

type Axis = 0 | 1 | 2;
const PLANES = ["axial", "coronal", "sagittal"];
const WINDOW_KEYS = ["1", "2", "3"];
const PLANE_KEYS = ["a", "c", "s"];
/** Of kidney and tumour. */
const COLOURS = [[], [43, 123, 186], [217, 95, 2]];

export class Viewer {
  private readonly canvas = element("canvas", HTMLCanvasElement);
  private readonly slider = element("slice", HTMLInputElement);
  private readonly plane = element("plane", HTMLSelectElement);
  private readonly window = element("window", HTMLSelectElement);
  private readonly opacity = element("opacity", HTMLInputElement);
  private shown: Segmented | null = null;
  private at: Triple = [0, 0, 0];
  private withLabels = true;

  constructor() {
    this.slider.addEventListener("input", () => this.goTo(this.slider.valueAsNumber));
    for (const control of [this.plane, this.window, this.opacity]) {
      control.addEventListener("input", () => this.draw());
    }
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.goTo(this.at[this.axis] + Math.sign(event.deltaY));
    });
  }

  /** Show a segmentation, first where something was found. */
  show(segmented: Segmented): void {
    this.shown = segmented;
    this.at = [...segmented.start];
    this.draw();
  }

  private get axis(): Axis {
    return Number(this.plane.value) as Axis;
  }

  private goTo(index: number): void {
    if (this.shown === null) return;
    this.at[this.axis] = clamp(index, 0, this.shown.shape[this.axis] - 1);
    this.draw();
  }

  private onKey(event: KeyboardEvent): void {
    const key = event.key.toLowerCase();
    if (key === "arrowup" || key === "arrowright") this.goTo(this.at[this.axis] + 1);
    else if (key === "arrowdown" || key === "arrowleft") this.goTo(this.at[this.axis] - 1);
    else if (PLANE_KEYS.includes(key)) this.plane.value = String(PLANE_KEYS.indexOf(key));
    else if (WINDOW_KEYS.includes(key)) this.window.selectedIndex = WINDOW_KEYS.indexOf(key);
    else if (key === "m") this.withLabels = !this.withLabels;
    else return;
    event.preventDefault();
    this.draw();
  }

  private draw(): void {
    const context = this.canvas.getContext("2d");
    if (this.shown === null || context === null) return;
    const { shape, spacingMm } = this.shown;
    const axis = this.axis;
    const [down, across] = [0, 1, 2].filter((each) => each !== axis);
    this.canvas.width = shape[across];
    this.canvas.height = shape[down];
    const heightMm = shape[down] * spacingMm[down];
    this.canvas.style.aspectRatio = `${shape[across] * spacingMm[across]} / ${heightMm}`;
    context.putImageData(this.picture(axis, down, across), 0, 0);
    this.slider.max = String(shape[axis] - 1);
    this.slider.value = String(this.at[axis]);
    const place = `${PLANES[axis]} slice ${this.at[axis] + 1} of ${shape[axis]}`;
    element("place", HTMLElement).textContent = place;
    this.canvas.setAttribute("aria-label", place);
  }

  private picture(axis: Axis, down: number, across: number): ImageData {
    const { hu, labels, shape } = this.shown as Segmented;
    const [width, level] = this.window.value.split(",").map(Number);
    const opacity = this.withLabels ? this.opacity.valueAsNumber / 100 : 0;
    const strides = [shape[1] * shape[2], shape[2], 1];
    const image = new ImageData(shape[across], shape[down]);
    let to = 0;
    for (let row = 0; row < shape[down]; row += 1) {
      // The head is on top: slices are counted from the feet.
      const y = down === 0 ? shape[0] - 1 - row : row;
      let from = this.at[axis] * strides[axis] + y * strides[down];
      for (let column = 0; column < shape[across]; column += 1, to += 4, from += strides[across]) {
        const grey = ((hu[from] - level) / width + 0.5) * 255;
        const colour = COLOURS[labels[from]];
        for (let channel = 0; channel < 3; channel += 1) {
          const shade = clamp(grey, 0, 255);
          image.data[to + channel] =
            labels[from] === 0 ? shade : shade * (1 - opacity) + colour[channel] * opacity;
        }
        image.data[to + 3] = 255;
      }
    }
    return image;
  }
}
