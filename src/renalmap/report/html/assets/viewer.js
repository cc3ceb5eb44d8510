// The axial viewer: unpacks slices, draws them through a window, and lays kidneys and tumours over them.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const canvas = byId("canvas");
  if (!canvas) return;
  const data = JSON.parse(byId("viewer-data").textContent);
  const { width, height } = data;
  const last = data.slices.length - 1;
  const cache = new Map();
  const KEPT = 160;
  const state = { at: Number(byId("slice").value), window: [400, 40], zoom: 1, x: 0.5, y: 0.5 };
  const plane = document.createElement("canvas");
  plane.width = width;
  plane.height = height;
  const pixels = plane.getContext("2d");
  const image = pixels.createImageData(width, height);
  let drawn = null;

  const inflate = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  // The inverse of `predict` in packing.py: each byte was stored less the mean of its left and upper neighbour.
  const unpredict = (bytes) => {
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) {
        const left = x ? bytes[i - 1] : 0;
        const up = y ? bytes[i - width] : 0;
        bytes[i] += (left + up) >> 1;
      }
    }
    return bytes;
  };

  const unpack = async (at) => ({
    greys: unpredict(await inflate(data.greys[at])),
    labels: data.labels[at] ? await inflate(data.labels[at]) : null,
  });

  const load = (at) => {
    let slice = cache.get(at);
    if (!slice) {
      if (cache.size >= KEPT) cache.delete(cache.keys().next().value);
      slice = unpack(at);
      cache.set(at, slice);
    }
    return slice;
  };

  const rgb = (text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));
  const colours = Object.fromEntries(Object.entries(data.colours).map(([label, text]) => [label, rgb(text)]));

  const paint = ({ greys, labels }) => {
    const [wide, level] = state.window;
    const table = Uint8ClampedArray.from(data.values_hu, (hu) => ((hu - level) / wide + 0.5) * 255);
    const out = image.data;
    for (let i = 0, o = 0; i < greys.length; i += 1, o += 4) {
      const grey = table[greys[i]];
      out[o] = grey;
      out[o + 1] = grey;
      out[o + 2] = grey;
      out[o + 3] = 255;
    }
    if (labels && byId("mask").checked) overlay(labels, out, Number(byId("opacity").value) / 100);
    pixels.putImageData(image, 0, 0);
  };

  const overlay = (labels, out, filling) => {
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) {
        const label = labels[i];
        const colour = colours[label];
        if (!colour) continue;
        const inner = x && y && x < width - 1 && y < height - 1 && labels[i - 1] === label
          && labels[i + 1] === label && labels[i - width] === label && labels[i + width] === label;
        const share = inner ? filling : 1;
        for (let c = 0, o = 4 * i; c < 3; c += 1) out[o + c] += share * (colour[c] - out[o + c]);
      }
    }
  };

  // Where the slice lies on the canvas: whole if not zoomed, millimetres to scale in both directions.
  const frame = () => {
    const [mmX, mmY] = data.pixel_mm;
    const fit = Math.min(canvas.width / (width * mmX), canvas.height / (height * mmY));
    const w = width * mmX * fit * state.zoom;
    const h = height * mmY * fit * state.zoom;
    return { left: canvas.width / 2 - state.x * w, top: canvas.height / 2 - state.y * h, w, h };
  };

  const show = () => {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    const { left, top, w, h } = frame();
    context.drawImage(plane, left, top, w, h);
    canvas.style.cursor = state.zoom > 1 ? "grab" : "ns-resize";
  };

  const draw = async () => {
    const at = state.at;
    canvas.setAttribute("aria-busy", "true");
    let slice;
    try {
      slice = await load(at);
    } catch (error) {
      fail("This slice could not be unpacked: the file is damaged.");
      return;
    }
    if (at !== state.at) return; // another slice was asked for meanwhile
    drawn = slice;
    paint(slice);
    show();
    const label = `Slice ${data.slices[at] + 1} of ${data.count}, ${data.positions[at]}`;
    byId("place").textContent = label;
    byId("slice").setAttribute("aria-valuetext", label);
    byId("shown").textContent = `W ${state.window[0]}  L ${state.window[1]} HU`;
    canvas.dataset.slice = String(at);
    canvas.setAttribute("aria-busy", "false");
    for (const near of [at + 1, at - 1]) if (near >= 0 && near <= last) load(near).catch(() => {});
  };

  const fail = (text) => {
    byId("trouble").textContent = text;
    byId("trouble").hidden = false;
  };

  const goTo = (at) => {
    state.at = Math.min(last, Math.max(0, Math.round(at)));
    byId("slice").value = String(state.at);
    draw();
  };

  const zoomBy = (factor) => {
    state.zoom = Math.min(8, Math.max(1, state.zoom * factor));
    if (state.zoom === 1) [state.x, state.y] = [0.5, 0.5];
    show();
  };

  const pointAt = (event) => {
    if (!drawn) return;
    const box = canvas.getBoundingClientRect();
    const { left, top, w, h } = frame();
    const x = Math.floor((((event.clientX - box.left) / box.width) * canvas.width - left) / w * width);
    const y = Math.floor((((event.clientY - box.top) / box.height) * canvas.height - top) / h * height);
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    const step = inside ? drawn.greys[y * width + x] : 0;
    const hu = data.values_hu[step];
    const text = step === 0 ? `≤ ${Math.round(hu)}` : step === data.values_hu.length - 1 ? `≥ ${Math.round(hu)}`
      : `${Math.round(hu)} ± ${data.errors_hu[step]}`;
    byId("pointer").textContent = inside ? `${text} HU` : "";
  };

  const windows = [...document.querySelectorAll('input[name="window"]')];
  const chooseWindow = (input) => {
    input.checked = true;
    state.window = input.value.split(",").map(Number);
    draw();
  };

  const keys = {
    ArrowUp: () => goTo(state.at + 1), ArrowRight: () => goTo(state.at + 1),
    ArrowDown: () => goTo(state.at - 1), ArrowLeft: () => goTo(state.at - 1),
    PageUp: () => goTo(state.at + 10), PageDown: () => goTo(state.at - 10),
    Home: () => goTo(0), End: () => goTo(last),
    m: () => { byId("mask").checked = !byId("mask").checked; draw(); },
    "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: () => zoomBy(0),
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const chosen = windows[Number(event.key) - 1];
    const act = chosen ? () => chooseWindow(chosen) : keys[event.key] || keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });

  let wheeled = 0;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
      zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
      return;
    }
    wheeled += event.deltaMode === 0 ? event.deltaY / 60 : event.deltaY / 3;
    const steps = Math.trunc(wheeled);
    if (steps) goTo(state.at - steps);
    wheeled -= steps;
  }, { passive: false });

  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = { x: event.clientX, y: event.clientY, at: state.at, centre: [state.x, state.y] };
  });
  canvas.addEventListener("pointermove", (event) => {
    pointAt(event);
    if (!held) return;
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    const ratio = canvas.width / canvas.getBoundingClientRect().width;
    if (state.zoom > 1) {
      const { w, h } = frame();
      const [x, y] = held.centre;
      state.x = Math.min(1, Math.max(0, x - (dx * ratio) / w));
      state.y = Math.min(1, Math.max(0, y - (dy * ratio) / h));
      show();
    } else {
      const at = held.at - Math.round(dy / 6);
      if (at !== state.at) goTo(at);
    }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { held = null; });
  canvas.addEventListener("pointerleave", () => { byId("pointer").textContent = ""; });

  byId("slice").addEventListener("input", (event) => goTo(Number(event.target.value)));
  byId("mask").addEventListener("change", draw);
  byId("opacity").addEventListener("input", draw);
  byId("zoom-in").addEventListener("click", () => zoomBy(1.5));
  byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  byId("zoom-reset").addEventListener("click", () => zoomBy(0));
  for (const input of windows) input.addEventListener("change", () => chooseWindow(input));
  for (const button of document.querySelectorAll("button[data-slice]")) {
    button.addEventListener("click", () => {
      goTo(Number(button.dataset.slice));
      if (button.closest("table")) byId("viewer").scrollIntoView();
    });
  }
  new ResizeObserver(show).observe(canvas);

  if (typeof DecompressionStream === "undefined") {
    fail("This browser is too old to unpack the slices (Chrome or Edge 80, Firefox 113, Safari 16.4). "
      + "The rest of the report is complete.");
    return;
  }
  draw();
})();
