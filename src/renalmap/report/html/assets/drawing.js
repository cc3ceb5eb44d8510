// One of the three planes: greys through a window, outlines, lines and the crosshair on its canvas.
const openPane = (data, voxels, view) => {
  "use strict";
  const canvas = document.getElementById(view.name);
  const { across, down, along, turned } = view; // axes 0 x, 1 y, 2 z; turned: the head is on top
  const strides = [1, data.size[0], data.size[0] * data.size[1]];
  const columns = data.size[across];
  const mm = [columns * data.voxel_mm[across], data.size[down] * data.voxel_mm[down]];
  // Rows as fine as columns, so that outlines are equally thick and thick slices do not make steps of grey.
  const rows = turned ? Math.max(data.size[down], Math.round(mm[1] / data.voxel_mm[across])) : data.size[down];
  const plane = document.createElement("canvas");
  [plane.width, plane.height] = [columns, rows];
  const pixels = plane.getContext("2d");
  const image = pixels.createImageData(columns, rows);
  const HATCHED = 16; // a bit beside the label: what lies outside the kidney's outline

  const rgb = (text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));
  const colours = Object.fromEntries(Object.entries(data.colours).map(([label, text]) => [label, rgb(text)]));

  // For each row the two voxel rows about it, and the second one's share.
  const between = Array.from({ length: rows }, (_, row) => {
    const size = data.size[down];
    const place = ((turned ? rows - row - 0.5 : row + 0.5) / rows) * size - 0.5;
    const low = Math.min(size - 1, Math.max(0, Math.floor(place)));
    return [low, Math.min(size - 1, low + 1), Math.min(1, Math.max(0, place - low))];
  });

  const paint = (at, look) => {
    const [wide, level] = look.window;
    const table = Uint8ClampedArray.from(data.values_hu, (hu) => ((hu - level) / wide + 0.5) * 255);
    const start = at[along] * strides[along];
    const out = image.data;
    for (let row = 0, o = 0; row < rows; row += 1) {
      const [low, high, share] = between[row];
      let first = start + low * strides[down];
      let second = start + high * strides[down];
      for (let column = 0; column < columns; column += 1, o += 4) {
        const dark = table[voxels.greys[first]];
        const grey = share ? dark + share * (table[voxels.greys[second]] - dark) : dark;
        out[o] = out[o + 1] = out[o + 2] = grey;
        out[o + 3] = 255;
        first += strides[across];
        second += strides[across];
      }
    }
    if (look.mask) overlay(start, out, look.filling);
    pixels.putImageData(image, 0, 0);
  };

  const overlay = (start, out, filling) => {
    const begins = between.map(([low, high, share]) => start + (share < 0.5 ? low : high) * strides[down]);
    const labelAt = (row, column) => voxels.labels[begins[row] + column * strides[across]];
    for (let row = 0, o = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1, o += 4) {
        const value = labelAt(row, column);
        const colour = colours[value & ~HATCHED];
        if (!colour) continue;
        const label = value & ~HATCHED;
        const same = (r, c) => (labelAt(r, c) & ~HATCHED) === label;
        const inner = row && column && row < rows - 1 && column < columns - 1
          && same(row, column - 1) && same(row, column + 1) && same(row - 1, column) && same(row + 1, column);
        const hatched = value & HATCHED && (row + column) % 8 < 3 ? 0.75 : 0;
        const share = inner ? Math.max(filling, hatched) : 1;
        for (let c = 0; c < 3; c += 1) out[o + c] += share * (colour[c] - out[o + c]);
      }
    }
  };

  // Where the plane lies on the canvas: whole if not zoomed, millimetres to scale in both directions.
  const frame = (look) => {
    const fit = Math.min(canvas.width / mm[0], canvas.height / mm[1]) * look.zoom;
    const [w, h] = [mm[0] * fit, mm[1] * fit];
    const middle = turned ? 1 - look.centre[down] : look.centre[down];
    return { left: canvas.width / 2 - look.centre[across] * w, top: canvas.height / 2 - middle * h, w, h };
  };

  const toCanvas = (point, { left, top, w, h }) => {
    const v = (point[down] + 0.5) / data.size[down];
    return [left + ((point[across] + 0.5) / columns) * w, top + (turned ? 1 - v : v) * h];
  };

  // The voxel under a pointer, as [x, y, z] whose third is the plane's own; null outside.
  const voxelAt = (event, at, look) => {
    const box = canvas.getBoundingClientRect();
    const { left, top, w, h } = frame(look);
    const u = (((event.clientX - box.left) / box.width) * canvas.width - left) / w;
    const v = (((event.clientY - box.top) / box.height) * canvas.height - top) / h;
    if (u < 0 || v < 0 || u >= 1 || v >= 1) return null;
    const voxel = [...at];
    voxel[across] = Math.floor(u * columns);
    voxel[down] = Math.floor((turned ? 1 - v : v) * data.size[down]);
    return voxel;
  };

  const stroke = (context, ends, style) => {
    for (const [colour, thick] of [["rgba(0,0,0,.75)", style.width + 2], [style.colour, style.width]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick * (window.devicePixelRatio || 1);
      context.setLineDash(style.dash.map((part) => part * (window.devicePixelRatio || 1)));
      context.beginPath();
      ends.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
    }
    context.setLineDash([]);
  };

  // A mark is a line in space, a box, or a flat ring; what of it this slice meets, as lines to draw.
  const met = ({ kind, points }, slice) => {
    const beside = (point) => point[along] - slice;
    if (kind === "box") {
      const [low, high] = points;
      if (slice < low[along] - 0.5 || slice > high[along] + 0.5) return [];
      const corner = (a, b) => { const p = [...low]; p[across] = a; p[down] = b; return p; };
      const [a0, a1] = [low[across] - 0.5, high[across] + 0.5];
      const [b0, b1] = [low[down] - 0.5, high[down] + 0.5];
      return [{ ends: [corner(a0, b0), corner(a1, b0), corner(a1, b1), corner(a0, b1), corner(a0, b0)] }];
    }
    if (kind === "line") {
      const near = points.map(beside);
      if (Math.min(...near) > 0.51 || Math.max(...near) < -0.51) return [];
      const level = Math.max(...near.map(Math.abs)) <= 0.51;
      return [{ ends: points, dash: level ? [] : [4, 4] }];
    }
    if (!turned) return []; // a plane across the kidney meets axial slices at a slant, which says nothing
    const crossings = [];
    points.forEach((p, index) => {
      const q = points[(index + 1) % points.length];
      if (beside(p) * beside(q) < 0) {
        const share = beside(p) / (beside(p) - beside(q));
        crossings.push(p.map((value, axis) => value + share * (q[axis] - value)));
      }
    });
    return crossings.length === 2 ? [{ ends: crossings, dash: [7, 5] }] : [];
  };

  const drawMarks = (context, at, place) => {
    const ratio = window.devicePixelRatio || 1;
    context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    for (const mark of data.marks) {
      for (const { ends, dash = [] } of met(mark, at[along])) {
        const shown = ends.map((point) => toCanvas(point, place));
        const length = Math.hypot(shown[1][0] - shown[0][0], shown[1][1] - shown[0][1]);
        if (mark.kind === "line" && length < 4 * ratio) { // two that touch, or a line seen from its end
          const [[cx, cy]] = shown;
          const ring = Array.from({ length: 17 }, (_, i) => [cx + 5 * ratio * Math.cos((i * Math.PI) / 8),
            cy + 5 * ratio * Math.sin((i * Math.PI) / 8)]);
          stroke(context, ring, { colour: mark.colour, width: 1.6, dash: [] });
        } else stroke(context, shown, { colour: mark.colour, width: 1.6, dash });
        const [right, y] = shown.reduce((a, b) => (b[0] > a[0] ? b : a));
        const x = Math.min(right + 7 * ratio, canvas.width - context.measureText(mark.text).width - 7 * ratio);
        context.strokeStyle = "rgba(0,0,0,.85)";
        context.lineWidth = 4 * ratio;
        context.strokeText(mark.text, x, y);
        context.fillStyle = mark.colour;
        context.fillText(mark.text, x, y);
      }
    }
  };

  const drawCrosshair = (context, at, place) => {
    const [x, y] = toCanvas(at, place);
    const gap = 14 * (window.devicePixelRatio || 1);
    context.strokeStyle = "rgba(120,220,255,.75)";
    context.lineWidth = window.devicePixelRatio || 1;
    context.beginPath();
    for (const [from, to] of [[[0, y], [x - gap, y]], [[x + gap, y], [canvas.width, y]],
      [[x, 0], [x, y - gap]], [[x, y + gap], [x, canvas.height]]]) {
      context.moveTo(...from);
      context.lineTo(...to);
    }
    context.stroke();
  };

  const show = (at, look) => {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    const place = frame(look);
    context.drawImage(plane, place.left, place.top, place.w, place.h);
    if (look.marks) drawMarks(context, at, place);
    if (look.crosshair) drawCrosshair(context, at, place);
    canvas.style.cursor = look.zoom > 1 ? "grab" : "crosshair";
  };

  return { ...view, canvas, paint, show, frame, voxelAt };
};
